"""Transforms of a few tiles, held as tuples of real and of imaginary parts: the innermost step of others.
Even lengths are split into two halves (Cooley and Tukey, "An algorithm for the machine calculation of
complex Fourier series", 1965); odd ones are done directly, with the symmetry of the roots of unity."""

# ruff: noqa: RUF005 (Triton has no unpacking within a tuple)

from __future__ import annotations

import math
from typing import Any

import triton
import triton.language as tl

RADICES = (4, 2, 3, 5, 7, 11, 13)
"""Factors into which lengths are divided, in this order: larger ones take more registers than there are."""


FIRST, SECOND = tl.constexpr(0), tl.constexpr(1)


@triton.constexpr_function
def cosine(k: Any, n: Any) -> Any:
    """cos(2 pi k / n), at compile time."""
    return math.cos(2 * math.pi * (int(k) % int(n)) / int(n))


@triton.constexpr_function
def sine(k: Any, n: Any) -> Any:
    """sin(2 pi k / n), at compile time."""
    return math.sin(2 * math.pi * (int(k) % int(n)) / int(n))


@triton.jit
def every_second(x, START: tl.constexpr, COUNT: tl.constexpr):
    """The COUNT elements x[START], x[START + 2], ..."""
    chosen = ()
    for k in tl.static_range(COUNT):
        chosen = chosen + (x[START + 2 * k],)
    return chosen


@triton.jit
def turned(a, b, K: tl.constexpr, N: tl.constexpr):
    """(a + bi) exp(-2 pi i K / N)."""
    if K == 0:
        real = a
        imaginary = b
    elif 4 * K == N:
        real = b
        imaginary = -a
    elif 8 * K == N:
        real = (a + b) * 0.7071067811865476
        imaginary = (b - a) * 0.7071067811865476
    elif 8 * K == 3 * N:
        real = (b - a) * 0.7071067811865476
        imaginary = (a + b) * -0.7071067811865476
    else:
        c: tl.constexpr = cosine(K, N)
        s: tl.constexpr = sine(K, N)
        real = a * c + b * s
        imaginary = b * c - a * s
    return real, imaginary


@triton.jit
def odd_butterfly(x, y, N: tl.constexpr):
    """The transform of N tiles, N odd: sums and differences of the tiles that lie opposite each other."""
    HALF: tl.constexpr = N // 2
    real = x[0]
    imaginary = y[0]
    for k in tl.static_range(1, HALF + 1):
        real = real + (x[k] + x[N - k])
        imaginary = imaginary + (y[k] + y[N - k])
    left_x = ()
    left_y = ()
    right_x = ()
    right_y = ()
    for j in tl.static_range(1, HALF + 1):
        a = x[0]
        b = y[0]
        c = (x[1] - x[N - 1]) * sine(j, N)
        d = (y[1] - y[N - 1]) * sine(j, N)
        for k in tl.static_range(1, HALF + 1):
            a = a + (x[k] + x[N - k]) * cosine(j * k, N)
            b = b + (y[k] + y[N - k]) * cosine(j * k, N)
            if k > 1:
                c = c + (x[k] - x[N - k]) * sine(j * k, N)
                d = d + (y[k] - y[N - k]) * sine(j * k, N)
        left_x = left_x + (a + d,)
        left_y = left_y + (b - c,)
        right_x = (a - d,) + right_x
        right_y = (b + c,) + right_y
    return (real,) + left_x + right_x, (imaginary,) + left_y + right_y


@triton.jit
def butterfly(x, y, N: tl.constexpr):
    """The transform of N tiles, with exp(-2 pi i j k / N): (real parts, imaginary parts) by j."""
    if N == 1:
        return x, y
    elif N % 2 == 1:
        return odd_butterfly(x, y, N)
    else:
        HALF: tl.constexpr = N // 2
        a, b = butterfly(every_second(x, FIRST, HALF), every_second(y, FIRST, HALF), HALF)
        c, d = butterfly(every_second(x, SECOND, HALF), every_second(y, SECOND, HALF), HALF)
        low_x = ()
        low_y = ()
        high_x = ()
        high_y = ()
        for k in tl.static_range(HALF):
            real, imaginary = turned(c[k], d[k], k, N)
            low_x = low_x + (a[k] + real,)
            low_y = low_y + (b[k] + imaginary,)
            high_x = high_x + (a[k] - real,)
            high_y = high_y + (b[k] - imaginary,)
        return low_x + high_x, low_y + high_y


@triton.jit
def woven(x, N: tl.constexpr):
    """[columns, N] as one tile: element i of x[0], of x[1], ..., then i + 1 (N a power of two)."""
    if N == 2:
        return tl.interleave(x[0], x[1])
    else:
        HALF: tl.constexpr = N // 2
        even = woven(every_second(x, FIRST, HALF), HALF)
        odd = woven(every_second(x, SECOND, HALF), HALF)
        return tl.interleave(even, odd)
