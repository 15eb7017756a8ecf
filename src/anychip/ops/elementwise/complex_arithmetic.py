"""Arithmetic of complex numbers, for the pointwise operators add, sub, mul, div, neg, abs and sgn: real
and imaginary parts are computed by kernels of real numbers, through the real views of the tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..memory.copy import copy_
from ..pointwise import Pointwise
from . import arithmetic

PARTS = {torch.complex64: torch.float32, torch.complex128: torch.float64}

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def difference_of_products(a, b, c, d):
    """The real part of a product."""
    return a * b - c * d


@triton.jit
def sum_of_products(a, b, c, d):
    """The imaginary part of a product."""
    return a * b + c * d


@triton.jit
def quotient_real(a, b, c, d):
    """The real part of (a + bi) / (c + di); the divisor is scaled so that its square stays finite."""
    scale = 1.0 / tl.maximum(tl.abs(c), tl.abs(d))
    x = c * scale
    y = d * scale
    return (a * x + b * y) * scale / (x * x + y * y)


@triton.jit
def quotient_imaginary(a, b, c, d):
    """The imaginary part of (a + bi) / (c + di)."""
    scale = 1.0 / tl.maximum(tl.abs(c), tl.abs(d))
    x = c * scale
    y = d * scale
    return (b * x - a * y) * scale / (x * x + y * y)


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
def share(a, size):
    """A part of a complex number divided by its absolute value; zero for zero."""
    return tl.where(size == 0, 0.0, a / tl.where(size == 0, 1.0, size))


REAL_OF_PRODUCT = Pointwise(difference_of_products)
IMAGINARY_OF_PRODUCT = Pointwise(sum_of_products)
REAL_OF_QUOTIENT = Pointwise(quotient_real)
IMAGINARY_OF_QUOTIENT = Pointwise(quotient_imaginary)
LENGTH = Pointwise(length)
SHARE = Pointwise(share)

# ---- forward --------------------------------------------------------------------------------------


class Number(NamedTuple):
    """Real and imaginary part, each a tensor or a number; the imaginary part of a real number is None."""

    real: Any
    imaginary: Any


def _parts(x: Any) -> Number:
    if isinstance(x, complex):
        return Number(x.real, x.imag)
    if not isinstance(x, torch.Tensor) or not x.is_complex():
        return Number(x, None)
    if x.dtype not in PARTS:
        raise NotServed("complex arithmetic", f"dtype {x.dtype} is not served")
    parts = torch.view_as_real(x.resolve_conj())
    return Number(parts[..., 0], parts[..., 1])


def _result(operands: tuple[Any, ...]) -> tuple[torch.Tensor, Number]:
    """A new tensor for the result of two operands, and its parts."""
    tensors = [x for x in operands if isinstance(x, torch.Tensor)]
    dtype = torch.result_type(operands[0], operands[-1])
    if dtype not in PARTS:
        raise NotServed("complex arithmetic", f"dtype {dtype} is not served")
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))
    whole = torch.empty(shape, dtype=dtype, device=tensors[0].device)
    return whole, _parts(whole)


def _delivered(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if not torch.can_cast(result.dtype, out.dtype):
        raise ArgumentError(
            f"result type {result.dtype} can't be cast to the desired output type {out.dtype}"
        )
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def _zero(x: Any) -> Any:
    return 0.0 if x is None else x


def _sum(kind: Pointwise) -> Callable[..., torch.Tensor]:
    """x + alpha y, or x - alpha y, part by part."""

    def total(x: Any, y: Any, alpha: Any = 1, *, out: torch.Tensor | None = None) -> torch.Tensor:
        if isinstance(alpha, complex):
            y, alpha = product(y, alpha), 1
        result, target = _result((x, y))
        a, b = _parts(x), _parts(y)
        kind(a.real, b.real, alpha, out=target.real)
        kind(_zero(a.imaginary), _zero(b.imaginary), alpha, out=target.imaginary)
        return _delivered(result, out)

    return total


def product(x: Any, y: Any, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """x y."""
    result, target = _result((x, y))
    a, b = _parts(x), _parts(y)
    if b.imaginary is None:
        a, b = b, a
    if a.imaginary is None:
        arithmetic.mul(a.real, b.real, out=target.real)
        arithmetic.mul(a.real, b.imaginary, out=target.imaginary)
    else:
        REAL_OF_PRODUCT(a.real, b.real, a.imaginary, b.imaginary, out=target.real)
        IMAGINARY_OF_PRODUCT(a.real, b.imaginary, a.imaginary, b.real, out=target.imaginary)
    return _delivered(result, out)


def quotient(x: Any, y: Any, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """x / y."""
    result, target = _result((x, y))
    a, b = _parts(x), _parts(y)
    if b.imaginary is None:
        arithmetic.div(a.real, b.real, out=target.real)
        arithmetic.div(_zero(a.imaginary), b.real, out=target.imaginary)
    else:
        operands = (a.real, _zero(a.imaginary), b.real, b.imaginary)
        REAL_OF_QUOTIENT(*operands, out=target.real)
        IMAGINARY_OF_QUOTIENT(*operands, out=target.imaginary)
    return _delivered(result, out)


def negative(x: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """-x."""
    result, target = _result((x,))
    a = _parts(x)
    arithmetic.neg(a.real, out=target.real)
    arithmetic.neg(a.imaginary, out=target.imaginary)
    return _delivered(result, out)


def absolute(x: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """The absolute value, a real number."""
    a = _parts(x)
    result = LENGTH(a.real, a.imaginary)
    return result if out is None else _delivered(result, out)


def direction(x: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """x divided by its absolute value; zero for zero."""
    result, target = _result((x,))
    a = _parts(x)
    size = LENGTH(a.real, a.imaginary)
    SHARE(a.real, size, out=target.real)
    SHARE(a.imaginary, size, out=target.imaginary)
    return _delivered(result, out)


for _pointwise, _served in (
    (arithmetic.add, _sum(arithmetic.add)),
    (arithmetic.sub, _sum(arithmetic.sub)),
    (arithmetic.mul, product),
    (arithmetic.QUOTIENTS[None], quotient),
    (arithmetic.neg, negative),
    (arithmetic.absolute, absolute),
    (arithmetic.sgn, direction),
):
    _pointwise.of_complex = _served
