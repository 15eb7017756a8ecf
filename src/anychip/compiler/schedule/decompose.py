"""Rewrites operations of a format or a shape of their own into plain ones, before scheduling.

In: a function whose calls are inlined. Out: the same function without `tt.dot_scaled` (its operands are
unpacked to f32 and multiplied by their scales, and an ordinary `tt.dot` follows), without prints of tiles of
several shapes at once, and without inline PTX.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Func, Op, Region, Value
from ..ir.insertion import Inserter
from ..ir.types import F16, F32, I1, I8, I16, I32, ScalarType, TileType, Type
from ..ptx.translate import translate

NIBBLE_SCALE = 2.0**14
"""The bits of an e2m1 number, put below f16's exponent, read as the number times 2**-14."""

SCALE_NAN, SCALE_MIN = 0xFF, 0x00400000
"""An e8m0 scale of all ones is NaN; one of zero is 2**-127, a subnormal f32."""

QUIET_NAN = 0x7FC00000

INLINE_ASSEMBLY = "tt.elementwise_inline_asm"


def decompose(func: Func) -> None:
    """Rewrite every operation that has a rule here."""
    replaced: dict[Value, Value] = {}
    _region(func.body, replaced)
    if replaced:
        for op in func.body.walk():
            op.operands = [replaced.get(value, value) for value in op.operands]
            op.successors = [
                (block, [replaced.get(value, value) for value in passed]) for block, passed in op.successors
            ]


def _region(region: Region, replaced: dict[Value, Value]) -> None:
    """Rewrite in `region`; `replaced` gets what stands for results of operations that are gone."""
    for block in region.blocks:
        for op in list(block.ops):
            for nested in op.regions:
                _region(nested, replaced)
            if op.name == INLINE_ASSEMBLY:
                op.operands = [replaced.get(value, value) for value in op.operands]
                values = translate(op, Inserter(block, block.ops.index(op), op, "ptx"))
                replaced.update(zip(op.results, values, strict=True))
                block.ops.remove(op)
                continue
            rule = _RULES.get(op.name)
            if rule is not None:
                insert = Inserter(block, block.ops.index(op), op, "scaled")
                rule(op, insert)


def _tile(value: Value, element: ScalarType) -> Type:
    return TileType(value.shape, element)


def _dot_scaled(op: Op, insert: Inserter) -> None:
    """Turn `op` into a `tt.dot` of its operands as scaled f32 tiles.

    The formats are those of the OCP Microscaling Formats specification, version 1.0.
    """
    attrs = op.attrs
    a, b, c = op.operands[:3]
    scales = [None if attrs[side] is None else op.operands[attrs[side]] for side in ("a_scale", "b_scale")]
    left = _operand(insert, a, attrs["a_elem_type"], packed_last=attrs["lhs_k_pack"])
    right = _operand(insert, b, attrs["b_elem_type"], packed_last=not attrs["rhs_k_pack"])
    if scales[0] is not None:
        left = insert.op("arith.mulf", [left, _spread(insert, scales[0], left.shape[-1])], left.type)
    if scales[1] is not None:
        spread = _swap_last(insert, _spread(insert, scales[1], right.shape[-2]))
        right = insert.op("arith.mulf", [right, spread], right.type)
    op.name = "tt.dot"
    op.operands = [left, right, c]
    op.attrs = {"input_precision": "ieee", "max_num_imprecise_acc": 0}


def _operand(insert: Inserter, value: Value, kind: str, packed_last: bool) -> Value:
    """An operand as f32; pairs of e2m1 numbers are packed along the last axis or the one before."""
    if kind == "e2m1":
        return _unpack(insert, value, packed_last)
    return value if value.element == F32 else insert.op("tt.fp_to_fp", [value], _tile(value, F32))


