"""What a judgement has at hand: its terms, the shapes that are drawn, and calls of the candidate. Flows in: a
candidate's file and function, a task, a nursery. Flows out: calls whose results were copied while the
candidate stood still, or the check that failed."""

from __future__ import annotations

import random
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from ..bench.roofs import Roofs
from ..evidence.inputs import summary
from . import expected, replaying
from .arena import POISONS, View
from .errors import JudgeError, ProcessEnded, TaskError
from .expected import Expected
from .placing import STRIDES, Layout, Placed, place
from .processes.confined import Confined, Nursery
from .tasks import Draw, Task
from .tasks.task import Arguments
from .verdict import Check, Verdict


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a candidate is judged. `scale`: how large the timed shapes are, from 0 to 1. `shapes`:
    how many shapes are tried. `rounds`: timed pairs. `checked`: timed results that are compared. `seconds`:
    the longest that a call may take. `targets`: instruction sets besides this machine's own, by the
    compiler's names (None: those that this machine can run). `clock`: "wall", or "processor" for the time
    that the scheduler gave a process's threads, which tells more where the machine is busy. `at_least`: the
    speed that is asked for. `seed`: None draws one."""

    dtype: torch.dtype = torch.float32
    scale: float = 0.7
    shapes: int = 4
    rounds: int = 21
    checked: int = 3
    seconds: float = 120.0
    threads: int = 1
    targets: tuple[str, ...] | None = None
    clock: str = "wall"
    at_least: float = 0.0
    roofs: Roofs | None = None
    cache: Path | None = None
    seed: int | None = None


TWINS = 1 / 3
"""Part of the calls whose arguments are twins of those before."""

Kinds = list[tuple[tuple[int, ...], torch.dtype]]
"""Shapes and types of results."""


class Fault(Exception):
    """A check failed."""

    def __init__(self, name: str, detail: str, inputs: str = ""):
        super().__init__(detail)
        self.check = Check(name, "failed", detail, inputs)


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the shapes that a candidate is tried on: the seed of its sizes, and its strides."""

    sizes: int
    layout: Layout
    scale: float


@dataclass(slots=True)
class Call:
    """A call of the candidate as the judge saw it."""

    arguments: Arguments
    placed: Placed
    outputs: list[View] = field(default_factory=list)
    results: list[torch.Tensor] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0

    @property
    def inputs(self) -> str:
        """The arguments in words."""
        return summary([*self.arguments.positional, *self.arguments.keywords.values()])


