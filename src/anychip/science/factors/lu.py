"""LU factors of a sparse matrix, column after column, with pivots (Gilbert and Peierls, "Sparse partial
pivoting in time proportional to arithmetic operations", 1988): a depth-first search through L finds which
elements of a column change, and in which order. Flows in: `Rows`. Flows out: `Factors`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.kernels.numbers import double
from ...ops.launching import launch, scalar_bits
from ..errors import SingularMatrix
from ..sparse.matrix import Rows
from ..sparse.products import solve_rows
from .ordering import dissection

ROOM = 8
"""Elements that L and U get at first, for each one of the matrix; twice as many whenever they are full."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def reach(root, top, stamp, l_starts, l_rows, place, marks, stack, heads, found):
    """Depth first from row `root` through the columns of L; rows are put before `top` in `found` when they
    are left, so that each stands before those that depend on it. Returns the new top."""
    zero = tl.zeros((), tl.int64)
    tl.store(marks + root, stamp)
    tl.store(stack, root)
    known = tl.load(place + root)
    tl.store(heads, tl.load(l_starts + tl.maximum(known, 0)))
    depth = zero
    while depth >= 0:
        row = tl.load(stack + depth)
        column = tl.load(place + row)
        at = tl.load(heads + depth)
        end = tl.where(column < 0, at, tl.load(l_starts + tl.maximum(column, 0) + 1))
        below = zero - 1
        while at < end:
            other = tl.load(l_rows + at)
            at += 1
            if tl.load(marks + other) != stamp:
                below = other
                tl.store(heads + depth, at)
                at = end
        if below < 0:
            depth -= 1
            top -= 1
            tl.store(found + top, row)
        else:
            depth += 1
            tl.store(marks + below, stamp)
            tl.store(stack + depth, below)
            tl.store(heads + depth, tl.load(l_starts + tl.maximum(tl.load(place + below), 0)))
    return top


@triton.jit(do_not_specialize=["n", "l_room", "u_room"])
def factor_kernel(
    starts,
    rows,
    values,
    order,
    l_starts,
    l_rows,
    l_values,
    u_starts,
    u_rows,
    u_values,
    place,
    marks,
    scratch,
    work,
    state,
    n,
    l_room,
    u_room,
    threshold: tl.int64,
):
    """Columns of L (without its diagonal of ones, in rows of the matrix) and of U (its diagonal last), from
    column state[0] on, until one may not fit, which state[0] then is, or state[1] = 1 for a column without a
    pivot. The matrix is in compressed columns; place [n] is where a row is pivot, or -1; `scratch` [3 n], and
    `work` [n] of the matrix's type. One program."""
    stack = scratch
    heads = scratch + n
    found = scratch + 2 * n
    zero = tl.zeros((), tl.int64)
    size = zero + n
    k = tl.load(state)
    l_at = tl.load(l_starts + k)
    u_at = tl.load(u_starts + k)
    going = zero + 1
    while going > 0:
        stamp = k + 1
        column = tl.load(order + k)
        start = tl.load(starts + column).to(tl.int64)
        stop = tl.load(starts + column + 1).to(tl.int64)
        top = size
        for p in range(start, stop):
            root = tl.load(rows + p).to(tl.int64)
            if tl.load(marks + root) != stamp:
                top = reach(root, top, stamp, l_starts, l_rows, place, marks, stack, heads, found)
        for p in range(top, size):
            tl.store(work + tl.load(found + p), tl.zeros((), work.dtype.element_ty))
        for p in range(start, stop):
            at = work + tl.load(rows + p).to(tl.int64)
            tl.store(at, tl.load(at) + tl.load(values + p))
        best = tl.zeros((), work.dtype.element_ty)
        pivot = zero - 1
        for p in range(top, size):
            row = tl.load(found + p)
            value = tl.load(work + row)
            known = tl.load(place + row)
            if known >= 0:
                tl.store(u_rows + u_at, known)
                tl.store(u_values + u_at, value)
                u_at += 1
                for q in range(tl.load(l_starts + known), tl.load(l_starts + known + 1)):
                    at = work + tl.load(l_rows + q)
                    tl.store(at, tl.load(at) - tl.load(l_values + q) * value)
            elif tl.abs(value) > best:
                best = tl.abs(value)
                pivot = row
        mine = (tl.load(place + column) < 0) & (tl.load(marks + column) == stamp)
        diagonal = tl.load(work + column, mask=mine, other=0)
        if (tl.abs(diagonal) >= double(threshold).to(best.dtype) * best) & (tl.abs(diagonal) > 0):
            pivot = column
        if pivot < 0:
            tl.store(state + 1, zero + 1)
            going = zero
        else:
            value = tl.load(work + pivot)
            tl.store(u_rows + u_at, k)
            tl.store(u_values + u_at, value)
            u_at += 1
            tl.store(place + pivot, k)
            for p in range(top, size):
                row = tl.load(found + p)
                if tl.load(place + row) < 0:
                    tl.store(l_rows + l_at, row)
                    tl.store(l_values + l_at, tl.load(work + row) / value)
                    l_at += 1
            k += 1
            tl.store(l_starts + k, l_at)
            tl.store(u_starts + k, u_at)
            if (k >= size) | (l_at + size > l_room) | (u_at + size > u_room):
                going = zero
    tl.store(state, k)