def _unpack(insert: Inserter, packed: Value, packed_last: bool) -> Value:
    """The two e2m1 numbers in each byte of `packed`, the low one first."""
    four = insert.constant(4, packed.type)
    low = _nibble(insert, packed)
    high = _nibble(insert, insert.op("arith.shrui", [packed, four], packed.type))
    pairs = insert.op("tt.join", [low, high], TileType((*packed.shape, 2), F32))
    *outer, rows, columns = packed.shape
    if packed_last:
        return insert.op("tt.reshape", [pairs], TileType((*outer, rows, 2 * columns), F32))
    pairs = _swap_last(insert, pairs)
    return insert.op("tt.reshape", [pairs], TileType((*outer, 2 * rows, columns), F32))


def _nibble(insert: Inserter, byte: Value) -> Value:
    """The e2m1 number in the low four bits of each byte, as f32."""
    wide = _tile(byte, I16)
    bits = insert.op("arith.extui", [byte], wide)

    def part(mask: int, shift: int) -> Value:
        chosen = insert.op("arith.andi", [bits, insert.constant(mask, wide)], wide)
        return insert.op("arith.shli", [chosen, insert.constant(shift, wide)], wide)

    half = insert.op("arith.ori", [part(0x7, 9), part(0x8, 12)], wide)
    small = insert.op("arith.extf", [insert.op("tt.bitcast", [half], _tile(byte, F16))], _tile(byte, F32))
    return insert.op("arith.mulf", [small, insert.constant(NIBBLE_SCALE, small.type)], small.type)


def _spread(insert: Inserter, scale: Value, size: int) -> Value:
    """Scales as f32, each repeated along the last axis until that has `size` elements."""
    *outer, groups = scale.shape
    value = _scale(insert, scale)
    value = insert.op(
        "tt.expand_dims", [value], TileType((*outer, groups, 1), F32), {"axis": len(scale.shape)}
    )
    value = insert.op("tt.broadcast", [value], TileType((*outer, groups, size // groups), F32))
    return insert.op("tt.reshape", [value], TileType((*outer, size), F32))


def _scale(insert: Inserter, scale: Value) -> Value:
    """A tile of scales as f32: bytes are e8m0 exponents, anything else is a float already."""
    if scale.element != I8:
        return insert.op("tt.fp_to_fp", [scale], _tile(scale, F32))
    wide, truth = _tile(scale, I32), TileType(scale.shape, I1)
    exponent = insert.op("arith.extui", [scale], wide)
    bits = insert.op("arith.shli", [exponent, insert.constant(23, wide)], wide)
    for code, pattern in ((0, SCALE_MIN), (SCALE_NAN, QUIET_NAN)):
        at = insert.op("arith.cmpi", [exponent, insert.constant(code, wide)], truth, {"predicate": "eq"})
        bits = insert.op("arith.select", [at, insert.constant(pattern, wide), bits], wide)
    return insert.op("tt.bitcast", [bits], _tile(scale, F32))


def _swap_last(insert: Inserter, value: Value) -> Value:
    """`value` with its last two axes exchanged."""
    *outer, rows, columns = value.shape
    rank = len(value.shape)
    order = [*range(rank - 2), rank - 1, rank - 2]
    return insert.op("tt.trans", [value], TileType((*outer, columns, rows), value.element), {"order": order})


def _print(op: Op, insert: Inserter) -> None:
    """Print operands of different shapes one after the other; `numbers` keeps their places."""
    if len({value.shape for value in op.operands if value.shape}) < 2:
        return
    signs = op.attrs.get("is_signed") or [True] * len(op.operands)
    parts = [
        Op(
            op.name,
            [value],
            attrs={**op.attrs, "is_signed": [sign], "numbers": [number]},
            location=op.location,
        )
        for number, (value, sign) in enumerate(zip(op.operands, signs, strict=True))
    ]
    insert.block.ops[insert.index : insert.index + 1] = parts


_RULES: dict[str, Callable[[Op, Inserter], None]] = {"tt.dot_scaled": _dot_scaled, "tt.print": _print}
"""What replaces each operation, done in place so that its results stay the same values."""
