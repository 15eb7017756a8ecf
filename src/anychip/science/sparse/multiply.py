"""The product of two sparse matrices, row by row (Gustavson, "Two fast algorithms for sparse matrices:
multiplication and permuted transposition", 1978): elements are counted, then summed in a row of scratch
memory for each program, and put in order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.launching import launch
from .kernels import share_of
from .matrix import Rows, programs

LONGEST = 64
"""Rows of a product with more elements than this are put in order by transposing twice, not by insertion."""


@triton.jit(do_not_specialize=["rows", "count"])
def count_kernel(found, starts, columns, other_starts, other_columns, marks, rows, count, width):
    """found [rows] = how many columns each row of the product has. `marks` [programs, width] holds -1."""
    first, last = share_of(starts, rows, count)
    marks += tl.program_id(0).to(tl.int64) * width
    for row in range(first, last):
        total = tl.zeros((), tl.int64)
        for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
            middle = tl.load(columns + j).to(tl.int64)
            begin = tl.load(other_starts + middle).to(tl.int64)
            for k in range(begin, tl.load(other_starts + middle + 1).to(tl.int64)):
                at = marks + tl.load(other_columns + k).to(tl.int64)
                if tl.load(at) != row:
                    tl.store(at, row)
                    total += 1
        tl.store(found + row, total)


@triton.jit(do_not_specialize=["rows", "count"])
def sum_kernel(
    out_starts,
    out_columns,
    out_values,
    starts,
    columns,
    values,
    other_starts,
    other_columns,
    other_values,
    marks,
    sums,
    rows,
    count,
    width,
    SORTED: tl.constexpr,
):
    """The columns and values of each row of the product, in the order in which they are met, or ascending if
    SORTED. `marks` and `sums` [programs, width]; marks hold -1."""
    first, last = share_of(starts, rows, count)
    marks += tl.program_id(0).to(tl.int64) * width
    sums += tl.program_id(0).to(tl.int64) * width
    for row in range(first, last):
        here = tl.load(out_starts + row)
        stop = here
        for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
            middle = tl.load(columns + j).to(tl.int64)
            factor = tl.load(values + j)
            begin = tl.load(other_starts + middle).to(tl.int64)
            for k in range(begin, tl.load(other_starts + middle + 1).to(tl.int64)):
                column = tl.load(other_columns + k).to(tl.int64)
                term = factor * tl.load(other_values + k)
                if tl.load(marks + column) != row:
                    tl.store(marks + column, row)
                    tl.store(sums + column, term)
                    tl.store(out_columns + stop, column)
                    stop += 1
                else:
                    tl.store(sums + column, tl.load(sums + column) + term)
        if SORTED:
            for k in range(here + 1, stop):
                column = tl.load(out_columns + k)
                j = k - 1
                before = tl.load(out_columns + j)
                while (j >= here) & (before > column):
                    tl.store(out_columns + j + 1, before)
                    j -= 1
                    before = tl.load(out_columns + tl.maximum(j, here))
                tl.store(out_columns + j + 1, column)
        for k in range(here, stop):
            tl.store(out_values + k, tl.load(sums + tl.load(out_columns + k)))


def product(a: Rows, b: Rows) -> Rows:
    """a [n, m] times b [m, k], of one element type, each row's columns in order."""
    rows, width, device = a.shape[0], b.shape[1], a.values.device
    shape, share = (rows, width), programs(a)
    found = torch.zeros(rows, dtype=torch.int64, device=device)
    marks = torch.full((share, max(1, width)), -1, dtype=torch.int64, device=device)
    left, right = (a.starts, a.columns), (b.starts, b.columns)
    if rows:
        launch(count_kernel, share, found, *left, *right, marks, rows, a.count, width)
    starts = torch.zeros(rows + 1, dtype=torch.int64, device=device)
    torch.cumsum(found, 0, out=starts[1:])
    total = int(starts[-1])
    columns = torch.empty(total, dtype=torch.int64, device=device)
    values = torch.empty(total, dtype=a.values.dtype, device=device)
    if total:
        marks.fill_(-1)
        sums = torch.empty(marks.shape, dtype=values.dtype, device=device)
        ordered = int(found.max()) <= LONGEST
        given = (*left, a.values, *right, b.values)
        launch(
            sum_kernel,
            share,
            starts,
            columns,
            values,
            *given,
            marks,
            sums,
            rows,
            a.count,
            width,
            SORTED=ordered,
        )
        if not ordered:
            return Rows(shape, starts, columns, values).transposed().transposed()
    return Rows(shape, starts, columns, values)
