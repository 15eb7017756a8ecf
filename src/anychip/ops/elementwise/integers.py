"""Greatest common divisor and least common multiple of integers, by Euclid's algorithm: a block of
numbers is divided until no remainder is left in any of them."""

from __future__ import annotations

import triton
import triton.language as tl

from ..pointwise import pointwise
from ..registry import INTEGRAL


@triton.jit
def greatest_divisor(x, y):
    """The divisor of |x| and |y|; of zero and a number, the number."""
    a = tl.abs(x) + y * 0
    b = tl.abs(y) + x * 0
    while tl.max((b != 0).to(tl.int32)) > 0:
        left = b != 0
        rest = a % tl.where(left, b, 1)
        a = tl.where(left, b, a)
        b = tl.where(left, rest, 0).to(b.dtype)
    return a


@pointwise("gcd", dtypes=INTEGRAL, accepts=INTEGRAL, differentiable=False)
@triton.jit
def gcd(x, y):
    return greatest_divisor(x, y)


@pointwise("lcm", dtypes=INTEGRAL, accepts=INTEGRAL, differentiable=False)
@triton.jit
def lcm(x, y):
    divisor = greatest_divisor(x, y)
    return tl.abs(tl.where(divisor == 0, 0, x // tl.where(divisor == 0, 1, divisor) * y))
