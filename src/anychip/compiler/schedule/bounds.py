"""Has a kernel check that what it accesses lies in the tensors that its arguments belong to.

In: a function whose calls are inlined. Out: the same function with two more arguments (i64) for each pointer
argument, the bytes from the pointer to the begin and to the end of its memory; before each load, store and
atomic operation, every address is compared with them, an element outside is reported by an assertion, and
the access leaves it out. An address that does not start from one argument is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ir.core import Block, Func, Op, Region, Value
from ..ir.insertion import Inserter
from ..ir.ops import MASK_OPERAND
from ..ir.types import I1, I64, PointerType, ScalarType, TileType, Type

MARK = "out of bounds"
"""The first words of the assertions' texts; what follows is separated by `SEPARATOR`: kind of access, name
of the argument, number of its slot, bytes of an element."""

SEPARATOR = "\x1f"

_KINDS = {
    "tt.load": "reads",
    "tt.store": "writes",
    "tt.atomic_rmw": "updates",
    "tt.atomic_cas": "updates",
}

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


@dataclass(frozen=True, slots=True)
class Extent:
    """A pointer argument and its bounds: the memory is `low <= address - pointer < high`."""

    slot: int
    pointer: Value
    low: Value
    high: Value


def pointer_slots(func: Func) -> tuple[int, ...]:
    """The slots of the pointers among a kernel's arguments."""
    return tuple(k for k, arg in enumerate(func.args) if isinstance(arg.element, PointerType))


def check_bounds(func: Func) -> None:
    """Add the checks, and two arguments for each of `pointer_slots`."""
    extents: dict[Value, Extent] = {}
    entry = func.body.entry
    for slot in pointer_slots(func):
        pointer = func.args[slot]
        low, high = entry.add_arg(I64, f"{pointer.name}.low"), entry.add_arg(I64, f"{pointer.name}.high")
        extents[pointer] = Extent(slot, pointer, low, high)
    homes = dict(_homes(func.body, None))
    _region(func.body, extents, homes)


def _homes(region: Region, parent: Op | None) -> Iterator[tuple[Block, Op | None]]:
    for block in region.blocks:
        yield block, parent
        for op in block.ops:
            for nested in op.regions:
                yield from _homes(nested, op)


def _region(region: Region, extents: dict[Value, Extent], homes: dict[Block, Op | None]) -> None:
    for block in region.blocks:
        for op in list(block.ops):
            for nested in op.regions:
                _region(nested, extents, homes)
            if op.name in _KINDS:
                root = _root(op.operands[0], homes, set())
                if root in extents:
                    _check(op, Inserter(block, block.ops.index(op), op, "bounds"), extents[root])


def _root(pointer: Value, homes: dict[Block, Op | None], seen: set[Value]) -> Value | None:
    """The argument that an address starts from, through loops and conditions; None if it is not one."""
    while True:
        if pointer in seen:
            return None
        seen.add(pointer)
        op = pointer.defining_op
        if op is not None:
            if op.name in _SAME_ROOT:
                pointer = op.operands[0]
                continue
            return _only(_choices(op, pointer.index), homes, seen)
        assert isinstance(pointer.owner, Block)
        parent = homes.get(pointer.owner)
        if parent is None:
            return pointer
        if parent.name == "scf.for" and pointer.index > 0:
            pointer = parent.operands[2 + pointer.index]
        elif parent.name == "scf.while" and pointer.owner is parent.regions[0].entry:
            pointer = parent.operands[pointer.index]
        elif parent.name == "scf.while":
            pointer = parent.regions[0].entry.terminator.operands[1 + pointer.index]
        else:
            return None


def _choices(op: Op, k: int) -> list[Value]:
    """What result number `k` of an operation may be."""
    if op.name == "arith.select":
        return op.operands[1:]
    if op.name == "scf.if":
        return [region.entry.terminator.operands[k] for region in op.regions if region.blocks]
    if op.name == "scf.for":
        return [op.operands[3 + k]]
    if op.name == "scf.while":
        return [op.regions[0].entry.terminator.operands[1 + k]]
    return []


def _only(values: list[Value], homes: dict[Block, Op | None], seen: set[Value]) -> Value | None:
    roots = {_root(value, homes, set(seen)) for value in values}
    return roots.pop() if len(roots) == 1 else None


def _check(op: Op, insert: Inserter, extent: Extent) -> None:
    """Report the elements of `op` that lie outside, and leave them out."""
    pointer = op.operands[0]
    element = pointer.element
    assert isinstance(element, PointerType)

    def like(scalar: ScalarType) -> Type:
        return TileType(pointer.shape, scalar) if pointer.shape else scalar

    def spread(value: Value) -> Value:
        return insert.op("tt.splat", [value], like(I64)) if pointer.shape else value

    size = element.pointee.bytes
    base = insert.op("tt.ptr_to_int", [extent.pointer], I64)
    offset = insert.op(
        "arith.subi", [insert.op("tt.ptr_to_int", [pointer], like(I64)), spread(base)], like(I64)
    )
    last = insert.op("arith.subi", [extent.high, insert.constant(size, I64)], I64)
    above = insert.op("arith.cmpi", [offset, spread(extent.low)], like(I1), {"predicate": "sge"})
    below = insert.op("arith.cmpi", [offset, spread(last)], like(I1), {"predicate": "sle"})
    inside = insert.op("arith.andi", [above, below], like(I1))
    well = inside
    place = MASK_OPERAND.get(op.name)
    if place is not None and len(op.operands) > place:
        mask = op.operands[place]
        unmasked = insert.op("arith.xori", [mask, insert.constant(1, like(I1))], like(I1))
        well = insert.op("arith.ori", [inside, unmasked], like(I1))
        inside = insert.op("arith.andi", [inside, mask], like(I1))
    words = (MARK, _KINDS[op.name], extent.pointer.name, str(extent.slot), str(size))
    report = Op("tt.assert", [well, offset], attrs={"message": SEPARATOR.join(words)}, location=op.location)
    insert.block.ops.insert(insert.index, report)
    insert.index += 1
    if place is None:
        spare = insert.op("tt.splat", [extent.pointer], pointer.type) if pointer.shape else extent.pointer
        op.operands[0] = insert.op("arith.select", [inside, pointer, spare], pointer.type)
    elif len(op.operands) > place:
        op.operands[place] = inside
    else:
        op.operands.append(inside)
