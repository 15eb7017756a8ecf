"""What an eager call of a small operator costs above PyTorch's own, stage by stage.

Flows in: a table of calls on small tensors. Flows out: for each, the time of PyTorch's own call, of ours,
which native code serves, and of the first ones, which go through Python, with where that goes: PyTorch's
dispatcher and our counting, the operator's Python, the plan's launch, and the native launcher with the kernel
itself. Each stage is the difference of two calls, one of which goes one stage deeper; a time is the least of
several loops, so that a busy machine does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from triton import knobs

from ..ops.launching import Plan, planned_launches
from ..ops.registry import overloads
from ..pytorch import using
from ..pytorch.eager import sites
from .errors import BenchmarkError

SIDE = 16
CALLS = 100
ROUNDS = 200


class Call(NamedTuple):
    """A small call: the overload that serves it, its arguments, and the same as a user writes it."""

    label: str
    overload: str
    arguments: tuple[Any, ...]
    written: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds of one call. `native` is PyTorch's own, `ours` the same call under the portable policy,
    `python` the same where its signature is new; the four stages add up to that."""

    label: str
    native: float
    ours: float
    python: float
    dispatch: float
    operator: float
    plan: float
    kernel: float

    @property
    def above(self) -> float:
        """What our call costs above PyTorch's own."""
        return self.ours - self.native


def calls() -> list[Call]:
    """The calls that are timed: 16 x 16 elements in single precision."""
    x, y = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    weight, bias = torch.ones(SIDE), torch.zeros(SIDE)
    norm = torch.nn.functional.layer_norm
    return [
        Call("add", "add.Tensor", (x, y), lambda: x + y),
        Call("mul", "mul.Tensor", (x, y), lambda: x * y),
        Call("relu", "relu", (x,), lambda: torch.relu(x)),
        Call("softmax", "_softmax", (x, -1, False), lambda: torch.softmax(x, -1)),
        Call(
            "layer_norm",
            "native_layer_norm",
            (x, [SIDE], weight, bias, 1e-5),
            lambda: norm(x, (SIDE,), weight, bias),
        ),
        Call("mm", "mm", (x, y), lambda: torch.mm(x, y)),
    ]


def measure(call: Call) -> Overhead:
    """Time one call and its stages. Raises BenchmarkError where it is not one launch of a plan."""
    implementation = overloads()[call.overload][1].implementation
    with torch.no_grad():
        native = _least(call.written)
        with using("portable"):
            ours = _least(call.written)
        with using("portable"), sites.through_python():
            python = _least(call.written)
            operator = _least(lambda: implementation(*call.arguments))
            plan, tensors, numbers = _only_launch(call)
            launch = _least(lambda: plan.launch(*tensors, numbers=numbers))
            kernel = _least(_native_launch(plan, tensors, numbers))
    return Overhead(
        call.label, native, ours, python, python - operator, operator - launch, launch - kernel, kernel
    )


def _least(function: Callable[[], Any]) -> float:
    """The least time of a call over several loops, in microseconds."""
    for _ in range(CALLS):
        function()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            function()
        times.append(time.perf_counter() - start)
    return min(times) / CALLS * 1e6


def _only_launch(call: Call) -> tuple[Plan, Sequence[Any], tuple[int, ...]]:
    """The plan that a call launches, with what it launches it with."""
    with planned_launches() as seen:
        call.written()
    if len(seen) != 1:
        raise BenchmarkError(f"{call.label} makes {len(seen)} launches; the stages are those of one.")
    return seen[0]


def _native_launch(plan: Plan, tensors: Sequence[Any], numbers: tuple[int, ...]) -> Callable[[], Any]:
    """The native launcher alone, as a plan calls it."""
    (run, function, metadata, _, constants) = next(iter(plan.ready.values()))
    hooks = knobs.runtime
    given = (
        *plan.grid,
        0,
        function,
        metadata,
        None,
        hooks.launch_enter_hook,
        hooks.launch_exit_hook,
        *tensors,
        *plan.sizes,
        *numbers,
        *constants,
    )
    return lambda: run(*given)
