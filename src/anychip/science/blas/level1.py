"""BLAS 1 under SciPy's names: combinations of two vectors, their products, sizes of one, and plane rotations.
Names without a letter take the type of their arguments, half types too; `typed.py` has s, d, c and z."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
import torch

from ...ops.launching import cdiv, launch, scalar_bits
from ..errors import InvalidValue
from .arguments import arguments, count_of, placed, strided, written
from .layout import dense
from .stored import Product, accumulator, numbers
from .vector_kernels import first_kernel, largest_kernel, plane_kernel, size_kernel

BLOCK, SHARE = 256, 1 << 14
FIRST, SECOND, THIRD, FOURTH = 1, 2, 4, 8
"""Bits of the terms of a combination."""

# ---- forward and backward -------------------------------------------------------------------------


class Plane(torch.autograd.Function):
    """(h0 x + h1 y, h2 x + h3 y), of which `terms` says what is computed."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, y: torch.Tensor, h: tuple[complex, ...], terms: int
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Both combinations, or None for one without a term."""
        ctx.h, ctx.terms = h, terms
        x, y = x.contiguous(), y.contiguous()
        pairs = [[complex(one).real, complex(one).imag] for one in h]
        factors = torch.tensor(pairs, dtype=torch.float64).to(x.device)
        first, second = torch.empty_like(x).resolve_conj(), torch.empty_like(x).resolve_conj()
        launch(
            plane_kernel,
            cdiv(x.numel(), BLOCK),
            *(numbers(one) for one in (first, second, x, y)),
            factors,
            x.numel(),
            TERMS=terms,
            COMPLEX=x.is_complex(),
            ACCUMULATE=accumulator(x),
            BLOCK=BLOCK,
        )
        return first if terms & 3 else None, second if terms & 12 else None

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The conjugated transposed combination of the gradients."""
        h, terms = ctx.h, ctx.terms
        known = next(g for g in grad_outputs if g is not None)
        u, v = (torch.zeros_like(known) if g is None else g for g in grad_outputs)
        turned = (h[0], h[2], h[1], h[3])
        bits = (terms & FIRST) | (terms & THIRD) >> 1 | (terms & SECOND) << 1 | (terms & FOURTH)
        of_x, of_y = Plane.apply(u, v, tuple(complex(one).conjugate() for one in turned), bits)
        return of_x, of_y, None, None


def _largest(x: torch.Tensor, least: bool) -> torch.Tensor:
    """The largest or the least magnitude, float64 [1]."""
    count = cdiv(len(x), SHARE)
    partial = torch.empty(count, dtype=torch.float64, device=x.device)
    launch(
        largest_kernel, count, partial, numbers(x), len(x),
        LEAST=least, COMPLEX=x.is_complex(), SHARE=SHARE, BLOCK=BLOCK,
    )  # fmt: skip
    return (partial.amin if least else partial.amax)(0, keepdim=True)


def _sum(x: torch.Tensor, scale: float, squared: bool) -> float:
    """The sum of the absolute values of all parts, or of their squares."""
    flat = numbers(x).reshape(-1)
    count = cdiv(flat.numel(), SHARE)
    partial = torch.empty(count, dtype=torch.float64, device=x.device)
    launch(
        size_kernel, count, partial, flat, flat.numel(), scalar_bits(scale, True),
        SQUARED=squared, SHARE=SHARE, BLOCK=BLOCK,
    )  # fmt: skip
    return float(partial.sum())


class Norm(torch.autograd.Function):
    """The root of the sum of squares, which neither overflows nor underflows on the way."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """A number of the real type."""
        x = x.contiguous()
        exponent = 0
        if x.dtype in (torch.float64, torch.complex128) and len(x):
            largest = float(_largest(x, False))
            exponent = math.frexp(largest)[1] if 0 < largest < math.inf else 0
            exponent = max(-1000, min(1000, exponent))
        value = math.ldexp(1.0, -exponent)
        root = math.sqrt(_sum(x, value, True)) if len(x) else 0.0
        result = torch.tensor(root, dtype=torch.float64) * 2.0**exponent
        out = result.to(x.real.dtype if x.is_complex() else x.dtype).to(x.device)
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The vector by its norm; zero at zero."""
        x, out = ctx.saved_tensors
        factor = float(torch.where(out == 0, 0.0, grad_outputs[0].double() / out.double()))
        return Plane.apply(x, x, (factor, 0, 0, 0), FIRST)[0]


