"""Arithmetic and comparisons of complex numbers: what the pointwise operators add, sub, mul, div, neg, abs,
sgn and their relatives do where an operand is complex."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..complex_pointwise import REAL, ComplexPointwise
from . import arithmetic, comparison, logical, representation

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def product(a, b, c, d):
    """(a + bi) (c + di)."""
    return a * c - b * d, a * d + b * c


@triton.jit
def quotient(a, b, c, d):
    """(a + bi) / (c + di) by the larger part of the divisor, after Smith, "Algorithm 116: complex division",
    1962, as PyTorch has it: where C's Annex G restores a zero or an infinity from NaN, this does not."""
    by_real = tl.abs(c) >= tl.abs(d)
    zero = (c == 0) & (d == 0)
    ratio = tl.where(by_real, d, c) / tl.where(zero, 1.0, tl.where(by_real, c, d))
    scale = 1.0 / (tl.where(by_real, c, d) + tl.where(by_real, d, c) * ratio)
    real = tl.where(by_real, a + b * ratio, a * ratio + b) * scale
    imaginary = tl.where(by_real, b - a * ratio, b * ratio - a) * scale
    return tl.where(zero, a / tl.abs(c), real), tl.where(zero, b / tl.abs(d), imaginary)


@triton.jit
def inverse(a, b):
    """1 / (a + bi)."""
    return quotient(1.0, 0.0, a, b)


@triton.jit
def length(a, b):
    """The absolute value, without overflow of the squares."""
    large = tl.maximum(tl.abs(a), tl.abs(b))
    small = tl.minimum(tl.abs(a), tl.abs(b))
    ratio = small / tl.where(large == 0, 1.0, large)
    result = large * tl.sqrt(1.0 + ratio * ratio)
    infinite = (tl.abs(a) == float("inf")) | (tl.abs(b) == float("inf"))
    unknown = tl.where((a != a) | (b != b), a + b, result)
    return tl.where(infinite, float("inf"), unknown)


@triton.jit
def total(a, b, c, d, e, f):
    """x + alpha y."""
    real, imaginary = product(c, d, e, f)
    return a + real, b + imaginary


@triton.jit
def difference(a, b, c, d, e, f):
    """x - alpha y."""
    real, imaginary = product(c, d, e, f)
    return a - real, b - imaginary


@triton.jit
def negative(a, b):
    return -a, -b


@triton.jit
def direction(a, b):
    """A number divided by its absolute value; zero for zero."""
    size = length(a, b)
    divisor = tl.where(size == 0, 1.0, size)
    return tl.where(size == 0, 0.0, a / divisor), tl.where(size == 0, 0.0, b / divisor)


@triton.jit
def argument(a, b):
    """The angle, from -pi to pi."""
    return libdevice.atan2(b, a)


@triton.jit
def plus_product(a, b, c, d, e, f, g, h):
    """x + value first second."""
    real, imaginary = product(c, d, e, f)
    return total(a, b, real, imaginary, g, h)


@triton.jit
def plus_quotient(a, b, c, d, e, f, g, h):
    """x + value first / second."""
    real, imaginary = quotient(c, d, e, f)
    return total(a, b, real, imaginary, g, h)


@triton.jit
def between(a, b, c, d, e, f):
    """start + weight (end - start), from the nearer end."""
    real, imaginary = product(c - a, d - b, e, f)
    far_real, far_imaginary = product(c - a, d - b, 1.0 - e, -f)
    near = e * e + f * f < 0.25
    return tl.where(near, a + real, c - far_real), tl.where(near, b + imaginary, d - far_imaginary)


@triton.jit
def equal(a, b, c, d):
    return (a == c) & (b == d)


@triton.jit
def unequal(a, b, c, d):
    return (a != c) | (b != d)


@triton.jit
def unknown(a, b):
    return (a != a) | (b != b)


@triton.jit
def both(a, b, c, d):
    return ((a != 0) | (b != 0)) & ((c != 0) | (d != 0))


@triton.jit
def either(a, b, c, d):
    return (a != 0) | (b != 0) | (c != 0) | (d != 0)


@triton.jit
def one_alone(a, b, c, d):
    return ((a != 0) | (b != 0)) ^ ((c != 0) | (d != 0))


@triton.jit
def nothing(a, b):
    return (a == 0) & (b == 0)


# ---- forward --------------------------------------------------------------------------------------

PRODUCT = ComplexPointwise(product)
PLUS_PRODUCT = ComplexPointwise(plus_product)
TRUE = ComplexPointwise(either, torch.bool)
"""Whether a number, or another, is anything but zero."""


def update(
    x: Any, first: Any, second: Any, beta: Any, alpha: Any, *, out: torch.Tensor | None = None
) -> torch.Tensor:
    """beta x + alpha first second."""
    return PLUS_PRODUCT(x if beta == 1 else PRODUCT(x, beta), first, second, alpha, out=out)


def outer(first: Any, second: Any, alpha: Any, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """alpha first second."""
    return PRODUCT(PRODUCT(first, second), alpha, out=out)


for _pointwise, _served in (
    (arithmetic.add, ComplexPointwise(total)),
    (arithmetic.sub, ComplexPointwise(difference)),
    (arithmetic.mul, PRODUCT),
    (arithmetic.QUOTIENTS[None], ComplexPointwise(quotient)),
    (arithmetic.reciprocal, ComplexPointwise(inverse)),
    (arithmetic.neg, ComplexPointwise(negative)),
    (arithmetic.absolute, ComplexPointwise(length, REAL)),
    (arithmetic.sgn, ComplexPointwise(direction)),
    (arithmetic.addcmul, PLUS_PRODUCT),
    (arithmetic.addcdiv, ComplexPointwise(plus_quotient)),
    (arithmetic.lerp, ComplexPointwise(between)),
    (arithmetic.UPDATES[False], update),
    (arithmetic.PRODUCTS[False], outer),
    (representation.angle, ComplexPointwise(argument, REAL)),
    (comparison.eq, ComplexPointwise(equal, torch.bool)),
    (comparison.ne, ComplexPointwise(unequal, torch.bool)),
    (comparison.isnan, ComplexPointwise(unknown, torch.bool)),
    (logical.logical_and, ComplexPointwise(both, torch.bool)),
    (logical.logical_or, TRUE),
    (logical.logical_xor, ComplexPointwise(one_alone, torch.bool)),
    (logical.logical_not, ComplexPointwise(nothing, torch.bool)),
):
    _pointwise.of_complex = _served
