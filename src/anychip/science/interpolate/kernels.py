"""Kernels of interpolation: piecewise polynomials, bases of B-splines, and splines on a grid."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.distinct import distinct


@triton.jit
def interval_of(knots, x, first, last):
    """The interval [knots[i], knots[i + 1]) of each x, i from `first` to `last`, by bisection; what lies
    outside belongs to the nearest one."""
    low = tl.zeros_like(x).to(tl.int64) + first
    high = tl.zeros_like(x).to(tl.int64) + last
    while tl.max(high - low, 0) > 0:
        middle = (low + high + 1) // 2
        right = tl.load(knots + middle) <= x
        low = tl.where(right, middle, low)
        high = tl.where(right, high, tl.maximum(middle - 1, low))
    return low


@triton.jit(do_not_specialize=["count", "pieces", "columns", "order"])
def piecewise_kernel(out, at, knots, c, count, pieces, columns, order, BLOCK: tl.constexpr):
    """out [count, columns] = polynomials c [order, pieces, columns], the highest power first, of the distance
    from knots [pieces + 1]. A program takes BLOCK places of a column."""
    distinct(out, c)
    distinct(out, at)
    column = tl.program_id(1).to(tl.int64)
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = k < count
    x = tl.load(at + k, mask=mask, other=0)
    piece = interval_of(knots, x, 0, pieces - 1)
    x -= tl.load(knots + piece)
    value = tl.zeros((BLOCK,), out.dtype.element_ty)
    for power in range(order):
        value = value * x + tl.load(c + (power * pieces + piece) * columns + column, mask=mask, other=0)
    tl.store(out + k * columns + column, value, mask=mask)


@triton.jit(do_not_specialize=["count", "first", "last", "degree"])
def basis_kernel(out, interval, at, knots, count, first, last, degree, BLOCK: tl.constexpr):
    """out [degree + 1, count] = the B-splines that are not zero at each place, interval [count] where it lies
    among the knots (Cox and de Boor's recurrence). A program takes BLOCK places."""
    distinct(interval, at)
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = k < count
    x = tl.load(at + k, mask=mask, other=0)
    i = interval_of(knots, x, first, last)
    tl.store(interval + k, i, mask=mask)
    tl.store(out + k, tl.zeros_like(x) + 1.0, mask=mask)
    for j in range(1, degree + 1):
        saved = tl.zeros_like(x)
        for r in range(j):
            right = tl.load(knots + i + r + 1)
            left = tl.load(knots + i + 1 - j + r)
            share = tl.load(out + r.to(tl.int64) * count + k, mask=mask, other=0) / (right - left)
            tl.store(out + r.to(tl.int64) * count + k, saved + (right - x) * share, mask=mask)
            saved = (x - left) * share
        tl.store(out + j.to(tl.int64) * count + k, saved, mask=mask)


@triton.jit
def spline_weight(d, ORDER):
    """The B-spline of ORDER 0 to 3 about zero at distances d, within its support."""
    a = tl.abs(d)
    if ORDER == 0:
        return tl.zeros_like(d) + 1.0
    if ORDER == 1:
        return 1.0 - a
    if ORDER == 2:
        return tl.where(a <= 0.5, 0.75 - a * a, 0.5 * (1.5 - a) * (1.5 - a))
    return tl.where(
        a <= 1.0, (4.0 - 6.0 * a * a + 3.0 * a * a * a) / 6.0, (2.0 - a) * (2.0 - a) * (2.0 - a) / 6.0
    )


@triton.jit
def spline_slope(d, ORDER):
    """Its derivative."""
    a = tl.abs(d)
    one = tl.zeros_like(d) + 1.0  # of the type of d, as every branch returns it
    sign = tl.where(d < 0, -one, one)
    if ORDER == 0:
        return tl.zeros_like(d)
    if ORDER == 1:
        return -sign
    if ORDER == 2:
        return sign * tl.where(a <= 0.5, -2.0 * a, a - 1.5)
    return sign * tl.where(a <= 1.0, 1.5 * a * a - 2.0 * a, -0.5 * (2.0 - a) * (2.0 - a))


@triton.jit
def folded(i, size, MODE):
    """An index beyond the grid's ends: nearest (0), mirrored about the last element (1) or about its edge
    (2), or around (3)."""
    if MODE == 0:
        return tl.minimum(tl.maximum(i, 0), size - 1)
    if MODE == 3:
        return ((i % size) + size) % size
    period = 2 * size - 2 if MODE == 1 else 2 * size
    period = tl.maximum(period, 1)
    i = ((i % period) + period) % period
    return tl.where(i < size, i, period - i if MODE == 1 else period - 1 - i)


@triton.jit(do_not_specialize=["count"])
def grid_spline_kernel(
    out, grid, place, g, shape, strides, count, fill: tl.int64, DIMENSIONS: tl.constexpr,
    ORDER: tl.constexpr, MODE: tl.constexpr, CONSTANT: tl.constexpr, SLOPE: tl.constexpr,
    SCATTER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out [count] = the spline with coefficients `grid` of `shape` at place [DIMENSIONS, count]; CONSTANT:
    `fill` outside of the grid. SLOPE: its derivative along that axis, if not below 0. SCATTER: out is a grid,
    to which weights times g [count] are added. A program takes BLOCK places."""
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = k < count
    TYPE: tl.constexpr = place.dtype.element_ty
    inside = mask
    if CONSTANT:
        for axis in tl.static_range(DIMENSIONS):
            x = tl.load(place + axis * count + k, mask=mask, other=0)
            inside = inside & (x >= 0) & (x <= (tl.load(shape + axis) - 1).to(TYPE))
    total = tl.zeros((BLOCK,), TYPE)
    amount = tl.zeros((BLOCK,), TYPE)
    if SCATTER:
        amount = tl.load(g + k, mask=inside, other=0)
    terms = 1
    for _ in tl.static_range(DIMENSIONS):
        terms = terms * (ORDER + 1)
    for term in range(terms):
        weight = tl.zeros((BLOCK,), TYPE) + 1.0
        at = tl.zeros((BLOCK,), tl.int64)
        digits = term
        for axis in tl.static_range(DIMENSIONS):
            size = tl.load(shape + axis)
            x = tl.load(place + axis * count + k, mask=mask, other=0)
            if MODE == 0 and not CONSTANT:
                x = tl.minimum(tl.maximum(x, 0.0), (size - 1).to(TYPE))
            start = tl.floor(x) - (ORDER // 2)
            if ORDER % 2 == 0:
                start = tl.floor(x + 0.5) - (ORDER // 2)
            i = start + digits % (ORDER + 1)
            digits = digits // (ORDER + 1)
            if axis == SLOPE:
                weight = weight * spline_slope(x - i, ORDER)
            else:
                weight = weight * spline_weight(x - i, ORDER)
            at += folded(i.to(tl.int64), size, MODE) * tl.load(strides + axis)
        if SCATTER:
            tl.atomic_add(out + at, weight * amount, mask=inside, sem="relaxed")
        else:
            total += weight * tl.load(grid + at, mask=inside, other=0)
    if not SCATTER:
        if CONSTANT and SLOPE < 0:
            total = tl.where(inside, total, fill.to(tl.float64, bitcast=True).to(TYPE))
        tl.store(out + k, total, mask=mask)