class Judgement:
    """What a judgement has at hand: the candidate's process, and what is drawn."""

    def __init__(self, nursery: Nursery, task: Task, path: Path, function: str, terms: Terms):
        self.nursery, self.task, self.terms = nursery, task, terms
        self.path, self.function = path, function
        self.chance = random.Random(secrets.randbits(128) if terms.seed is None else terms.seed)
        self.verdict = Verdict(task.name, str(terms.dtype).removeprefix("torch."), f"{path.name}:{function}")
        self.shapes = [self._shape(number) for number in range(terms.shapes)]
        self.arena_bytes = self._arena_bytes()
        self.numbers = 0
        self.last: dict[Shape, tuple[Arguments, int]] = {}

    def _shape(self, number: int) -> Shape:
        smaller = self.terms.scale * self.chance.uniform(0.0, 0.6) if number % 2 else self.terms.scale
        style = number if number < len(STRIDES) else None
        layout = Layout(style, self.chance.getrandbits(60), self.task.strided)
        return Shape(self.chance.getrandbits(60), layout, smaller)

    def _arena_bytes(self) -> int:
        most = 0
        for shape in self.shapes:
            given = self.drawn(shape)
            wanted = expected.forward(self.task, given, self.terms.dtype)
            tensors = [
                x for x in tree_flatten((tuple(given), wanted.native))[0] if isinstance(x, torch.Tensor)
            ]
            most = max(most, sum(x.numel() * x.element_size() for x in tensors))
        return (8 << 20) + 8 * most

    def drawn(self, shape: Shape, values: str = "") -> Arguments:
        """Fresh arguments of a shape."""
        draw = Draw(shape.sizes, self.chance.getrandbits(60), shape.scale, self.terms.dtype, values)
        try:
            return self.task.draw(draw)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise TaskError(f"the arguments of {self.task.name} cannot be drawn: {reason}") from error

    def fresh(self, shape: Shape, twin: bool | None = None) -> tuple[Arguments, int]:
        """Fresh arguments of a shape and a seed of their places; now and then (or if `twin`) a twin of the
        last ones: at the same places, and the same but for a part that a look at some elements may not
        show."""
        arguments, places = self.drawn(shape), self.chance.getrandbits(60)
        if twin is None:
            twin = self.chance.random() < TWINS
        if twin and shape in self.last:
            before, places = self.last[shape]
            arguments = self._twin(before, arguments)
        self.last[shape] = arguments, places
        return arguments, places

    def _twin(self, before: Arguments, fresh: Arguments) -> Arguments:
        """Arguments like those before, with half of each tensor's elements, in a row, from the fresh ones."""

        def mixed(old: Any, new: Any) -> Any:
            if not isinstance(old, torch.Tensor) or old.numel() < 2 or not self.task.mixes(old):
                return old
            flat, half = old.flatten().clone(), old.numel() // 2
            start = self.chance.randrange(old.numel() - half + 1)
            flat[start : start + half] = new.flatten()[start : start + half]
            return flat.reshape(old.shape)

        return Arguments(*tree_map(mixed, tuple(before), tuple(fresh)))

    def place(
        self,
        process: Confined,
        shape: Shape,
        arguments: Arguments,
        weights: list[torch.Tensor] | None = None,
        poison: int | None = None,
        places: int | None = None,
    ) -> Placed:
        """Arguments in a process's arena, all else poisoned. `places`: a seed for where they are put."""
        return place(
            process.arena,
            (arguments.positional, dict(arguments.keywords)),
            chance=self.chance if places is None else random.Random(places),
            layout=shape.layout,
            poison=self.chance.choice(POISONS) if poison is None else poison,
            used=process.arena.size,
            weights=weights,
        )

    def passed(self, name: str, detail: str = "") -> None:
        """Note a check that passed, once."""
        if all(check.name != name for check in self.verdict.checks):
            self.verdict.checks.append(Check(name, "passed", detail))

    def not_made(self, name: str, why: str) -> None:
        """Note a check that could not be made."""
        self.verdict.checks.append(Check(name, "not made", why))

    # ---- the candidate ----------------------------------------------------------------------------

    def start(self) -> Confined:
        """The candidate's process, with its code loaded."""
        candidate = self.nursery.start(
            "candidate", self.arena_bytes, threads=self.terms.threads, cache=self.terms.cache
        )
        self.verdict.held = candidate.held
        copy = candidate.workspace / "candidate.py"
        shutil.copyfile(self.path, copy)
        copy.chmod(0o644)
        init = {"list": []}
        if self.task.init:
            from .processes.values import encoded

            init = encoded(list(self.task.init), lambda x: _refuse(x))
        message = {"do": "load", "path": str(copy), "function": self.function, "init": init}
        answer = self.ask(candidate, "loaded", message)
        if "error" in answer:
            candidate.close()
            raise Fault("loaded", str(answer["error"]))
        self.passed("loaded")
        return candidate

    def ask(self, process: Confined, name: str, message: dict[str, Any]) -> dict[str, Any]:
        """An answer of the candidate's; that there is none is a fault of the check `name`."""
        try:
            return process.ask(message, self.terms.seconds).message
        except ProcessEnded as error:
            raise Fault(name, str(error)) from None

    def call(self, candidate: Confined, shape: Shape, arguments: Arguments, places: int) -> Call:
        """Call the candidate on arguments at some places."""
        return self.made(candidate, Call(arguments, self.place(candidate, shape, arguments, places=places)))

    def made(self, candidate: Confined, call: Call) -> Call:
        """Make a call that is placed."""
        self.numbers += 1
        placed = call.placed
        message = {"do": "call", "number": self.numbers, "arguments": placed.tree, "free": placed.free}
        if placed.weights:
            message["weights"] = placed.weights
        try:
            answer, call.seconds, call.processor = candidate.ask(message, self.terms.seconds)
        except ProcessEnded as error:
            raise Fault("ran", str(error), call.inputs) from None
        refused = answer.get("refused")
        if answer.get("compute") or refused:
            raise Fault("computed by kernels", str(answer.get("error") or f"{refused} computes"), call.inputs)
        if "error" in answer:
            raise Fault("ran", str(answer["error"]), call.inputs)
        self.passed("ran")
        try:
            call.outputs = [View.from_json(view, candidate.arena.size) for view in answer["outputs"]]
        except (ValueError, KeyError, TypeError) as error:
            raise Fault("ran", f"the process answered with {error}") from None
        launched = isinstance(answer.get("launches"), int) and answer["launches"] > 0
        if not launched and replaying.computes(placed.views, call.outputs):
            raise Fault("computed by kernels", "no kernel was launched", call.inputs)
        self.passed("computed by kernels")
        return call

    def taken(self, candidate: Confined, call: Call, wanted: Kinds) -> Call:
        """Copy a call's results out of the arena, if they have the wanted shapes and types, and see whether
        its inputs are what they were."""
        found = [(view.shape, view.dtype) for view in call.outputs]
        if wanted != found:
            raise Fault("right", f"results {_told(found)} instead of {_told(wanted)}", call.inputs)
        call.results = [candidate.arena.tensor(view).clone() for view in call.outputs]
        if call.placed.changed(candidate.arena):
            raise Fault("inputs unchanged", "the memory of an input was written", call.inputs)
        self.passed("inputs unchanged")
        return call

    def steps(self, candidate: Confined, call: Call) -> replaying.Steps:
        """What the candidate says that its latest call did."""
        answer = self.ask(candidate, "replayed", {"do": "steps", "number": self.numbers})
        if "error" in answer:
            raise Fault("replayed", str(answer["error"]), call.inputs)
        try:
            return replaying.Steps.of(answer, call.placed.views, call.outputs, call.placed.free)
        except replaying.NoSteps as reason:
            raise Fault("replayed", str(reason), call.inputs) from None


def kinds(wanted: Expected) -> Kinds:
    """The shapes and types of what a call should give."""
    return [(tuple(x.shape), x.dtype) for x in wanted.native]


def _told(found: Kinds) -> str:
    return ", ".join(f"{str(dtype)[6:]}{list(shape)}" for shape, dtype in found)


def _refuse(value: torch.Tensor) -> View:
    raise JudgeError("a model cannot be made of tensors: `get_init_inputs` gives plain values.")
