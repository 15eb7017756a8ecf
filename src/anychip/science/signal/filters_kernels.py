"""Kernels of filters along rows: upsampled convolutions, their weights' gradients, and recursive sections."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.distinct import distinct


@triton.jit(do_not_specialize=["n", "length", "width", "offset"])
def filter_kernel(out, x, h, n, length, width, up, down, offset, BLOCK: tl.constexpr):
    """out[row, t] of `width` = the sum over k of h[k] x[row, (t down + offset - k) / up], where that is whole
    and in 0 .. n; h of `length`. A program takes BLOCK elements of a row."""
    distinct(out, x)
    distinct(out, h)
    row = tl.program_id(1).to(tl.int64)
    t = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = t < width
    place = t * down + offset
    phase = place % up
    source = place // up
    total = tl.zeros((BLOCK,), out.dtype.element_ty)
    for j in range((length + up - 1) // up):
        weight = tl.load(h + phase + up * j, mask=inside & (phase + up * j < length), other=0)
        at = source - j
        total += weight * tl.load(x + row * n + at, mask=inside & (at >= 0) & (at < n), other=0)
    tl.store(out + row * width + t, total, mask=inside)


@triton.jit(do_not_specialize=["rows", "n", "width"])
def weights_kernel(out, x, g, rows, n, width, up, down, BLOCK: tl.constexpr):
    """out[k] = the sum over rows and t of g[row, t] x[row, (t down - k) / up], where that is whole and in
    0 .. n. A program takes one k."""
    k = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), out.dtype.element_ty)
    for row in range(rows):
        for start in range(0, width, BLOCK):
            t = (start + lane).to(tl.int64)
            place = t * down - k
            at = place // up
            inside = (t < width) & (place >= 0) & (place % up == 0) & (at < n)
            weight = tl.load(g + row.to(tl.int64) * width + t, mask=inside, other=0)
            total += weight * tl.load(x + row.to(tl.int64) * n + at, mask=inside, other=0)
    tl.store(out + k, tl.sum(total, 0))


@triton.jit(do_not_specialize=["rows", "n", "sections"])
def sections_kernel(out, state, x, sos, rows, n, sections, LANES: tl.constexpr):
    """out [rows, n] = x through second-order sections sos [sections, 6] with a0 = 1, in the transposed direct
    form II; state [rows, sections, 2] is what they start with and becomes what they end with. A program
    takes LANES rows."""
    distinct(out, sos)
    distinct(out, state)
    row = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    inside = row < rows
    for s in range(sections):
        b0, b1, b2 = tl.load(sos + 6 * s), tl.load(sos + 6 * s + 1), tl.load(sos + 6 * s + 2)
        a1, a2 = tl.load(sos + 6 * s + 4), tl.load(sos + 6 * s + 5)
        at = state + (row * sections + s) * 2
        first = tl.load(at, mask=inside, other=0)
        second = tl.load(at + 1, mask=inside, other=0)
        for t in range(n):
            if s == 0:
                value = tl.load(x + row * n + t, mask=inside, other=0)
            else:
                value = tl.load(out + row * n + t, mask=inside, other=0)
            result = b0 * value + first
            first = b1 * value - a1 * result + second
            second = b2 * value - a2 * result
            tl.store(out + row * n + t, result, mask=inside)
        tl.store(at, first, mask=inside)
        tl.store(at + 1, second, mask=inside)
