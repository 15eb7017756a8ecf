"""Which pointer arguments of a kernel are read through and which are written through.

A kernel without calls goes in; for each argument comes out what may be done to the memory behind it.
The answer errs on the side of more: a pointer that may come from two arguments counts for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..ir.core import Func, Op, Region, Value
from ..ir.types import PointerType, element_of

READERS = frozenset({"tt.load", "tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_load", "tt.atomic_poll"})
WRITERS = frozenset({"tt.store", "tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_store"})


ADDRESS_MAKERS = frozenset({"tt.int_to_ptr", "tt.load"})
"""Operations that make a pointer of what is no pointer argument."""


@dataclass(frozen=True, slots=True)
class ArgumentEffects:
    """Indices of the arguments whose memory may be read, and may be written. `hidden` is true when
    the kernel makes addresses from integers or loads them, so that it may reach any memory."""

    read: frozenset[int]
    written: frozenset[int]
    hidden: bool


def argument_effects(func: Func) -> ArgumentEffects:
    """The effects of a kernel from which calls were inlined."""
    flows: list[Flow] = []
    _collect(func.body, flows)
    sources: dict[Value, frozenset[int]] = {value: frozenset({k}) for k, value in enumerate(func.args)}
    learnt = True
    while learnt:
        learnt = False
        for origin, target in flows:
            more = sources.get(origin, frozenset()) - sources.get(target, frozenset())
            if more:
                sources[target] = sources.get(target, frozenset()) | more
                learnt = True
    read: set[int] = set()
    written: set[int] = set()
    hidden = False
    for op in func.body.walk():
        if op.name in READERS:
            read |= sources.get(op.operands[0], frozenset())
        if op.name in WRITERS:
            written |= sources.get(op.operands[0], frozenset())
        makes_address = any(_is_pointer(value) for value in op.results)
        hidden = hidden or (makes_address and op.name in ADDRESS_MAKERS)
    return ArgumentEffects(frozenset(read), frozenset(written), hidden)


Flow = tuple[Value, Value]
"""A pointer that another may come from, and that other."""


def _collect(region: Region, flows: list[Flow]) -> None:
    """Add the flows of every operation in a region."""
    for op in region.walk():
        rule = _RULES.get(op.name, _from_operands)
        flows += ((origin, target) for origin, target in rule(op) if _is_pointer(target))
        for block, values in op.successors:
            flows += zip(values, block.args)


def _from_operands(op: Op) -> Iterator[Flow]:
    """Whatever an operation makes may come from each of its operands."""
    targets = [
        *op.results,
        *(value for region in op.regions for block in region.blocks for value in block.args),
    ]
    for target in targets:
        for operand in op.operands:
            if _is_pointer(operand):
                yield operand, target


def _for(op: Op) -> Iterator[Flow]:
    """`scf.for`: operands are lower bound, upper bound, step and initial values; the body's first
    argument is the counter."""
    body = op.regions[0].entry
    for initial, carried, result in zip(op.operands[3:], body.args[1:], op.results):
        yield from ((initial, carried), (initial, result))
    for value, carried, result in zip(body.terminator.operands, body.args[1:], op.results):
        yield from ((value, carried), (value, result))


def _while(op: Op) -> Iterator[Flow]:
    """`scf.while`: the first region's condition hands values to the second region and to the results,
    whose yield hands them back."""
    before, after = (region.entry for region in op.regions)
    yield from zip(op.operands, before.args)
    for value, carried, result in zip(before.terminator.operands[1:], after.args, op.results):
        yield from ((value, carried), (value, result))
    yield from zip(after.terminator.operands, before.args)


def _leaving(*terminators: str) -> Callable[[Op], Iterator[Flow]]:
    """Results come from what `terminators` hand out of the regions."""

    def flows(op: Op) -> Iterator[Flow]:
        for region in op.regions:
            for block in region.blocks:
                if block.terminator.name in terminators:
                    yield from zip(block.terminator.operands, op.results)

    return flows


_RULES: dict[str, Callable[[Op], Iterator[Flow]]] = {
    "scf.for": _for,
    "scf.while": _while,
    "scf.if": _leaving("scf.yield"),
    "anychip.region": _leaving("tt.return"),
}


def _is_pointer(value: Value) -> bool:
    return isinstance(element_of(value.type), PointerType)
