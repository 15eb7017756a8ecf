"""Kernels over compressed rows. A matrix [rows, columns] is `starts` [rows + 1], and `columns` and `values`
of its elements, row after row; programs take whole rows, with about as many elements each."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.kernels.numbers import double


@triton.jit
def first_row(starts, rows, wanted):
    """The first row that begins at element `wanted` or later; `rows` if none does."""
    low = tl.zeros_like(wanted)
    high = low + rows
    while low < high:
        middle = (low + high) // 2
        if tl.load(starts + middle).to(tl.int64) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@triton.jit
def share_of(starts, rows, count):
    """The rows of this program, of all that `count` elements lie in."""
    program = tl.program_id(0).to(tl.int64)
    programs = tl.num_programs(0)
    first = first_row(starts, rows, program * count // programs)
    last = first_row(starts, rows, (program + 1) * count // programs)
    if program == 0:
        first = first * 0
    if program == programs - 1:
        last = last * 0 + rows
    return first, last


@triton.jit(do_not_specialize=["alpha", "beta", "rows", "count"])
def multiply_kernel(
    out,
    starts,
    columns,
    values,
    x,
    added,
    rows,
    count,
    width,
    alpha: tl.int64,
    beta: tl.int64,
    ADDED: tl.constexpr,
    SCALED: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """out [rows, width] = alpha times the matrix [rows, n] times x [n, width] + beta times added, dense ones
    contiguous."""
    distinct(out, x)
    distinct(out, starts)
    distinct(out, columns)
    distinct(out, values)
    TYPE: tl.constexpr = out.dtype.element_ty
    first, last = share_of(starts, rows, count)
    if WIDTH == 1:
        stop = tl.load(starts + first).to(tl.int64)
        for row in range(first, last):
            start = stop
            stop = tl.load(starts + row + 1).to(tl.int64)
            total = tl.zeros((), TYPE)
            for j in range(start, stop):
                total += tl.load(values + j) * tl.load(x + tl.load(columns + j).to(tl.int64))
            if SCALED:
                total = total * double(alpha).to(TYPE)
            if ADDED:
                total += double(beta).to(TYPE) * tl.load(added + row)
            tl.store(out + row, total)
    else:
        for begin in range(0, width, WIDTH):
            c = begin + tl.arange(0, WIDTH)
            mask = c < width
            for row in range(first, last):
                sums = tl.zeros((WIDTH,), TYPE)
                for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
                    at = tl.load(columns + j).to(tl.int64) * width
                    sums += tl.load(values + j) * tl.load(x + at + c, mask=mask, other=0)
                if SCALED:
                    sums = sums * double(alpha).to(TYPE)
                if ADDED:
                    sums += double(beta).to(TYPE) * tl.load(added + row * width + c, mask=mask, other=0)
                tl.store(out + row * width + c, sums, mask=mask)


@triton.jit(do_not_specialize=["alpha", "beta", "rows", "count"])
def sample_kernel(
    out,
    starts,
    columns,
    added,
    x,
    y,
    rows,
    count,
    depth,
    alpha: tl.int64,
    beta: tl.int64,
    ADDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out of the element at (i, j) = alpha times the product of x[i] and y[j], rows of `depth` numbers, +
    beta times added."""
    distinct(out, x)
    distinct(out, y)
    distinct(out, columns)
    distinct(out, starts)
    TYPE: tl.constexpr = out.dtype.element_ty
    first, last = share_of(starts, rows, count)
    lane = tl.arange(0, BLOCK)
    for row in range(first, last):
        for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
            other = tl.load(columns + j).to(tl.int64) * depth
            sums = tl.zeros((BLOCK,), TYPE)
            for begin in range(0, depth, BLOCK):
                mask = begin + lane < depth
                a = tl.load(x + row * depth + begin + lane, mask=mask, other=0)
                sums += a * tl.load(y + other + begin + lane, mask=mask, other=0)
            total = tl.sum(sums) * double(alpha).to(TYPE)
            if ADDED:
                total += double(beta).to(TYPE) * tl.load(added + j)
            tl.store(out + j, total)


@triton.jit(do_not_specialize=["keys", "count"])
def sort_kernel(starts, order, key, place, keys, count):
    """A counting sort of `count` numbers below `keys`: starts [keys + 1] of each in the order; order: where
    each goes is where its number is told. `place` [keys] is scratch. One program."""
    for k in range(keys + 1):
        tl.store(starts + k, tl.zeros((), tl.int64))
    for j in range(count):
        at = starts + tl.load(key + j).to(tl.int64) + 1
        tl.store(at, tl.load(at) + 1)
    total = tl.zeros((), tl.int64)
    for k in range(keys):
        tl.store(place + k, total)
        total += tl.load(starts + k + 1)
        tl.store(starts + k + 1, total)
    for j in range(count):
        at = place + tl.load(key + j).to(tl.int64)
        target = tl.load(at)
        tl.store(at, target + 1)
        tl.store(order + target, j.to(tl.int64))


@triton.jit(do_not_specialize=["rows"])
def rows_kernel(out, starts, rows):
    """The row of each element. One program for each row."""
    row = tl.program_id(0).to(tl.int64)
    for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
        tl.store(out + j, row)


@triton.jit(do_not_specialize=["rows"])
def solve_kernel(
    x,
    starts,
    columns,
    values,
    b,
    rows,
    width,
    singular,
    UPPER: tl.constexpr,
    UNIT: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """x [rows, width] of a triangular matrix times x = b, row after row; elements of the other triangle do
    not count. `singular` becomes a row with a zero on the diagonal, plus one. One program for WIDTH
    columns."""
    distinct(x, values)
    distinct(x, columns)
    distinct(x, starts)
    TYPE: tl.constexpr = x.dtype.element_ty
    c = tl.program_id(0).to(tl.int64) * WIDTH + tl.arange(0, WIDTH)
    mask = c < width
    for step in range(rows):
        row = tl.zeros((), tl.int64) + step
        if UPPER:
            row = rows - 1 - row
        rest = tl.load(b + row * width + c, mask=mask, other=0)
        diagonal = tl.zeros((), TYPE)
        for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
            column = tl.load(columns + j).to(tl.int64)
            value = tl.load(values + j)
            if column == row:
                diagonal += value
            else:
                known = (column > row) if UPPER else (column < row)
                rest -= value * tl.load(x + column * width + c, mask=mask & known, other=0)
        if not UNIT:
            if diagonal == 0:
                tl.store(singular, row + 1)
            rest = rest / diagonal
        tl.store(x + row * width + c, rest, mask=mask)
