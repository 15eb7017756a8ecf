"""Arithmetic: addition to remainder, with PyTorch's integer and boolean rules."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..axis import check_in_place
from ..errors import ArgumentError, NotServed
from ..iteration import broadcast_shape
from ..pointwise import TILES, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import ALL, FLOATING, INTEGRAL, Operator, Overload, Sample, register
from ..samples import pointwise_samples, tensor

NUMERIC = (*FLOATING, *INTEGRAL)


@pointwise("add.Tensor", dtypes=ALL, factor=2)
@triton.jit
def add(x, y, alpha):
    return x + y * alpha


@pointwise(
    "sub.Tensor",
    "rsub.Tensor(other, self, alpha)",
    dtypes=NUMERIC,
    accepts=NUMERIC,
    refuses=(torch.bool,),
    factor=2,
)
@triton.jit
def sub(x, y, alpha):
    return x - y * alpha


@pointwise("mul.Tensor", dtypes=ALL)
@triton.jit
def mul(x, y):
    return x * y


@pointwise("neg", dtypes=NUMERIC, accepts=NUMERIC)
@triton.jit
def neg(x):
    return -x


@pointwise("abs", dtypes=NUMERIC, accepts=NUMERIC)
@triton.jit
def absolute(x):
    return tl.abs(x)


@pointwise("reciprocal", promotion=Promotion.INT_TO_FLOAT)
@triton.jit
def reciprocal(x):
    return 1.0 / x


@pointwise("sign", dtypes=NUMERIC)
@triton.jit
def sign(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@pointwise("sgn", dtypes=NUMERIC)
@triton.jit
def sgn(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@pointwise("addcmul")
@triton.jit
def addcmul(x, first, second, value):
    return x + value * first * second


@pointwise("addcdiv", low=0.5, high=3.0)
@triton.jit
def addcdiv(x, first, second, value):
    return x + value * (first / second)


@pointwise("lerp.Tensor", "lerp.Scalar", low=-1.0, high=1.0)
@triton.jit
def lerp(start, end, weight):
    return tl.where(tl.abs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))


@triton.jit
def true_quotient(x, y):
    """x / y, correctly rounded."""
    if x.dtype == tl.float32:
        result = tl.div_rn(x, y)
    else:
        result = x / y
    return result


@triton.jit
def floored_remainder(x, y):
    """Remainder with the divisor's sign (Python's)."""
    if x.dtype.is_floating():
        rest = libdevice.fmod(x, y)
        result = tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)
    else:
        divisor = tl.where(y == 0, 1, y)
        rest = x % divisor
        result = tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest).to(x.dtype)
    return result


@triton.jit
def truncated_remainder(x, y):
    """Remainder with the dividend's sign (C's)."""
    if x.dtype.is_floating():
        result = libdevice.fmod(x, y)
    else:
        result = x % tl.where(y == 0, 1, y)
    return result


@triton.jit
def floored_quotient(x, y):
    """Quotient rounded down; for floats by way of the remainder, so that it agrees with it."""
    if x.dtype.is_floating():
        rest = libdevice.fmod(x, y)
        exact = (x - rest) / y
        exact = tl.where((rest != 0) & ((y < 0) != (rest < 0)), exact - 1, exact)
        near = tl.floor(exact)
        near = tl.where(exact - near > 0.5, near + 1, near)
        result = tl.where(y == 0, x / y, tl.where(exact == 0, 0.0 * (x / y), near))
    else:
        divisor = tl.where(y == 0, 1, y)
        quotient = x // divisor
        rest = x - quotient * divisor
        result = tl.where((rest != 0) & ((rest < 0) != (divisor < 0)), quotient - 1, quotient).to(x.dtype)
    return result


@triton.jit
def truncated_quotient(x, y):
    """Quotient rounded toward zero."""
    if x.dtype.is_floating():
        exact = x / y
        result = tl.where(exact < 0, tl.ceil(exact), tl.floor(exact))
    else:
        result = x // tl.where(y == 0, 1, y)
    return result


QUOTIENTS = {
    None: Pointwise(true_quotient, Promotion.INT_TO_FLOAT),
    "floor": Pointwise(floored_quotient),
    "trunc": Pointwise(truncated_quotient),
}


def div(self: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> torch.Tensor:
    """self / other, rounded as `rounding_mode` says ("floor", "trunc", or not at all)."""
    if rounding_mode not in QUOTIENTS:
        raise NotServed("div", f"rounding_mode {rounding_mode!r} is not known")
    return QUOTIENTS[rounding_mode](self, other, out=out)


def _positive(overload: str, parameters: tuple[str, ...] = ("self", "other")) -> Any:
    return pointwise_samples(overload, parameters, 1.0, 5.0)


def _by_mode(dtype: torch.dtype) -> Any:
    for mode in (None, "floor", "trunc"):
        for sample in _positive("div.Tensor")(dtype):
            yield sample._replace(keywords={"rounding_mode": mode})


register(
    Operator(
        name="div",
        overloads=(
            Overload("div.Tensor", div, _positive("div.Tensor")),
            Overload("div.Tensor_mode", div, _by_mode),
            Overload("floor_divide", QUOTIENTS["floor"], _positive("floor_divide")),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
    )
)


remainder = pointwise("remainder.Tensor", "remainder.Scalar_Tensor", dtypes=NUMERIC, low=1.0, high=5.0)(
    floored_remainder
)
fmod = pointwise("fmod.Tensor", dtypes=NUMERIC, low=1.0, high=5.0)(truncated_remainder)


# ---- sums with a limit, outer products -----------------------------------------------------------------


@pointwise("_add_relu.Tensor", "_add_relu.Scalar", dtypes=(torch.float32,))
@triton.jit
def add_relu(x, y, alpha):
    total = x + y * alpha
    return tl.where(total < 0, 0, total)


@triton.jit
def rank_one_update(x, first, second, beta, alpha):
    return beta * x + alpha * first * second


@triton.jit
def rank_one(first, second, alpha):
    return alpha * first * second


@triton.jit
def rank_one_update_of_bits(x, first, second, beta, alpha):
    """In booleans, multiplication is "and" and addition is "or"."""
    return ((beta != 0) & (x != 0)) | ((alpha != 0) & (first != 0) & (second != 0))


@triton.jit
def rank_one_of_bits(first, second, alpha):
    return (alpha != 0) & (first != 0) & (second != 0)


UPDATES = {
    False: Pointwise(rank_one_update),
    True: Pointwise(rank_one_update_of_bits, Promotion.ALWAYS_BOOL),
}
PRODUCTS = {False: Pointwise(rank_one), True: Pointwise(rank_one_of_bits, Promotion.ALWAYS_BOOL)}


def addr(
    self: torch.Tensor,
    vec1: torch.Tensor,
    vec2: torch.Tensor,
    *,
    beta: Any = 1,
    alpha: Any = 1,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """beta self + alpha (vec1 outer vec2), with self broadcast to that shape, and not read for beta 0."""
    for name, vector in (("vec1", vec1), ("vec2", vec2)):
        if vector.ndim != 1:
            raise ArgumentError(f"addr: Expected 1-D argument {name}, but got {vector.ndim}-D")
    dtype = torch.result_type(torch.empty(0, dtype=torch.result_type(vec1, vec2)), self)
    for name, number in (("beta", beta), ("alpha", alpha)):
        if isinstance(number, float) and not dtype.is_floating_point:
            raise ArgumentError(
                f"For integral input tensors, argument {name} must not be a floating point number."
            )
        if isinstance(number, bool) and dtype != torch.bool:
            raise ArgumentError(f"Boolean {name} only supported for Boolean results.")
    shape = (vec1.shape[0], vec2.shape[0])
    if self.ndim > 2 or broadcast_shape(self.shape, shape) != shape:
        raise ArgumentError(f"addr: self of shape {list(self.shape)} does not broadcast to {list(shape)}")
    check_in_place("addr", self, out, shape)
    bits = dtype == torch.bool
    if beta == 0:
        return PRODUCTS[bits](vec1.unsqueeze(1), vec2, alpha, out=out)
    return UPDATES[bits](self.expand(shape), vec1.unsqueeze(1), vec2, beta, alpha, out=out)


def _outer_updates(dtype: torch.dtype) -> Any:
    first, second = tensor((5,), dtype), tensor((7,), dtype, seed=1)
    for shape in ((5, 7), (7,), (5, 1), ()):
        yield Sample((tensor(shape, dtype, seed=2), first, second), {"beta": 2, "alpha": 3})
    yield Sample((tensor((5, 7), dtype), first, second), {"beta": 0})


register(
    Operator(
        name="addr",
        overloads=(Overload("addr", addr, _outer_updates),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=NUMERIC,
        tiles=TILES,
    )
)
