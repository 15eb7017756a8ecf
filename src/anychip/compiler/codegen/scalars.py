"""Operations on scalars, done once where they stand in a program."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..ir.core import Op
from ..llvm.types import LLType, Val
from ..schedule.steps import Scalar
from . import accesses, cooperative, elementwise, per_element
from .context import Context
from .dispatch import Rules, emits
from .evaluation import Evaluation
from .point import ZERO
from .register_types import register_type

ScalarRule = Callable[[Context, Op], list[Val]]
"""Emits an operation on scalars; gives its results."""

SCALARS: Rules[ScalarRule] = Rules()
"""Rules of operations that are more than a computation from registers."""

scalar = SCALARS.register


@emits(Scalar)
def emit_scalar(context: Context, step: Scalar) -> None:
    """One operation: by its rule, or from the registers of its operands."""
    op = step.op
    rule = SCALARS.get(op.name)
    if rule is not None:
        results = rule(context, op)
    else:
        results = elementwise.apply(context.b, op, _values(context, op), context.target)
    context.scalars.update(zip(op.results, results, strict=True))


def _values(context: Context, op: Op) -> list[Val]:
    return [context.scalars[v] for v in op.operands]


# --- constants and the launch --------------------------------------------------------------------
@scalar("arith.constant")
def constant(context: Context, op: Op) -> list[Val]:
    """A number."""
    return [elementwise.constant(context.b, op.attrs["value"], op.result.element, context.target)]


@scalar("ub.poison")
def poison(context: Context, op: Op) -> list[Val]:
    """Zero, as good as anything where no value is meant."""
    return [context.b.null(register_type(op.result.element))]


@scalar("anychip.table")
def table(context: Context, op: Op) -> list[Val]:
    """The element of a constant table at an index, which is inside."""
    b, element = context.b, op.result.element
    type = register_type(element)
    values = [elementwise.constant(b, v, element, context.target).ref for v in op.attrs["values"]]
    name = f"table.{element}.{hashlib.blake2b(','.join(values).encode(), digest_size=8).hexdigest()}"
    address = b.module.table(name, type, values)
    index = b.cast("zext", context.scalars[op.operands[0]], "i64")
    return [b.load(type, b.gep(address, b.mul(index, b.int(element.bytes, index.type))), element.bytes)]


@scalar("tt.get_program_id")
def program_id(context: Context, op: Op) -> list[Val]:
    """The number of this program along an axis of the grid (i32)."""
    return [context.program[op.attrs["axis"]]]


@scalar("tt.get_num_programs")
def num_programs(context: Context, op: Op) -> list[Val]:
    """The extent of the grid along an axis (i32)."""
    return [context.grid[op.attrs["axis"]]]


@scalar("anychip.clock")
def clock(context: Context, op: Op) -> list[Val]:
    """A counter (i64) that programs may read and that only grows; 0 where a chip has none."""
    return [context.b.call(context.target.clock, LLType("i64"), [])]


# --- memory and tiles ----------------------------------------------------------------------------
@scalar("tt.load")
def load(context: Context, op: Op) -> list[Val]:
    """One element of user memory."""
    return [accesses.load_chunk(Evaluation(context, 1), op, ())]


@scalar("tt.store")
def store(context: Context, op: Op) -> list[Val]:
    """One element to user memory."""
    pointer, value, *masks = _values(context, op)
    mask = masks[0] if masks and masks[0].ref != "true" else None
    how = "mask" if masks else "none"
    accesses.store_chunk(Evaluation(context, 1), op, (), value, pointer, mask, how)
    return []


@scalar("tt.unsplat")
def unsplat(context: Context, op: Op) -> list[Val]:
    """The only element of a tile."""
    operand = op.operands[0]
    return [Evaluation(context, 1).value(operand, (ZERO,) * len(operand.shape))]


@scalar("tt.atomic_rmw", "tt.atomic_cas", "tt.print", "tt.assert")
def ordered(context: Context, op: Op) -> list[Val]:
    """An operation that is done element by element on tiles."""
    return per_element.perform_scalar(context, op, _values(context, op))


@scalar("gpu.barrier")
def barrier(context: Context, op: Op) -> list[Val]:
    """A program is one thread; but what others wait for may be written after the barrier."""
    if context.waits:
        cooperative.fence(context, "acq_rel")
    return []


@scalar("llvm.intr.assume")
def assume(context: Context, op: Op) -> list[Val]:
    """Nothing: the scheduler has read it."""
    return []
