"""Which argument does the address of each access come from? What checks of accesses go by.

In: a function whose calls are inlined. Out: the same function, each load, store and atomic operation with an
attribute `ORIGINS`: the numbers, among the kernel's pointer arguments, of those that its address may start
from; none where it may come from elsewhere, e.g. from memory. Those behind an operation by which programs
may wait for each other are marked `SYNCHRONISED`: what they do is ordered by other means than the grid.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.core import Block, Func, Op, Region, Value
from ..ir.types import PointerType

ORIGINS, SYNCHRONISED = "anychip.origins", "anychip.synchronised"

ACCESSES = frozenset({"tt.load", "tt.store", "tt.atomic_rmw", "tt.atomic_cas"})

_WAITS = frozenset({"tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_poll", "tt.atomic_load"})

_SAME_ROOT = frozenset(
    {
        "tt.addptr",
        "tt.splat",
        "tt.broadcast",
        "tt.expand_dims",
        "tt.reshape",
        "tt.trans",
        "tt.bitcast",
        "tt.unsplat",
    }
)

Roots = frozenset[Value]
"""Arguments that an address may start from."""


def pointer_slots(func: Func) -> tuple[int, ...]:
    """The slots of the pointers among a kernel's arguments."""
    return tuple(k for k, arg in enumerate(func.args) if isinstance(arg.element, PointerType))


def mark_origins(func: Func) -> None:
    """Set the attributes of every access."""
    numbers = {func.args[slot]: number for number, slot in enumerate(pointer_slots(func))}
    homes = dict(_homes(func.body, None))
    waited = _waited(func)
    for op in func.body.walk():
        if op.name not in ACCESSES:
            continue
        roots = _roots(op.operands[0], homes, set())
        known = roots is not None and all(root in numbers for root in roots)
        op.attrs[ORIGINS] = tuple(sorted(numbers[root] for root in roots)) if known and roots else ()
        if op in waited:
            op.attrs[SYNCHRONISED] = True


def _homes(region: Region, parent: Op | None) -> Iterator[tuple[Block, Op | None]]:
    for block in region.blocks:
        yield block, parent
        for op in block.ops:
            for nested in op.regions:
                yield from _homes(nested, op)


def _waited(func: Func) -> set[Op]:
    """Accesses that may run after an atomic operation whose result is used (or a volatile load): those behind
    the first one, and all in the outermost operation around it."""
    used = {value for op in func.body.walk() for value in op.operands}
    found: set[Op] = set()
    behind = False
    for block in func.body.blocks:
        for op in block.ops:
            inner = list(op.walk())
            behind = behind or any(_may_wait(one, used) for one in inner)
            if behind:
                found.update(one for one in inner if one.name in ACCESSES)
    return found


def _may_wait(op: Op, used: set[Value]) -> bool:
    if op.name == "tt.load":
        return bool(op.attrs.get("volatile"))
    return op.name in _WAITS and any(result in used for result in op.results)


def _roots(pointer: Value, homes: dict[Block, Op | None], seen: set[Value]) -> Roots | None:
    """The values that an address may start from, through loops and conditions; None if not all are known."""
    while True:
        if pointer in seen:
            return frozenset()
        seen.add(pointer)
        op = pointer.defining_op
        if op is not None:
            if op.name in _SAME_ROOT:
                pointer = op.operands[0]
                continue
            return _together(_choices(op, pointer.index), homes, seen)
        assert isinstance(pointer.owner, Block)
        parent = homes.get(pointer.owner)
        if parent is None:
            return frozenset({pointer})
        if parent.name == "scf.for" and pointer.index > 0:
            start = parent.operands[2 + pointer.index]
            again = parent.regions[0].entry.terminator.operands[pointer.index - 1]
            return _together([start, again], homes, seen)
        if parent.name == "scf.while" and pointer.owner is parent.regions[0].entry:
            again = parent.regions[1].entry.terminator.operands[pointer.index]
            return _together([parent.operands[pointer.index], again], homes, seen)
        if parent.name == "scf.while":
            pointer = parent.regions[0].entry.terminator.operands[1 + pointer.index]
            continue
        return None


def _choices(op: Op, k: int) -> list[Value]:
    """What result number `k` of an operation may be; nothing where that is not known."""
    if op.name == "arith.select":
        return op.operands[1:]
    if op.name == "scf.if":
        return [region.entry.terminator.operands[k] for region in op.regions if region.blocks]
    if op.name == "scf.for":
        return [op.operands[3 + k], op.regions[0].entry.terminator.operands[k]]
    if op.name == "scf.while":
        return [op.regions[0].entry.terminator.operands[1 + k]]
    return []


def _together(values: list[Value], homes: dict[Block, Op | None], seen: set[Value]) -> Roots | None:
    if not values:
        return None
    roots = [_roots(value, homes, seen) for value in values]
    known = [found for found in roots if found is not None]
    return frozenset().union(*known) if len(known) == len(roots) else None
