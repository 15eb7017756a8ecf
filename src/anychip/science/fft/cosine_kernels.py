"""Kernels around the Fourier transforms that cosine and sine transforms are made of. Signals are [outer, n,
inner]; what becomes of each element is told by tables of indices and weights."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def place(width, inner, count, INNER: tl.constexpr, BLOCK: tl.constexpr):
    """Where elements of [outer, width, inner] lie: flat, number of the line, place in it, and which are."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if INNER:
        line = at // (width * inner)
        t = at // inner % width
        b = at % inner
    else:
        line = at // width
        t = at % width
        b = tl.zeros_like(at)
    return at, line, t, b, at < count


@triton.jit
def weigh_kernel(out, x, index, weight, width, n, inner, count, INNER: tl.constexpr, BLOCK: tl.constexpr):
    """out[.., t, ..] of `width` = weight[t] x[.., index[t], ..] of n."""
    at, line, t, b, mask = place(width, inner, count, INNER, BLOCK)
    source = (line * n + tl.load(index + t, mask=mask, other=0)) * inner + b
    value = tl.load(x + source, mask=mask, other=0) * tl.load(weight + t, mask=mask, other=0)
    tl.store(out + at, value, mask=mask)


@triton.jit
def join_kernel(
    out, x, first, second, p, q, r, s, width, n, inner, count, INNER: tl.constexpr, BLOCK: tl.constexpr
):
    """Complex out[.., t, ..] of `width`, as pairs, = (p + q i)[t] x[.., first[t], ..] + (r + s i)[t] x[..,
    second[t], ..] of n."""
    at, line, t, b, mask = place(width, inner, count, INNER, BLOCK)
    a = tl.load(x + (line * n + tl.load(first + t, mask=mask, other=0)) * inner + b, mask=mask, other=0)
    c = tl.load(x + (line * n + tl.load(second + t, mask=mask, other=0)) * inner + b, mask=mask, other=0)
    real = a * tl.load(p + t, mask=mask, other=0) + c * tl.load(r + t, mask=mask, other=0)
    imaginary = a * tl.load(q + t, mask=mask, other=0) + c * tl.load(s + t, mask=mask, other=0)
    tl.store(out + 2 * at, real, mask=mask)
    tl.store(out + 2 * at + 1, imaginary, mask=mask)


@triton.jit
def project_kernel(out, x, index, p, q, width, n, inner, count, INNER: tl.constexpr, BLOCK: tl.constexpr):
    """Real out[.., t, ..] of `width` = p[t] Re + q[t] Im of complex x[.., index[t], ..] of n, which is
    pairs."""
    at, line, t, b, mask = place(width, inner, count, INNER, BLOCK)
    source = 2 * ((line * n + tl.load(index + t, mask=mask, other=0)) * inner + b)
    value = tl.load(x + source, mask=mask, other=0) * tl.load(p + t, mask=mask, other=0)
    value += tl.load(x + source + 1, mask=mask, other=0) * tl.load(q + t, mask=mask, other=0)
    tl.store(out + at, value, mask=mask)