# ---- functions ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Factors:
    """L U = A[rows][:, columns]: L with ones on its diagonal, which are not stored, U with its diagonal, both
    in compressed rows."""

    lower: Rows
    upper: Rows
    rows: torch.Tensor
    columns: torch.Tensor

    def solve(self, b: torch.Tensor, transposed: bool = False) -> torch.Tensor:
        """x of A x = b, or of the transposed A; b [n] or [n, k] of A's element type."""
        if transposed:
            y = solve_rows(self.upper.transposed(), b[self.columns], upper=False)
            y = solve_rows(self.lower.transposed(), y, upper=True, unit=True)
            return torch.empty_like(y).index_copy_(0, self.rows, y)
        y = solve_rows(self.lower, b[self.rows], upper=False, unit=True)
        y = solve_rows(self.upper, y, upper=True)
        return torch.empty_like(y).index_copy_(0, self.columns, y)


def _grown(x: torch.Tensor, room: int) -> torch.Tensor:
    out = x.new_empty(room)
    out[: x.numel()] = x
    return out


def factored(a: Rows, ordered: bool = True, threshold: float = 1.0) -> Factors:
    """The factors of a [n, n]. `ordered`: columns in an order of little fill. A pivot is the element on the
    diagonal where that is at least `threshold` of the column's largest. Raises SingularMatrix."""
    n = a.shape[0]
    turned = a.transposed()
    order = dissection(a) if ordered else torch.arange(n, device=a.values.device)
    like: dict[str, Any] = {"dtype": torch.int64, "device": a.values.device}
    room = ROOM * a.count + 2 * n + 1
    l_rows, u_rows = (torch.empty(room, **like) for _ in range(2))
    l_values, u_values = (a.values.new_empty(room) for _ in range(2))
    l_starts, u_starts, state = torch.zeros(n + 1, **like), torch.zeros(n + 1, **like), torch.zeros(2, **like)
    place, marks, scratch = torch.full((n,), -1, **like), torch.zeros(n, **like), torch.empty(3 * n, **like)
    work = a.values.new_empty(n)
    while int(state[0]) < n:
        launch(
            factor_kernel,
            1,
            turned.starts,
            turned.columns,
            turned.values,
            order,
            l_starts,
            l_rows,
            l_values,
            u_starts,
            u_rows,
            u_values,
            place,
            marks,
            scratch,
            work,
            state,
            n,
            l_rows.numel(),
            u_rows.numel(),
            scalar_bits(threshold, True),
        )
        if int(state[1]):
            raise SingularMatrix(f"Factor is exactly singular: column {int(order[state[0]])} has no pivot")
        room *= 2
        l_rows, l_values, u_rows, u_values = (
            (_grown(x, room) for x in (l_rows, l_values, u_rows, u_values))
            if int(state[0]) < n
            else (l_rows, l_values, u_rows, u_values)
        )
    l_count, u_count = int(l_starts[-1]), int(u_starts[-1])
    lower = Rows((n, n), l_starts, place[l_rows[:l_count]], l_values[:l_count].clone())
    upper = Rows((n, n), u_starts, u_rows[:u_count].clone(), u_values[:u_count].clone())
    rows = torch.empty_like(place)
    rows[place] = torch.arange(n, **like)
    return Factors(lower.transposed(), upper.transposed(), rows, order)
