"""What the witness says of a candidate's launches, as checks. Flows in: the steps of a call, and inputs.
Flows out: nothing, or the check that failed."""

from __future__ import annotations

import dataclasses

import torch

from . import replaying
from .errors import ProcessEnded
from .judgement import Call, Fault, Judgement, Kinds, Shape
from .processes.confined import Confined
from .replaying import Steps, Unequal


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """A shape that the candidate was tried on, what results have then, and what it did."""

    shape: Shape
    kinds: Kinds
    steps: Steps


def right(judgement: Judgement, check: str, call: Call, fault: str | None) -> None:
    if fault is not None:
        raise Fault(check, fault, call.inputs)
    judgement.passed(check)


def run(
    judgement: Judgement,
    witness: Confined,
    steps: Steps,
    call: Call,
    check: str,
    target: str = "host",
    checked: bool = False,
) -> list[torch.Tensor]:
    """The results of steps in the witness; that there are none is a fault of `check`."""
    try:
        return replaying.replay(witness, steps, call.placed, judgement.terms.seconds, target, checked)
    except (Unequal, ProcessEnded) as error:
        raise Fault(check, str(error), call.inputs) from None


def same(judgement: Judgement, witness: Confined, shape: Shape, call: Call, steps: Steps) -> None:
    """The witness's results for the inputs of a call are the call's."""
    placed = judgement.place(witness, shape, call.arguments)
    results = run(judgement, witness, steps, Call(call.arguments, placed), "replayed")
    if not all(replaying.same_bits(a, b) for a, b in zip(results, call.results, strict=True)):
        raise Fault("replayed", "the launches alone do not give the results", call.inputs)
    judgement.passed("replayed")
