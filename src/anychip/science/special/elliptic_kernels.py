"""Elliptic integrals of numbers: Carlson's symmetric ones by duplication (Carlson, "Numerical computation of
real or complex elliptic integrals", 1995; the sums are DLMF 19.36), complete ones by the arithmetic-geometric
mean, Legendre's in terms of Carlson's (DLMF 19.25). Computed in double precision."""

from __future__ import annotations

import math

import triton
import triton.language as tl

PI, HALF_PI = tl.constexpr(math.pi), tl.constexpr(math.pi / 2)
STEPS = tl.constexpr(13)
MEANS = tl.constexpr(9)


@triton.jit
def rf(x, y, z):
    """R_F(x, y, z), of doubles that are not negative, at most one of them zero."""
    mean = (x + y + z) / 3.0
    first = mean - x
    second = mean - y
    for _ in range(STEPS):
        a, b, c = tl.sqrt(x), tl.sqrt(y), tl.sqrt(z)
        step = a * b + a * c + b * c
        x = 0.25 * (x + step)
        y = 0.25 * (y + step)
        z = 0.25 * (z + step)
        mean = 0.25 * (mean + step)
        first = 0.25 * first
        second = 0.25 * second
    p = first / mean
    q = second / mean
    r = -p - q
    e2 = p * q - r * r
    e3 = p * q * r
    series = 1.0 + (e2 * (e2 / 24.0 - 0.1 - 3.0 * e3 / 44.0 - 5.0 * e2 * e2 / 208.0) + e3 / 14.0)
    return (series + e3 * (3.0 * e3 / 104.0 + e2 * e2 / 16.0)) / tl.sqrt(mean)


@triton.jit
def rd(x, y, z):
    """R_D(x, y, z), of doubles that are not negative, z and one of the others positive."""
    mean = (x + y + 3.0 * z) / 5.0
    first = mean - x
    second = mean - y
    total = x * 0.0
    scale = total + 1.0
    for _ in range(STEPS):
        a, b, c = tl.sqrt(x), tl.sqrt(y), tl.sqrt(z)
        step = a * b + a * c + b * c
        total += scale / (c * (z + step))
        scale = 0.25 * scale
        x = 0.25 * (x + step)
        y = 0.25 * (y + step)
        z = 0.25 * (z + step)
        mean = 0.25 * (mean + step)
        first = 0.25 * first
        second = 0.25 * second
    p = first / mean
    q = second / mean
    r = -(p + q) / 3.0
    pq = p * q
    rr = r * r
    e2 = pq - 6.0 * rr
    e3 = (3.0 * pq - 8.0 * rr) * r
    e4 = 3.0 * (pq - rr) * rr
    e5 = pq * rr * r
    series = 1.0 - 3.0 * e2 / 14.0 + e3 / 6.0 + 9.0 * e2 * e2 / 88.0 - 3.0 * e4 / 22.0
    series += 3.0 * e5 / 26.0 - 9.0 * e2 * e3 / 52.0 - e2 * e2 * e2 / 16.0 + 3.0 * e3 * e3 / 40.0
    series += 3.0 * e2 * e4 / 20.0 + 45.0 * e2 * e2 * e3 / 272.0 - 9.0 * (e3 * e4 + e2 * e5) / 68.0
    return 3.0 * total + scale * series / (mean * tl.sqrt(mean))


@triton.jit
def not_a_number(x):
    return x * 0.0 + float("nan")


@triton.jit
def symmetric_first(x, y, z):
    """elliprf."""
    x, y, z = x.to(tl.float64), y.to(tl.float64), z.to(tl.float64)
    least = tl.minimum(tl.minimum(x, y), z)
    zeros = (x == 0).to(tl.int32) + (y == 0).to(tl.int32) + (z == 0).to(tl.int32)
    value = rf(x, y, z)
    value = tl.where(zeros > 1, float("inf"), value)
    return tl.where(least < 0, not_a_number(x), value)


