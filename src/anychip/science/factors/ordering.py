"""An order of the rows and columns of a sparse matrix in which its factors have few elements: nested
dissection by levels of a breadth-first search (George and Liu, "An automatic nested dissection algorithm for
irregular finite element problems", 1978). Flows in: the pattern of a square matrix. Flows out: its rows in
order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.launching import launch
from ..sparse.matrix import Rows, sorted_by

LEAF = 24
"""Parts of no more vertices are not divided."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def search(start, tail, starts, neighbours, region, level, queue):
    """Breadth first from `start` through vertices of its region without a level; appends them to `queue` from
    place `tail` on, and returns where they end."""
    me = tl.load(region + start)
    tl.store(level + start, tl.zeros((), tl.int64))
    tl.store(queue + tail, start)
    head = tail
    tail = tail + 1
    while head < tail:
        vertex = tl.load(queue + head)
        head += 1
        next_level = tl.load(level + vertex) + 1
        for j in range(tl.load(starts + vertex), tl.load(starts + vertex + 1)):
            other = tl.load(neighbours + j)
            if (tl.load(region + other) == me) & (tl.load(level + other) < 0):
                tl.store(level + other, next_level)
                tl.store(queue + tail, other)
                tail += 1
    return tail


@triton.jit
def divide(order, low, high, fresh, starts, neighbours, region, level, queue):
    """Put the connected vertices order[low:high] in the order: one half, other half, what separates them.
    Returns where the first and the second end; `low` and `low` if there are too few levels."""
    size = high - low
    first = low
    second = low
    start = tl.load(order + low)
    for _ in range(2):
        for p in range(low, high):
            tl.store(level + tl.load(order + p), tl.full((), -1, tl.int64))
        search(start, low * 0, starts, neighbours, region, level, queue)
        start = tl.load(queue + size - 1)
    last = tl.load(level + start)
    if last >= 2:
        middle = tl.load(level + tl.load(queue + size // 2))
        middle = tl.maximum(tl.minimum(middle, last - 1), 1)
        for p in range(size):
            vertex = tl.load(queue + p)
            mine = tl.load(level + vertex)
            inside = mine < middle
            if mine == middle:
                beyond = tl.zeros((), tl.int64)
                for j in range(tl.load(starts + vertex), tl.load(starts + vertex + 1)):
                    other = tl.load(neighbours + j)
                    linked = (tl.load(level + other) == middle + 1) & (tl.load(region + other) >= 0)
                    beyond += linked.to(tl.int64)
                inside = beyond == 0
                if beyond > 0:
                    tl.store(level + vertex, tl.full((), -2, tl.int64))
            if inside:
                tl.store(order + first, vertex)
                tl.store(region + vertex, fresh)
                first += 1
        second = first
        for p in range(size):
            vertex = tl.load(queue + p)
            if tl.load(level + vertex) > middle:
                tl.store(order + second, vertex)
                tl.store(region + vertex, fresh + 1)
                second += 1
        at = second
        for p in range(size):
            vertex = tl.load(queue + p)
            if tl.load(level + vertex) == -2:
                tl.store(order + at, vertex)
                tl.store(region + vertex, tl.full((), -1, tl.int64))
                at += 1
    return first, second


@triton.jit(do_not_specialize=["n"])
def dissection_kernel(order, starts, neighbours, region, level, queue, stack, n, LEAF: tl.constexpr):
    """order [n], which counts, becomes one of little fill. `region` [n] holds 0; `level` and `queue` [n] and
    `stack` [3 n + 6] are scratch. All int64. One program."""
    zero = tl.zeros((), tl.int64)
    tl.store(stack, zero)
    tl.store(stack + 1, zero + n)
    tl.store(stack + 2, zero)
    depth = zero + 1
    fresh = zero + 1
    while depth > 0:
        depth -= 1
        low = tl.load(stack + 3 * depth)
        high = tl.load(stack + 3 * depth + 1)
        connected = tl.load(stack + 3 * depth + 2)
        if high - low > LEAF:
            if connected == 0:
                for p in range(low, high):
                    tl.store(level + tl.load(order + p), zero - 1)
                tail = zero
                for p in range(low, high):
                    vertex = tl.load(order + p)
                    if tl.load(level + vertex) < 0:
                        begin = tail
                        tail = search(vertex, tail, starts, neighbours, region, level, queue)
                        tl.store(stack + 3 * depth, low + begin)
                        tl.store(stack + 3 * depth + 1, low + tail)
                        tl.store(stack + 3 * depth + 2, zero + 1)
                        depth += 1
                for p in range(low, high):
                    tl.store(order + p, tl.load(queue + p - low))
            else:
                first, second = divide(order, low, high, fresh, starts, neighbours, region, level, queue)
                if first > low:
                    fresh += 2
                    tl.store(stack + 3 * depth, low)
                    tl.store(stack + 3 * depth + 1, first)
                    tl.store(stack + 3 * depth + 2, zero)
                    tl.store(stack + 3 * depth + 3, first)
                    tl.store(stack + 3 * depth + 4, second)
                    tl.store(stack + 3 * depth + 5, zero)
                    depth += 2


# ---- functions ------------------------------------------------------------------------------------


def neighbours(a: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """The graph of a square matrix and its transpose: starts [n + 1] and neighbours, without the diagonal."""
    row, column = a.rows(), a.columns.to(torch.int64)
    apart = row != column
    row, column = row[apart], column[apart]
    starts, order = sorted_by(torch.cat([row, column]), a.shape[0])
    return starts, torch.cat([column, row])[order]


def dissection(a: Rows) -> torch.Tensor:
    """The rows (and columns) of a [n, n] in an order of little fill, int64 [n]."""
    n = a.shape[0]
    order = torch.arange(n, device=a.values.device)
    if n > LEAF:
        starts, others = neighbours(a)
        region, level, queue = (torch.zeros_like(order) for _ in range(3))
        stack = torch.empty(3 * n + 6, dtype=torch.int64, device=order.device)
        launch(dissection_kernel, 1, order, starts, others, region, level, queue, stack, n, LEAF=LEAF)
    return order
