"""Arrays in memory whose layout the compiler chose: buffers of the arena, and tables of constants.

In: a point of an array, and how many lanes a chunk has. Out: the chunk that is there, or its address.
"""

from __future__ import annotations

from ..ir.types import I64 as INT64
from ..ir.types import ElementType, PointerType
from ..llvm.types import I64, PTR, Val
from ..schedule.steps import Buffer
from .context import Context
from .linear import Lin
from .memory import Memory
from .point import ZERO, Index, Point


def read_buffer(context: Context, lanes: int, buffer: Buffer, element: ElementType, point: Point) -> Val:
    """One chunk of a buffer: `lanes` elements, or one that is the same for all."""
    kept = _kept_as(context, element)
    access = Memory(context, lanes, kept, context.arena_memory, overread=True)
    val = access.read(buffer_address(context, lanes, buffer, point), None, None)[0]
    return val if kept is element else context.b.cast("inttoptr", val, "ptr")


def write_buffer(context: Context, lanes: int, buffer: Buffer, val: Val, point: Point) -> None:
    """Store one chunk of `lanes` elements into a buffer."""
    kept = _kept_as(context, buffer.element)
    access = Memory(context, lanes, kept, context.arena_memory)
    stored = val if kept is buffer.element else context.b.cast("ptrtoint", val, "i64")
    access.write(buffer_address(context, lanes, buffer, point), stored, None)


def _kept_as(context: Context, element: ElementType) -> ElementType:
    """What a buffer holds an element as: an address takes 8 bytes there, also where a pointer has 4."""
    is_short = context.target.pointer_bits < INT64.bits
    return INT64 if is_short and isinstance(element, PointerType) else element


def buffer_address(context: Context, lanes: int, buffer: Buffer, point: Point) -> Lin:
    """The addresses of one chunk of a buffer."""
    start = context.buffer_address(buffer)
    return _address(context, lanes, start, buffer.strides, buffer.element.bytes, point)


def group_address(
    context: Context, buffer: Buffer, batch: tuple[Index, ...], inner: Index, line: int, last: Index
) -> Val:
    """Where group `line` after the one at `inner` begins, at column `last`, in a grouped buffer."""
    b, size = context.b, buffer.element.bytes
    columns = buffer.shape[-1]
    address = context.buffer_address(buffer)
    steps = [*(s * size for s in buffer.strides[:-2]), columns * size, buffer.group * size]
    for index, step in zip((*batch, inner, last), steps, strict=True):
        if isinstance(index.base, int):
            address = b.gep(address, index.base * step)
        else:
            address = b.gep(address, b.mul(b.cast("zext", index.base, "i64"), b.int(step, I64)))
    return b.gep(address, line * columns * buffer.group * size)


def gather_buffer(
    context: Context, lanes: int, buffer: Buffer, element: ElementType, point: Point, axis: int, index: Val
) -> Val:
    """Elements of a buffer at `point`, with `index` along `axis` (kept inside the axis)."""
    b = context.b
    at = (*point[:axis], ZERO, *point[axis + 1 :])
    rest = buffer_address(context, lanes, buffer, at)
    inside = b.and_(index, b.int(buffer.shape[axis] - 1, index.type))
    step = b.int(buffer.strides[axis] * buffer.element.bytes, I64)
    offset = b.mul(b.cast("zext", inside, "i64"), step)
    access = Memory(context, lanes, element, context.arena_memory, overread=True)
    if offset.lanes == 1:
        moved = Lin(rest.type, (*rest.parts, offset), rest.offset, rest.pattern)
        return access.read(moved, None, None)[0]
    return access.gather(b.gep(context.linear.vector(rest, lanes), offset), None, None)


def read_table(
    context: Context, lanes: int, table: Val, shape: tuple[int, ...], element: ElementType, point: Point
) -> Val:
    """One chunk of a constant table of `shape`, in row-major order from the address `table` on."""
    address = _address(context, lanes, table, _row_major(shape), element.bytes, point)
    return Memory(context, lanes, element, "").read(address, None, None)[0]


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for axis in reversed(range(len(shape) - 1)):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def _address(
    context: Context, lanes: int, base: Val, strides: tuple[int, ...], size: int, point: Point
) -> Lin:
    """The addresses of one chunk of an array at `base`, whose elements have `size` bytes."""
    b = context.b
    parts, offset = [base], 0
    pattern = [0] * lanes
    for index, stride in zip(point, strides, strict=True):
        step = stride * size
        if isinstance(index.base, int):
            offset += index.base * step
        else:
            parts.append(b.mul(b.cast("zext", index.base, "i64"), b.int(step, I64)))
        if index.pattern is not None:
            pattern = [p + q * step for p, q in zip(pattern, index.pattern, strict=True)]
    first = pattern[0]
    return Lin(PTR, tuple(parts), offset + first, tuple(p - first for p in pattern))
