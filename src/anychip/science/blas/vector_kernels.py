"""Kernels of BLAS 1: linear combinations of two vectors, and sizes of one. A complex number is two numbers,
one after the other."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.kernels.numbers import double


@triton.jit
def scaled(total_real, total_imaginary, x, y, h, COMPLEX):
    """Add h (x + i y) to a total."""
    TYPE: tl.constexpr = x.dtype
    a = tl.load(h).to(TYPE)
    if COMPLEX:
        b = tl.load(h + 1).to(TYPE)
        return total_real + (a * x - b * y), total_imaginary + (a * y + b * x)
    return total_real + a * x, total_imaginary


@triton.jit(do_not_specialize=["n"])
def plane_kernel(
    out_x, out_y, x, y, h, n, TERMS: tl.constexpr, COMPLEX: tl.constexpr,
    ACCUMULATE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out_x = h[0] x + h[1] y and out_y = h[2] x + h[3] y, h [4, 2] in double precision; of these terms those
    whose bits are set in TERMS, and a vector without terms is not written."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    PARTS: tl.constexpr = tl.constexpr(2 if COMPLEX else 1)
    u = tl.zeros((BLOCK,), ACCUMULATE)
    v = tl.zeros((BLOCK,), ACCUMULATE)
    p = tl.zeros((BLOCK,), ACCUMULATE)
    q = tl.zeros((BLOCK,), ACCUMULATE)
    if TERMS & 5:
        u = tl.load(x + PARTS * at, mask=mask, other=0).to(ACCUMULATE)
        if COMPLEX:
            v = tl.load(x + 2 * at + 1, mask=mask, other=0).to(ACCUMULATE)
    if TERMS & 10:
        p = tl.load(y + PARTS * at, mask=mask, other=0).to(ACCUMULATE)
        if COMPLEX:
            q = tl.load(y + 2 * at + 1, mask=mask, other=0).to(ACCUMULATE)
    if TERMS & 3:
        distinct(out_x, x)
        distinct(out_x, y)
        real = tl.zeros((BLOCK,), ACCUMULATE)
        imaginary = tl.zeros((BLOCK,), ACCUMULATE)
        if TERMS & 1:
            real, imaginary = scaled(real, imaginary, u, v, h, COMPLEX)
        if TERMS & 2:
            real, imaginary = scaled(real, imaginary, p, q, h + 2, COMPLEX)
        tl.store(out_x + PARTS * at, real, mask=mask)
        if COMPLEX:
            tl.store(out_x + 2 * at + 1, imaginary, mask=mask)
    if TERMS & 12:
        distinct(out_y, x)
        distinct(out_y, y)
        real = tl.zeros((BLOCK,), ACCUMULATE)
        imaginary = tl.zeros((BLOCK,), ACCUMULATE)
        if TERMS & 4:
            real, imaginary = scaled(real, imaginary, u, v, h + 4, COMPLEX)
        if TERMS & 8:
            real, imaginary = scaled(real, imaginary, p, q, h + 6, COMPLEX)
        tl.store(out_y + PARTS * at, real, mask=mask)
        if COMPLEX:
            tl.store(out_y + 2 * at + 1, imaginary, mask=mask)


@triton.jit
def magnitude(x, at, mask, COMPLEX):
    """Sums of the absolute values of both parts, in double precision."""
    if COMPLEX:
        return tl.abs(tl.load(x + 2 * at, mask=mask, other=0).to(tl.float64)) + tl.abs(
            tl.load(x + 2 * at + 1, mask=mask, other=0).to(tl.float64)
        )
    return tl.abs(tl.load(x + at, mask=mask, other=0).to(tl.float64))


@triton.jit(do_not_specialize=["n"])
def largest_kernel(
    partial, x, n, LEAST: tl.constexpr, COMPLEX: tl.constexpr, SHARE: tl.constexpr, BLOCK: tl.constexpr
):
    """partial[program] = the largest (LEAST: the least) magnitude in this program's SHARE, of which a NaN is
    infinite."""
    program = tl.program_id(0).to(tl.int64)
    infinity = tl.full((BLOCK,), float("inf"), tl.float64)
    best = infinity if LEAST else tl.zeros((BLOCK,), tl.float64)
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, n), BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < n
        value = magnitude(x, at, mask, COMPLEX)
        value = tl.where(value == value, value, infinity)
        if LEAST:
            best = tl.minimum(best, tl.where(mask, value, infinity))
        else:
            best = tl.maximum(best, tl.where(mask, value, 0.0))
    tl.store(partial + program, tl.min(best, 0) if LEAST else tl.max(best, 0))


@triton.jit(do_not_specialize=["n"])
def first_kernel(partial, x, wanted, n, COMPLEX: tl.constexpr, SHARE: tl.constexpr, BLOCK: tl.constexpr):
    """partial[program] = the first place in this program's SHARE whose magnitude is wanted[0], or n."""
    program = tl.program_id(0).to(tl.int64)
    found = tl.zeros((BLOCK,), tl.int64) + n
    target = tl.load(wanted)
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, n), BLOCK):
        at = start + tl.arange(0, BLOCK).to(tl.int64)
        mask = at < n
        value = magnitude(x, at, mask, COMPLEX)
        value = tl.where(value == value, value, float("inf"))
        found = tl.minimum(found, tl.where(mask & (value == target), at, n))
    tl.store(partial + program, tl.min(found, 0))


@triton.jit(do_not_specialize=["n", "scale"])
def size_kernel(
    partial, x, n, scale: tl.int64, SQUARED: tl.constexpr, SHARE: tl.constexpr, BLOCK: tl.constexpr
):
    """partial[program] = the sum over this program's SHARE of |scale x|, or of its square."""
    program = tl.program_id(0).to(tl.int64)
    sums = tl.zeros((BLOCK,), tl.float64)
    factor = double(scale)
    for start in range(program * SHARE, tl.minimum((program + 1) * SHARE, n), BLOCK):
        at = start + tl.arange(0, BLOCK)
        value = factor * tl.load(x + at, mask=at < n, other=0).to(tl.float64)
        sums += value * value if SQUARED else tl.abs(value)
    tl.store(partial + program, tl.sum(sums, 0))