class Sum(torch.autograd.Function):
    """The sum of the absolute values of all parts."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """A number of the real type."""
        ctx.save_for_backward(x)
        dtype = x.real.dtype if x.is_complex() else x.dtype
        total = _sum(x.contiguous(), 1.0, False) if len(x) else 0.0
        return torch.tensor(total, dtype=torch.float64).to(dtype).to(x.device)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The signs."""
        (x,) = ctx.saved_tensors
        signs = torch.complex(x.real.sign(), x.imag.sign()) if x.is_complex() else x.sign()
        return Plane.apply(signs, signs, (float(grad_outputs[0]), 0, 0, 0), FIRST)[0]


# ---- combinations ---------------------------------------------------------------------------------


def _pair(x: Any, y: Any, n: Any, offx: int, incx: int, offy: int, incy: int) -> tuple[Any, Any]:
    count = count_of(x, n, offx, incx)
    return strided(x, count, offx, incx), strided(y, count, offy, incy, "y")


def axpy(
    x: Any, y: Any, n: Any = None, a: Any = 1.0, offx: int = 0, incx: int = 1, offy: int = 0, incy: int = 1,
    *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """y + a x, for vectors, which an array y of the result's type then holds. Differentiable in x and y. s,
    d, c, z and half types. Raises InvalidValue."""
    (u, v), restore = arguments(dtype, (a,), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    out = Plane.apply(p, q, (0, 0, a, 1), THIRD | FOURTH)[1]
    return written(y, restore(placed(v, out, offy, incy)))


def scal(
    a: Any, x: Any, n: Any = None, offx: int = 0, incx: int = 1, *, dtype: torch.dtype | None = None
) -> Any:
    """a x, which an array x of the result's type then holds. Differentiable in x. s, d, c, z and half types.
    Raises InvalidValue."""
    (u,), restore = arguments(dtype, (a,), x=x)
    p = strided(u, count_of(u, n, offx, incx), offx, incx)
    out = Plane.apply(p, p, (a, 0, 0, 0), FIRST)[0]
    return written(x, restore(placed(u, out, offx, incx)))


def copy(
    x: Any, y: Any, n: Any = None, offx: int = 0, incx: int = 1, offy: int = 0, incy: int = 1,
    *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """y with elements of x, which an array y of the result's type then holds. Differentiable. s, d, c, z and
    half types. Raises InvalidValue."""
    (u, v), restore = arguments(dtype, (), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    return written(y, restore(placed(v, Plane.apply(p, q, (0, 0, 1, 0), THIRD)[1], offy, incy)))


def swap(
    x: Any, y: Any, n: Any = None, offx: int = 0, incx: int = 1, offy: int = 0, incy: int = 1,
    *, dtype: torch.dtype | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """(x, y) with exchanged elements, which arrays of the result's type then hold. Differentiable. s, d, c, z
    and half types. Raises InvalidValue."""
    (u, v), restore = arguments(dtype, (), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    first, second = Plane.apply(p, q, (0, 1, 1, 0), SECOND | THIRD)
    first, second = restore(placed(u, first, offx, incx)), restore(placed(v, second, offy, incy))
    return written(x, first), written(y, second)


def rot(
    x: Any, y: Any, c: float, s: Any, n: Any = None, offx: int = 0, incx: int = 1, offy: int = 0,
    incy: int = 1, overwrite_x: int = 0, overwrite_y: int = 0, *, dtype: torch.dtype | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """(c x + s y, c y - conj(s) x). Differentiable in x and y. s, d, c, z and half types. Raises
    InvalidValue."""
    (u, v), restore = arguments(dtype, (c, s), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    first, second = Plane.apply(p, q, (c, s, -complex(s).conjugate(), c), 15)
    return restore(placed(u, first, offx, incx)), restore(placed(v, second, offy, incy))


MODIFIED = {-2.0: (), -1.0: (1, 2, 3, 4), 0.0: (2, 3), 1.0: (1, 4)}
"""Which of h11, h21, h12, h22 the parameters [5] of a modified rotation hold, by the first of them."""


def rotm(
    x: Any, y: Any, param: Any, n: Any = None, offx: int = 0, incx: int = 1, offy: int = 0, incy: int = 1,
    overwrite_x: int = 0, overwrite_y: int = 0, *, dtype: torch.dtype | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """(x, y) after the modified rotation that `rotmg` gives as param [5]. Differentiable in x and y. s, d and
    half types. Raises InvalidValue."""
    (u, v), restore = arguments(dtype, (), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    numbers_ = [float(one) for one in np.asarray(param, dtype=np.float64).reshape(-1)]
    if len(numbers_) != 5 or numbers_[0] not in MODIFIED:
        raise InvalidValue(f"param must be five numbers, the first of them -2, -1, 0 or 1, not {numbers_}")
    implied = [1.0, -1.0, 1.0, 1.0] if numbers_[0] == 1.0 else [1.0, 0.0, 0.0, 1.0]
    h11, h21, h12, h22 = (numbers_[k] if k in MODIFIED[numbers_[0]] else implied[k - 1] for k in range(1, 5))
    bits = 15 if numbers_[0] in (-1.0, 0.0, 1.0) else FIRST | FOURTH
    first, second = Plane.apply(p, q, (h11, h12, h21, h22), bits)
    return restore(placed(u, first, offx, incx)), restore(placed(v, second, offy, incy))


# ---- products and sizes ---------------------------------------------------------------------------


def dotu(
    x: Any, y: Any, n: Any = None, offx: int = 0, incx: int = 1, offy: int = 0, incy: int = 1,
    *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """The sum of x y. Differentiable. s, d, c, z and half types. Raises InvalidValue."""
    (u, v), restore = arguments(dtype, (), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    row = p[None]
    return _number(restore(Product.apply(row, q, dense(row), "N")[0]))


def dotc(
    x: Any, y: Any, n: Any = None, offx: int = 0, incx: int = 1, offy: int = 0, incy: int = 1,
    *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """The sum of conj(x) y. Differentiable. s, d, c, z and half types. Raises InvalidValue."""
    (u, v), restore = arguments(dtype, (), x=x, y=y)
    p, q = _pair(u, v, n, offx, incx, offy, incy)
    column = p[:, None]
    return _number(restore(Product.apply(column, q, dense(column), "C")[0]))


dot = dotu


def _number(result: Any) -> Any:
    """A number of Python's, as SciPy's wrappers return it, or a tensor."""
    return result if isinstance(result, torch.Tensor) else result.item()


def nrm2(x: Any, n: Any = None, offx: int = 0, incx: int = 1, *, dtype: torch.dtype | None = None) -> Any:
    """The Euclidean norm of x [n], also where squares overflow or underflow. Differentiable. s, d, c, z and
    half types. Raises InvalidValue."""
    (u,), restore = arguments(dtype, (), x=x)
    return _number(restore(Norm.apply(strided(u, count_of(u, n, offx, incx), offx, incx))))


def asum(x: Any, n: Any = None, offx: int = 0, incx: int = 1, *, dtype: torch.dtype | None = None) -> Any:
    """The sum of the absolute values of x [n], of real and imaginary parts by themselves. Differentiable. s,
    d, c, z and half types. Raises InvalidValue."""
    (u,), restore = arguments(dtype, (), x=x)
    return _number(restore(Sum.apply(strided(u, count_of(u, n, offx, incx), offx, incx))))


def _place(x: Any, n: Any, offx: int, incx: int, dtype: torch.dtype | None, least: bool) -> int:
    (u,), _ = arguments(dtype, (), x=x)
    found = strided(u, count_of(u, n, offx, incx), offx, incx).detach().contiguous()
    if not len(found):
        raise InvalidValue("x has no elements, of which none is the largest")
    wanted = _largest(found, least)
    partial = torch.empty(cdiv(len(found), SHARE), dtype=torch.int64, device=found.device)
    launch(
        first_kernel, len(partial), partial, numbers(found), wanted, len(found),
        COMPLEX=found.is_complex(), SHARE=SHARE, BLOCK=BLOCK,
    )  # fmt: skip
    return int(partial.min())


def iamax(x: Any, n: Any = None, offx: int = 0, incx: int = 1, *, dtype: torch.dtype | None = None) -> int:
    """The first place, from 0, of the largest |x|, of complex numbers of the sum of both parts' values; a NaN
    is infinite. s, d, c, z and half types. Raises InvalidValue."""
    return _place(x, n, offx, incx, dtype, False)


def iamin(x: Any, n: Any = None, offx: int = 0, incx: int = 1, *, dtype: torch.dtype | None = None) -> int:
    """The first place, from 0, of the least |x|, otherwise as `iamax`."""
    return _place(x, n, offx, incx, dtype, True)


# ---- rotations of two numbers ---------------------------------------------------------------------


def rotg(a: Any, b: Any) -> tuple[Any, Any]:
    """(c, s) of the rotation that turns (a, b) to (r, 0): c a + s b = r, c b = conj(s) a, c real. Numbers of
    Python's. Safe against overflow (Anderson, "Algorithm 978", 2017)."""
    if isinstance(a, complex) or isinstance(b, complex):
        a, b = complex(a), complex(b)
        if b == 0:
            return 1.0, 0j
        if a == 0:
            return 0.0, b.conjugate() / abs(b)
        size = math.hypot(abs(a), abs(b))
        return abs(a) / size, (a / abs(a)) * (b.conjugate() / size)
    if b == 0:
        return 1.0, 0.0
    size = math.copysign(math.hypot(a, b), a if abs(a) > abs(b) else b)
    if not cmath.isfinite(size) or abs(size) < 1e-300:
        power = -math.frexp(max(abs(a), abs(b)))[1]
        return rotg(math.ldexp(a, power), math.ldexp(b, power))
    return a / size, b / size


GAMMA = 4096.0


def rotmg(d1: float, d2: float, x1: float, y1: float) -> np.ndarray:
    """param [5] of the modified rotation that makes the second of (x1 sqrt(d1), y1 sqrt(d2)) zero (Lawson,
    Hanson, Kincaid and Krogh, "Basic linear algebra subprograms", 1979), scaled into range."""
    impossible = np.array([-1.0, 0, 0, 0, 0])
    if d1 < 0:
        return impossible
    p2 = d2 * y1
    if p2 == 0:
        return np.array([-2.0, 0, 0, 0, 0])
    p1 = d1 * x1
    q1, q2 = p1 * x1, p2 * y1
    if abs(q1) > abs(q2):
        flag, h = 0.0, np.array([[1.0, p2 / p1], [-y1 / x1, 1.0]])
        u = 1 - h[0, 1] * h[1, 0]
        if u <= 0:
            return impossible
        d1, d2 = d1 / u, d2 / u
    elif q2 < 0:
        return impossible
    else:
        flag, h = 1.0, np.array([[p1 / p2, 1.0], [-1.0, x1 / y1]])
        u = 1 + h[0, 0] * h[1, 1]
        d1, d2 = d2 / u, d1 / u
    for row, d in ((0, d1), (1, d2)):
        while d != 0 and not GAMMA**-2 < abs(d) < GAMMA**2:
            flag = -1.0
            small = abs(d) <= GAMMA**-2
            d *= GAMMA**2 if small else GAMMA**-2
            h[row] *= 1 / GAMMA if small else GAMMA
    kept = MODIFIED[flag]
    values = (flag, h[0, 0], h[1, 0], h[0, 1], h[1, 1])
    return np.array([one if k == 0 or k in kept else 0.0 for k, one in enumerate(values)])
