"""The kernels that read and add up rows by index."""

from __future__ import annotations

import triton
import triton.language as tl

from ..distinct import distinct
from ..pointwise_kernels import store_as


@triton.jit
def gather_rows_kernel(
    out,
    source,
    index,
    pairs,
    rows,
    length: tl.int64,
    size,
    step,
    source_before,
    WRAP: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[b, r, :] = source[b, index[r] * step + :], with every index in [0, size), or in [-size, size) if
    WRAP; ROWS of the `pairs` of b and r for one block of columns."""
    blocks = tl.cdiv(length, BLOCK)
    program = tl.program_id(0)
    lane = program % blocks * BLOCK + tl.arange(0, BLOCK)
    first = (program // blocks).to(tl.int64) * ROWS
    row = first % rows
    source += first // rows * source_before
    for pair in range(first, tl.minimum(first + ROWS, pairs)):
        position = tl.load(index + row).to(tl.int64)
        if WRAP:
            position = tl.where(position < 0, position + size, position)
        known = (position >= 0) & (position < size)
        tl.device_assert(known, "index out of range in self")
        mask = lane < tl.where(known, length, 0)
        value = tl.load(source + position * step + lane, mask=mask)
        tl.store(out + pair * length + lane, value, mask=mask)
        row += 1
        source += tl.where(row == rows, source_before, 0)
        row = tl.where(row == rows, 0, row)


@triton.jit
def gather_short_kernel(
    out, source, index, rows, length, size, WRAP: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_A: tl.constexpr
):
    """out[b, p, :] = source[b, index[p], :] for rows of a few elements, BLOCK_P of them a program; if WRAP,
    a negative index counts from the end."""
    distinct(out, source)
    distinct(out, index)
    blocks = tl.cdiv(rows, BLOCK_P)
    program = tl.program_id(0)
    before = (program // blocks).to(tl.int64)
    row = (program % blocks) * BLOCK_P + tl.arange(0, BLOCK_P)
    lane = tl.arange(0, BLOCK_A)
    inside = row < rows
    position = tl.load(index + row, mask=inside, other=0).to(tl.int64)
    if WRAP:
        position = tl.where(position < 0, position + size, position)
    known = (position >= 0) & (position < size)
    tl.device_assert(known | (not inside), "index out of range in self")
    mask = (inside & known)[:, None] & (lane < length)[None, :]
    value = tl.load(source + (before * size + position[:, None]) * length + lane[None, :], mask=mask)
    tl.store(out + (before * rows + row[:, None]) * length + lane[None, :], value, mask=mask)


@triton.jit
def add_rows_kernel(
    out,
    values,
    index,
    rows,
    length: tl.int64,
    size,
    step,
    out_before,
    skipped,
    ADD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[b, index[r] * step + :] += values[b, r, :] (or =, if not ADD); a row `skipped` is left out."""
    blocks = tl.cdiv(length, BLOCK)
    program = tl.program_id(0)
    block = program % blocks
    pair = (program // blocks).to(tl.int64)
    row = pair % rows
    before = pair // rows
    position = tl.load(index + row).to(tl.int64)
    counted = position != skipped
    known = (position >= 0) & (position < size)
    tl.device_assert(known | (position == skipped), "index out of range in self")
    lane = block * BLOCK + tl.arange(0, BLOCK)
    mask = lane < tl.where(known & counted, length, 0)
    value = tl.load(values + pair * length + lane, mask=mask)
    at = out + before * out_before + position * step + lane
    if ADD:
        tl.atomic_add(at, value.to(out.dtype.element_ty), mask=mask, sem="relaxed")
    else:
        store_as(at, value, mask)


@triton.jit
def add_rows_in_turn_kernel(
    out,
    values,
    index,
    rows,
    length: tl.int64,
    size,
    step,
    out_before,
    skipped,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The sums of `add_rows_kernel` without atomics, in the order of the rows: a program owns one block
    of columns of the destination rows whose number is `part` modulo PARTS, a power of two."""
    blocks = tl.cdiv(length, BLOCK)
    program = tl.program_id(0)
    block = program % blocks
    part = (program // blocks).to(tl.int64) % PARTS
    before = (program // blocks).to(tl.int64) // PARTS
    lane = block * BLOCK + tl.arange(0, BLOCK)
    mask = lane < length
    out += before * out_before
    values += before * rows * length
    for row in range(rows):
        position = tl.load(index + row).to(tl.int64)
        known = (position >= 0) & (position < size)
        tl.device_assert(known | (position == skipped), "index out of range in self")
        if known & (position != skipped) & (position % PARTS == part):
            at = out + position * step + lane
            value = tl.load(values + row.to(tl.int64) * length + lane, mask=mask)
            tl.store(at, tl.load(at, mask=mask) + value.to(out.dtype.element_ty), mask=mask)
        tl.debug_barrier()
