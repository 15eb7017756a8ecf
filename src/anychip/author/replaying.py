"""A call's steps, done again by the witness. Flows in: what a candidate says that it did. Flows out: results
of kernels alone, on inputs of the judge's choice, for an instruction set of its choice."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..compiler import targets
from ..compiler.targets.host import runs_here
from .arena import View, aligned
from .placing import Placed
from .processes.confined import Confined

MOST_STEPS = 20_000
MOST_TEXT = 16 << 20
"""Bytes of a call's kernels."""
OTHERS = ("x86-64-v4", "x86-64-v3", "x86-64-v2", "neoverse-n1", "aarch64")
"""Targets besides a machine's own that are tried where they run, each of other vectors than the others."""


class NoSteps(Exception):
    """What a candidate said of its steps cannot be done."""


class Unequal(Exception):
    """A replay failed; `bounds`: by an access outside of a tensor's memory."""

    def __init__(self, text: str, bounds: bool):
        super().__init__(text)
        self.bounds = bounds


def computes(inputs: Sequence[View], outputs: Sequence[View]) -> bool:
    """Whether results have to be computed: those without elements, and inputs themselves, need not be."""
    given = {view.start for view in inputs}
    return not outputs or any(math.prod(view.shape) and view.start not in given for view in outputs)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a call, its kernels' TTIR by digest, and where its results lie: (buffer, offset, dtype,
    shape, strides)."""

    steps: Sequence[Any]
    kernels: Mapping[str, str]
    outputs: Sequence[Any]

    @staticmethod
    def of(
        answer: Mapping[str, Any], inputs: Sequence[View], outputs: Sequence[View], free: int = 0
    ) -> Steps:
        """Steps out of a candidate's answer. Raises NoSteps for what is none."""
        steps, kernels = answer.get("steps"), answer.get("kernels")
        if not isinstance(steps, list) or not isinstance(kernels, dict) or len(steps) > MOST_STEPS:
            raise NoSteps("the process did not say what it did")
        if (
            not all(isinstance(x, str) for x in kernels.values())
            or sum(map(len, kernels.values())) > MOST_TEXT
        ):
            raise NoSteps("the kernels are no text, or too much")
        buffers = [(view.start, view.size) for view in inputs]
        free = aligned(free)
        for step in steps:
            if not isinstance(step, list) or not step:
                raise NoSteps("a step is no list")
            if step[0] == "allocate":
                if len(step) != 2 or type(step[1]) is not int or step[1] < 0:
                    raise NoSteps("an allocation has no size")
                buffers.append((free, step[1]))
                free = aligned(free + step[1] + 1)
        if computes(inputs, outputs) and not any(step[0] == "launch" for step in steps):
            raise NoSteps("no kernel was launched")
        return Steps(steps, kernels, [_within(view, buffers) for view in outputs])

    @property
    def text(self) -> str:
        """Steps and results as text: equal for calls that do the same."""
        return json.dumps([self.steps, self.outputs], sort_keys=True)

    @property
    def launched(self) -> list[str]:
        """The kernels launched, in order."""
        return [str(step[1]) for step in self.steps if step[0] == "launch"]


def _within(view: View, buffers: Sequence[tuple[int, int]]) -> list[Any]:
    for number, (start, size) in enumerate(buffers):
        if start == view.start and size == view.size:
            dtype = str(view.dtype).removeprefix("torch.")
            return [number, view.offset - start, dtype, list(view.shape), list(view.stride)]
    raise NoSteps("a result lies in memory that no step allocated")


def replay(
    witness: Confined,
    steps: Steps,
    placed: Placed,
    seconds: float,
    target: str = "host",
    checked: bool = False,
) -> list[torch.Tensor]:
    """The results of steps on inputs in the witness's arena. Raises Unequal where they cannot be done."""
    prepare(witness, steps, placed, seconds, target, checked)
    answer = witness.ask({"do": "run"}, seconds).message
    if "error" in answer:
        raise Unequal(str(answer["error"]), bool(answer.get("bounds")))
    return [witness.arena.tensor(view).clone() for view in _places(steps, placed)]


def prepare(
    witness: Confined,
    steps: Steps,
    placed: Placed,
    seconds: float,
    target: str = "host",
    checked: bool = False,
) -> None:
    """Have the witness compile steps and lay them out. Raises Unequal where it cannot."""
    message = {
        "do": "prepare",
        "inputs": [view.to_json() for view in placed.views],
        "free": placed.free,
        "steps": steps.steps,
        "kernels": steps.kernels,
        "outputs": steps.outputs,
        "target": target,
        "checked": checked,
    }
    answer = witness.ask(message, seconds).message
    if "error" in answer:
        raise Unequal(str(answer["error"]), bool(answer.get("bounds")))


def _places(steps: Steps, placed: Placed) -> list[View]:
    """Where the results of steps lie in the witness's arena."""
    buffers = [(view.start, view.size) for view in placed.views]
    free = aligned(placed.free)
    for step in steps.steps:
        if step[0] == "allocate":
            buffers.append((free, step[1]))
            free = aligned(free + step[1] + 1)
    found = []
    for number, offset, dtype, shape, stride in steps.outputs:
        start, size = buffers[number]
        data = {"offset": start + offset, "dtype": dtype, "shape": shape, "stride": stride}
        found.append(View.from_json({**data, "start": start, "size": size}, 1 << 62))
    return found


def other_targets() -> tuple[str, ...]:
    """Two of `OTHERS` that this machine can run, or as many as there are."""
    return tuple(name for name in OTHERS if runs_here(targets.get(name)))[-2:]


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits, element by element."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return torch.equal(_bits(first), _bits(second))


def _bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view(-1).view(torch.uint8) if x.numel() else x.new_zeros(0, dtype=torch.uint8)
