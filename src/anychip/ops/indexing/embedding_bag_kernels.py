"""The kernels of bags of embeddings, forward and backward."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def bag_bounds(offsets, bag, listed, count):
    """Where the indices of a bag begin and end."""
    start = tl.load(offsets + bag).to(tl.int64)
    stop = tl.zeros((), tl.int64) + count
    if bag + 1 < listed:
        stop = tl.load(offsets + bag + 1).to(tl.int64)
    return start, stop


@triton.jit
def bag_places_kernel(
    bag_of, sizes, indices, offsets, listed, count, rows, padding, CHECK: tl.constexpr, BLOCK: tl.constexpr
):
    """bag_of[i] for the indices of one bag, and its size without `padding`; if CHECK, every index has to be
    in [0, rows)."""
    bag = tl.program_id(0)
    start, stop = bag_bounds(offsets, bag, listed, count)
    size = tl.zeros((), tl.int64)
    for first in range(start, stop, BLOCK):
        i = first + tl.arange(0, BLOCK)
        inside = i < stop
        row = tl.load(indices + i, mask=inside, other=0).to(tl.int64)
        if CHECK:
            tl.device_assert((row >= 0) & (row < rows), "index out of range in self")
        tl.store(bag_of + i, tl.zeros((BLOCK,), bag_of.dtype.element_ty) + bag, mask=inside)
        size += tl.sum((inside & (row != padding)).to(tl.int64), 0)
    tl.store(sizes + bag, size.to(sizes.dtype.element_ty))


@triton.jit
def bag_kernel(
    out,
    largest,
    weight,
    indices,
    offsets,
    factors,
    listed,
    count,
    rows,
    width,
    row_stride: tl.int64,
    column_stride,
    padding,
    MODE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of columns of one bag's result; for a maximum also the rows that it came from."""
    blocks = tl.cdiv(width, BLOCK)
    bag = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < width
    start, stop = bag_bounds(offsets, bag, listed, count)
    column = lane.to(tl.int64) * column_stride
    total = tl.zeros((BLOCK,), COMPUTE)
    source = tl.zeros((BLOCK,), tl.int64)
    size = tl.zeros((), tl.int64)
    for i in range(start, stop):
        row = tl.load(indices + i).to(tl.int64)
        taken = (row >= 0) & (row < rows) & (row != padding)
        mask = lane < tl.where(taken, width, 0)
        value = tl.load(weight + tl.where(taken, row, 0) * row_stride + column, mask=mask, other=0)
        value = value.to(COMPUTE)
        if MODE == 2:
            better = taken & ((size == 0) | (value > total))
            total = tl.where(better, value, total)
            source = tl.where(better, row, source)
        else:
            if factors is not None:
                value *= tl.load(factors + i).to(COMPUTE)
            total += value
        size += taken.to(tl.int64)
    if MODE == 1:
        total = total / tl.maximum(size, 1).to(COMPUTE)
    tl.store(out + bag * width + lane, total.to(out.dtype.element_ty), mask=inside)
    if MODE == 2:
        tl.store(largest + bag * width + lane, source.to(largest.dtype.element_ty), mask=inside)


@triton.jit
def index_count_kernel(counts, indices, count, BLOCK: tl.constexpr):
    """How often each row is named."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    row = tl.load(indices + i, mask=inside, other=0).to(tl.int64)
    tl.atomic_add(counts + row, tl.full((BLOCK,), 1, tl.int32), mask=inside, sem="relaxed")


@triton.jit
def bag_gradient_kernel(
    out,
    gradient,
    indices,
    bag_of,
    sizes,
    counts,
    factors,
    width,
    padding,
    MEAN: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Adds one index's share of its bag's gradient to the row that it names."""
    blocks = tl.cdiv(width, BLOCK)
    i = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(indices + i).to(tl.int64)
    bag = tl.load(bag_of + i).to(tl.int64)
    mask = (lane < width) & (row != padding)
    value = tl.load(gradient + bag * width + lane, mask=mask, other=0).to(COMPUTE)
    if factors is not None:
        value *= tl.load(factors + i).to(COMPUTE)
    if MEAN:
        value = value / tl.maximum(tl.load(sizes + bag), 1).to(COMPUTE)
    if counts is not None:
        value = value / tl.load(counts + row).to(COMPUTE)
    tl.atomic_add(out + row * width + lane, value, mask=mask, sem="relaxed")


@triton.jit
def bag_gradient_in_turn_kernel(
    out,
    gradient,
    indices,
    bag_of,
    sizes,
    counts,
    factors,
    width,
    padding,
    count,
    MEAN: tl.constexpr,
    COMPUTE: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The sums of `bag_gradient_kernel` without atomics, in the order of the indices: a program owns one
    block of columns of the rows whose number is `part` modulo PARTS, a power of two."""
    blocks = tl.cdiv(width, BLOCK)
    part = tl.program_id(0) // blocks
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    for i in range(count):
        row = tl.load(indices + i).to(tl.int64)
        if (row % PARTS == part) & (row != padding):
            bag = tl.load(bag_of + i).to(tl.int64)
            value = tl.load(gradient + bag * width + lane, mask=mask, other=0).to(COMPUTE)
            if factors is not None:
                value *= tl.load(factors + i).to(COMPUTE)
            if MEAN:
                value = value / tl.maximum(tl.load(sizes + bag), 1).to(COMPUTE)
            if counts is not None:
                value = value / tl.load(counts + row).to(COMPUTE)
            at = out + row * width + lane
            tl.store(at, tl.load(at, mask=mask, other=0) + value, mask=mask)
        tl.debug_barrier()


@triton.jit
def bag_maximum_gradient_kernel(
    out, gradient, largest, sizes, width, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """Adds a bag's gradient to the elements that were its maxima."""
    blocks = tl.cdiv(width, BLOCK)
    bag = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = (lane < width) & (tl.load(sizes + bag) > 0)
    value = tl.load(gradient + bag * width + lane, mask=mask, other=0).to(COMPUTE)
    row = tl.load(largest + bag * width + lane, mask=mask, other=0).to(tl.int64)
    tl.atomic_add(out + row * width + lane, value, mask=mask, sem="relaxed")


@triton.jit
def bag_factor_gradient_kernel(
    out,
    gradient,
    weight,
    indices,
    bag_of,
    width,
    row_stride: tl.int64,
    column_stride,
    padding,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] = the product of the row that index i names with its bag's gradient; zero for `padding`."""
    i = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    row = tl.load(indices + i).to(tl.int64)
    bag = tl.load(bag_of + i).to(tl.int64)
    columns = tl.where(row != padding, width, 0)
    total = tl.zeros((BLOCK,), COMPUTE)
    for first in range(0, columns, BLOCK):
        at = first + lane
        mask = at < columns
        value = tl.load(weight + row * row_stride + at.to(tl.int64) * column_stride, mask=mask, other=0)
        total += value.to(COMPUTE) * tl.load(gradient + bag * width + at, mask=mask, other=0).to(COMPUTE)
    tl.store(out + i, tl.sum(total, 0).to(out.dtype.element_ty))
