"""Which pointer arguments of a kernel are read through and which are written through.

A kernel without calls goes in; for each argument comes out what may be done to the memory behind it.
The answer errs on the side of more: a pointer that may come from two arguments counts for both.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Func, Op, Region, Value
from ..ir.types import PointerType, element_of

READERS = frozenset({"tt.load", "tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_load", "tt.atomic_poll"})
WRITERS = frozenset({"tt.store", "tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_store"})


@dataclass(frozen=True, slots=True)
class ArgumentEffects:
    """Indices of the arguments whose memory may be read, and may be written. `hidden` is true when
    the kernel makes addresses from integers or loads them, so that it may reach any memory."""

    read: frozenset[int]
    written: frozenset[int]
    hidden: bool


def argument_effects(func: Func) -> ArgumentEffects:
    """The effects of a kernel from which calls were inlined."""
    sources: dict[Value, frozenset[int]] = {
        value: frozenset({index}) for index, value in enumerate(func.args) if _is_pointer(value)
    }
    while _spread(func.body, sources, frozenset()):
        pass
    read: set[int] = set()
    written: set[int] = set()
    hidden = False
    for op in func.body.walk():
        if op.name in READERS:
            read |= _reached(op, sources)
        if op.name in WRITERS:
            written |= _reached(op, sources)
        makes_address = any(_is_pointer(value) for value in op.results)
        hidden = hidden or (makes_address and op.name in ("tt.int_to_ptr", "tt.load"))
    return ArgumentEffects(frozenset(read), frozenset(written), hidden)


def _is_pointer(value: Value) -> bool:
    return isinstance(element_of(value.type), PointerType)


def _reached(op: Op, sources: dict[Value, frozenset[int]]) -> frozenset[int]:
    return sources.get(op.operands[0], frozenset())


def _spread(region: Region, sources: dict[Value, frozenset[int]], outer: frozenset[int]) -> bool:
    """One pass: every pointer that an operation makes, or that enters or leaves its regions, may come
    from whatever pointers the operation and its regions' terminators take. Returns whether anything
    was learnt. `outer` are the sources that enter the region."""
    learnt = False
    for block in region.blocks:
        for value in block.args:
            if _is_pointer(value) and value not in sources:
                sources[value] = frozenset()
            if _is_pointer(value) and outer - sources[value]:
                sources[value] |= outer
                learnt = True
        for op in block.ops:
            taken = _taken(op, sources)
            for nested in op.regions:
                for inner in nested.blocks:
                    taken |= _taken(inner.terminator, sources)
            for nested in op.regions:
                learnt |= _spread(nested, sources, taken)
            for value in op.results:
                if _is_pointer(value) and taken - sources.get(value, frozenset()):
                    sources[value] = sources.get(value, frozenset()) | taken
                    learnt = True
            for block_to, values in op.successors:
                for parameter, value in zip(block_to.args, values):
                    known = sources.get(parameter, frozenset())
                    more = sources.get(value, frozenset()) - known
                    if more and _is_pointer(parameter):
                        sources[parameter] = known | more
                        learnt = True
    return learnt


def _taken(op: Op, sources: dict[Value, frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*(sources.get(value, frozenset()) for value in op.operands))
