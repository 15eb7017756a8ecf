"""Exponential, sine and cosine integrals and the dilogarithm of numbers: series near zero, continued
fractions away from it (DLMF 6.6, 6.9, 6.12; 25.12). Computed in double precision."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import triton
import triton.language as tl

GAMMA = tl.constexpr(0.5772156649015329)
PI_SQUARED_SIXTH = tl.constexpr(1.6449340668482264)
HALF_PI = tl.constexpr(1.5707963267948966)


def _bernoulli(count: int) -> list[Fraction]:
    """B_0 to B_count."""
    numbers = [Fraction(1)]
    for n in range(1, count + 1):
        total = Fraction(0)
        choose = Fraction(1)
        for k in range(n):
            total += choose * numbers[k]
            choose = choose * (n + 1 - k) / (k + 1)
        numbers.append(-total / (n + 1))
    return numbers


DILOGARITHM = tl.constexpr(
    tuple(float(_bernoulli(22)[2 * k] / factorial(2 * k + 1)) for k in range(11, 0, -1))
)
"""B_2k / (2k + 1)!, the highest first."""


@triton.jit
def first_of(x):
    """E_1 of doubles above 0."""
    small = tl.minimum(x, 1.0)
    term = small * 0.0 + 1.0
    total = small * 0.0
    for k in range(1, 20):
        term = -term * small / k
        total -= term / k
    near = total - GAMMA - tl.log(small)
    large = tl.maximum(x, 1.0)
    tail = large * 0.0
    for j in range(90):
        k = 90 - j
        tail = (k * k).to(tl.float64) / (large + (2 * k + 1) - tail)
    far = tl.exp(-large) / (large + 1.0 - tail)
    return tl.where(x <= 1.0, near, far)


@triton.jit
def exponential_first(x):
    """exp1."""
    x = x.to(tl.float64)
    value = first_of(tl.where(x > 0, x, 1.0))
    value = tl.where(x == 0, float("inf"), value)
    value = tl.where(x == float("inf"), 0.0, value)
    return tl.where((x < 0) | (x != x), float("nan"), value)


@triton.jit
def exponential(x):
    """expi."""
    x = x.to(tl.float64)
    small = tl.minimum(tl.where(x > 0, x, 1.0), 40.0)
    term = small * 0.0 + 1.0
    total = small * 0.0
    for k in range(1, 140):
        term = term * small / k
        total += term / k
    near = total + GAMMA + tl.log(small)
    large = tl.maximum(x, 40.0)
    tail = large * 0.0 + 1.0
    for j in range(39):
        tail = 1.0 + tail * (39 - j) / large
    # in two steps, as the exponential overflows before its quotient
    half = tl.exp(0.5 * large)
    far = half * (half / large) * tail
    value = tl.where(x <= 40.0, near, far)
    value = tl.where(x < 0, -first_of(tl.where(x < 0, -x, 1.0)), value)
    value = tl.where(x == 0, -float("inf"), value)
    value = tl.where(x == float("inf"), float("inf"), value)
    value = tl.where(x == -float("inf"), -0.0, value)
    return tl.where(x != x, x, value)


@triton.jit
def auxiliary(x):
    """The continued fraction of E_1(i x) exp(i x), of doubles from 4 on: its real and imaginary part."""
    real = x * 0.0
    imaginary = x * 0.0
    for j in range(60):
        k = 60 - j
        a = (2 * k + 1) - real
        b = x - imaginary
        scale = (k * k).to(tl.float64) / (a * a + b * b)
        real = scale * a
        imaginary = -scale * b
    a = 1.0 - real
    b = x - imaginary
    size = a * a + b * b
    return a / size, -b / size


@triton.jit
def sine_integral(x):
    """The first of sici."""
    x = x.to(tl.float64)
    size = tl.abs(x)
    small = tl.minimum(size, 4.0)
    term = small
    total = small
    for k in range(1, 18):
        term = -term * small * small / ((2 * k) * (2 * k + 1))
        total += term / (2 * k + 1)
    large = tl.minimum(tl.maximum(size, 4.0), 1e300)
    real, imaginary = auxiliary(large)
    far = HALF_PI - real * tl.sin(large) + imaginary * tl.cos(large)
    value = tl.where(size <= 4.0, total, far)
    value = tl.where(size == float("inf"), HALF_PI, value)
    return tl.where(x < 0, -value, tl.where(x != x, x, value))


@triton.jit
def cosine_integral(x):
    """The second of sici; of |x| below 0."""
    size = tl.abs(x.to(tl.float64))
    small = tl.minimum(tl.where(size > 0, size, 1.0), 4.0)
    term = small * 0.0 + 1.0
    total = small * 0.0
    for k in range(1, 18):
        term = -term * small * small / ((2 * k - 1) * (2 * k))
        total += term / (2 * k)
    near = total + (GAMMA + tl.log(small))
    large = tl.minimum(tl.maximum(size, 4.0), 1e300)
    real, imaginary = auxiliary(large)
    far = -(real * tl.cos(large) + imaginary * tl.sin(large))
    value = tl.where(size <= 4.0, near, far)
    value = tl.where(size == 0, -float("inf"), value)
    value = tl.where(size == float("inf"), 0.0, value)
    return tl.where(size != size, size, value)


@triton.jit
def dilogarithm_near(z):
    """Li_2(1 - z) for 1/2 <= z <= 2."""
    u = -tl.log(z)
    square = u * u
    total = square * 0.0
    for k in tl.static_range(len(DILOGARITHM)):
        total = (total + DILOGARITHM[k]) * square
    return u * (1.0 - 0.25 * u + total)


@triton.jit
def dilogarithm(x):
    """spence."""
    x = x.to(tl.float64)
    z = tl.where(x > 0, x, 1.0)
    turned = z > 2.0
    z = tl.where(turned, 1.0 / z, z)
    reflected = z < 0.5
    other = dilogarithm_near(tl.where(reflected, 1.0 - z, z))
    mirrored = PI_SQUARED_SIXTH - tl.log(z) * tl.log(tl.where(reflected, 1.0 - z, 0.5)) - other
    value = tl.where(reflected, mirrored, other)
    half = tl.log(z)
    value = tl.where(turned, -0.5 * half * half - value, value)
    value = tl.where(x == 0, PI_SQUARED_SIXTH, value)
    return tl.where((x < 0) | (x != x), float("nan"), value)
