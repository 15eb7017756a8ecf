"""Sparse matrices in one form: each row in the order of columns, and one element for each place."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.launching import launch
from .matrix import Rows, coordinates


@triton.jit(do_not_specialize=["rows"])
def merge_kernel(starts, columns, values, old_starts, old_columns, old_values, rows):
    """Elements of one place, which are neighbours in their row, are summed; the others stay as they are.
    starts [rows + 1], columns and values with room for all. One program."""
    at = tl.zeros((), tl.int64)
    for row in range(rows):
        tl.store(starts + row, at)
        last = tl.zeros((), tl.int64) - 1
        for p in range(tl.load(old_starts + row).to(tl.int64), tl.load(old_starts + row + 1).to(tl.int64)):
            column = tl.load(old_columns + p).to(tl.int64)
            value = tl.load(old_values + p)
            if column == last:
                tl.store(values + at - 1, tl.load(values + at - 1) + value)
            else:
                tl.store(columns + at, column)
                tl.store(values + at, value)
                at += 1
            last = column
    tl.store(starts + rows, at)


def canonical(a: Rows) -> Rows:
    """The same matrix, each row in the order of columns and without two elements in one place."""
    ordered = a.transposed().transposed()
    starts = torch.empty_like(ordered.starts)
    columns, values = torch.empty_like(ordered.columns, dtype=torch.int64), torch.empty_like(ordered.values)
    launch(
        merge_kernel,
        1,
        starts,
        columns,
        values,
        ordered.starts,
        ordered.columns,
        ordered.values,
        a.shape[0],
    )
    count = int(starts[-1])
    return Rows(a.shape, starts, columns[:count], values[:count])


def joined(shape: tuple[int, int], row: torch.Tensor, column: torch.Tensor, values: torch.Tensor) -> Rows:
    """The sum of elements at given places, in canonical form."""
    return canonical(coordinates(shape, row, column, values))
