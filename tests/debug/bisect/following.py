"""Runs models here, with and without a fault, and says where they part: what `anychip debug bisect` does over
two processes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from tests.debug.bisect.models import MODELS
from tests.debug.bisect.planted import Fault, Planted

import anychip
from anychip.debug.bisect.comparing import Comparison, Pair, compare
from anychip.debug.bisect.emulated import EmulatedChip
from anychip.debug.bisect.judging import FAULT, Verdict, judge
from anychip.debug.bisect.trace_file import Step, Trace
from anychip.debug.bisect.tracing import Captured, Tracer, tracing


class _All(frozenset):  # type: ignore[type-arg]
    """Every step is wanted."""

    def __bool__(self) -> bool:
        return True

    def __contains__(self, number: Any) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Followed:
    """What one run did, and each of its steps with inputs and results."""

    model: str
    trace: Trace
    captured: dict[int, Captured]


def follow(model: str, fault: Fault | None = None, chip: EmulatedChip | None = None) -> Followed:
    """Run a model under the portable policy, by the kernels of an emulated chip if there is one."""
    run = MODELS[model]()
    steps: list[Step] = []
    captured: dict[int, Captured] = {}

    def keep(one: Captured) -> None:
        captured[one.number] = one

    planted = None if fault is None else Planted(fault)
    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(anychip.using("portable"))
        if planted is not None:
            stack.enter_context(planted)
        stack.enter_context(tracing(Tracer(steps.append, wanted=_All(), on_captured=keep, chip=chip)))
        run()
    assert planted is None or planted.seen > planted.fault.call
    return Followed(model, Trace(steps), captured)


def first_wrong(a: Followed, b: Followed) -> tuple[Comparison, Pair | None, Verdict | None]:
    """The first step of `b` that is wrong, of those that are suspicious."""
    comparison = compare(a.trace, b.trace)
    for pair in comparison.suspects():
        verdict = judge(b.captured[pair.b.number])
        if verdict.outcome == FAULT:
            return comparison, pair, verdict
    return comparison, None, None


def planted_step(fault: Fault, followed: Followed) -> int:
    """The number of the step in which a fault was planted."""
    found = [s.number for s in followed.trace.steps if s.name == f"aten.{fault.overload}"]
    return found[fault.call]
