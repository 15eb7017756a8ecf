"""Left operands of matrix products that are read where they lie, row by row, instead of being packed.

In: a loop and a product that waits until several of its iterations have run. Out: an `InPlaceOperand`, when
the rows of the operand are contiguous in memory, each iteration goes on where the one before ended, and
nothing is written meanwhile.
"""

from __future__ import annotations

from ..analysis.advance import advance
from ..analysis.effects import ORDERED
from ..analysis.polynomial import ONE
from ..analysis.structure import Structure, identity_point
from ..ir.core import Op, Value
from ..ir.types import I64
from .origins import ORIGINS
from .steps import Buffer, Dot, InPlaceOperand, Nest, PackedLoop, Scalar, Step, Write


def in_place_operand(
    loop: PackedLoop, product: Dot, structure: Structure, buffers: dict[Value, Buffer]
) -> InPlaceOperand | None:
    """How the left operand of `product` is read in place; None if it cannot be."""
    packed = product.a
    for nest in loop.body:
        if isinstance(nest, Nest) and any(isinstance(r, Write) and r.buffer is packed for r in nest.roots):
            break
    else:
        return None
    load = product.op.operands[0].defining_op
    if len(nest.roots) > 1 or load is None or load.name != "tt.load" or load.result in buffers:
        return None
    if ORIGINS in load.attrs:  # checks are made where an operand is packed
        return None
    if load.attrs.get("volatile") or packed.element != load.result.element:
        return None
    if not all(_only_computes(step) for step in loop.body):
        return None
    if not _goes_on(loop.op, load, structure):
        return None
    packed.any_order = False
    return InPlaceOperand(load, nest, packed, Buffer(f"{packed.name}.rows", packed.shape[:1], I64))


def _only_computes(step: Step) -> bool:
    if isinstance(step, Scalar):
        return step.op.name not in ORDERED
    return isinstance(step, Nest) and all(isinstance(root, Write) for root in step.roots)


def _goes_on(loop: Op, load: Op, structure: Structure) -> bool:
    """Whether each row of the tile is contiguous and ends where that of the next iteration begins."""
    pointer = load.operands[0]
    linear = structure.of(pointer, identity_point(2), 2)
    if linear.strides[1] != ONE or 1 in linear.wrapped:
        return False
    return advance(pointer, loop) == pointer.shape[1]