@triton.jit
def symmetric_second(x, y, z):
    """elliprd."""
    x, y, z = x.to(tl.float64), y.to(tl.float64), z.to(tl.float64)
    value = rd(x, y, z)
    value = tl.where((z == 0) | ((x == 0) & (y == 0)), float("inf"), value)
    return tl.where(tl.minimum(tl.minimum(x, y), z) < 0, not_a_number(x), value)


@triton.jit
def degenerate(x, y):
    """elliprc; for y below 0 its principal value."""
    x, y = x.to(tl.float64), y.to(tl.float64)
    below = y < 0
    shifted = tl.where(below, x - y, x)
    other = tl.where(below, -y, y)
    value = rf(shifted, other, other)
    value = tl.where(below, value * tl.sqrt(tl.where(below, x / shifted, 1.0)), value)
    value = tl.where(y == 0, float("inf"), value)
    return tl.where(x < 0, not_a_number(x), value)


@triton.jit
def mean_of(a, b):
    """The arithmetic-geometric mean of doubles, which are positive."""
    for _ in range(MEANS):
        middle = 0.5 * (a + b)
        b = tl.sqrt(a * b)
        a = middle
    return a


@triton.jit
def complete_first_from(p):
    """ellipkm1."""
    p = p.to(tl.float64)
    value = HALF_PI / mean_of(p * 0.0 + 1.0, tl.sqrt(p))
    return tl.where(p < 0, not_a_number(p), tl.where(p == 0, float("inf"), value))


@triton.jit
def complete_first(m):
    """ellipk."""
    return complete_first_from(1.0 - m.to(tl.float64))


@triton.jit
def complete_second(m):
    """ellipe."""
    m = m.to(tl.float64)
    p = 1.0 - m
    one = m * 0.0 + 1.0
    zero = m * 0.0
    safe = tl.where(p > 0, p, one)
    value = safe / 3.0 * (rd(zero, safe, one) + rd(zero, one, safe))
    return tl.where(p < 0, not_a_number(m), tl.where(p == 0, one, value))


@triton.jit
def reduced(phi):
    """phi without its multiple of pi, in [-pi / 2, pi / 2], and the multiple."""
    turns = tl.floor(phi / PI + 0.5)
    rest = phi - turns * 3.141592653589793
    return rest - turns * 1.2246467991473532e-16, turns


@triton.jit
def incomplete_first(phi, m):
    """ellipkinc."""
    phi, m = phi.to(tl.float64), m.to(tl.float64)
    rest, turns = reduced(phi)
    s, c = tl.sin(rest), tl.cos(rest)
    under = 1.0 - m * s * s
    value = s * rf(c * c, under, under * 0.0 + 1.0)
    whole = tl.where(turns == 0, 0.0, 2.0 * turns * complete_first(m))
    value = tl.where((under == 0) | (c == 0) & (m == 1), float("inf") * s, value + whole)
    return tl.where((under < 0) | (m > 1) & (turns != 0), not_a_number(phi), value)


@triton.jit
def incomplete_second(phi, m):
    """ellipeinc."""
    phi, m = phi.to(tl.float64), m.to(tl.float64)
    rest, turns = reduced(phi)
    s, c = tl.sin(rest), tl.cos(rest)
    ss = s * s
    cc = c * c
    one = m * 0.0 + 1.0
    under = 1.0 - m * ss
    safe = tl.where(under > 0, under, one)
    positive = m > 0
    # the sum of terms of one sign: DLMF 19.25.10 for m > 0, 19.25.9 below
    first = rf(cc, safe, one)
    second = rd(cc, tl.where(positive, one, safe), tl.where(positive, safe, one))
    high = (1.0 - m) * (first + m * ss / 3.0 * second) + m * tl.abs(c) / tl.sqrt(safe)
    low = first - m * ss / 3.0 * second
    value = s * tl.where(positive, high, low)
    value = tl.where(m == 1, s, value)
    whole = tl.where(turns == 0, 0.0, 2.0 * turns * complete_second(m))
    return tl.where((under < 0) | (m > 1) & (turns != 0), not_a_number(phi), value + whole)
