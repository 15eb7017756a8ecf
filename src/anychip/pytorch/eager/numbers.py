"""Floating numbers that differ from call to call, as the step sizes of an optimizer do. Flows in: a call's
arguments, and what it launched. Flows out: the numbers that are no part of its signature, and the trace in
which the slots that hold them are known: a later call with other numbers gets its own in their places.

It is so for operators that hand a number to their kernels as it is and do nothing else with it; each recorded
call is looked at for that. Numbers that operators may treat apart (zero, ones, halves, infinities) stay in
the signature, told by the last bits of their double."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable
from typing import Any

from ...runtime.slots import MASK64
from .recording import Trace
from .signature import EXPONENT, UNUSUAL
from .structures import MOST_NUMBERS

OPEN = frozenset(
    name + suffix
    for packet, overloads in {
        "add": (".Tensor",),
        "sub": (".Tensor",),
        "mul": (".Tensor",),
        "div": (".Tensor",),
        "addcmul": ("",),
        "addcdiv": ("",),
        "lerp": (".Scalar",),
    }.items()
    for name in (packet, packet + "_")
    for suffix in overloads
)
"""Overloads whose numbers reach kernels as they are."""


def of_values(values: Iterable[Any]) -> tuple[int, ...]:
    """The bits of those floating numbers among a call's values that are no part of its signature, in
    order."""
    doubles = (struct.unpack("<Q", struct.pack("<d", x))[0] for x in values if type(x) is float)
    return tuple(bits for bits in doubles if bits & UNUSUAL and bits & EXPONENT)[:MOST_NUMBERS]


def handed(trace: Trace, numbers: tuple[int, ...]) -> Trace | None:
    """The trace with each number's slots known; None where two numbers are alike, or one is in no slot of a
    call that launched something."""
    if not numbers or not trace.steps:
        return trace
    if len(set(numbers)) < len(numbers):
        return None
    steps, seen = [], set()
    for step in trace.steps:
        addresses = {slot for slot, _ in step.places}
        found = tuple(
            (slot, numbers.index(value & MASK64))
            for slot, value in enumerate(step.slots)
            if slot not in addresses and value & MASK64 in numbers
        )
        slots = list(step.slots)
        for slot, number in found:
            slots[slot] = 0
            seen.add(number)
        steps.append(dataclasses.replace(step, slots=tuple(slots), numbers=found))
    if len(seen) < len(numbers):
        return None
    return dataclasses.replace(trace, steps=tuple(steps), numbers=len(numbers))
