"""Exponentials, logarithms, powers, roots, trigonometric and hyperbolic functions of complex numbers, for the
pointwise operators of the same names. Inverse functions after Kahan, "Branch cuts for complex elementary
functions", 1987: their cuts and the signs of zeros are those of C's <complex.h>, as PyTorch's are."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..activation import sigmoid
from ..complex_pointwise import ComplexPointwise
from . import exponential, special, trigonometric
from .complex_arithmetic import inverse, length, product, quotient

# ---- kernels: exponentials and logarithms ------------------------------------------------------------


@triton.jit
def finite(x):
    return tl.abs(x) < float("inf")


@triton.jit
def grown(a, x):
    """exp(a) x for a of at least 64, in two steps: the exponential alone may overflow before the product."""
    half = tl.exp(0.5 * a)
    return half * x * half


@triton.jit
def exponential_(a, b):
    size = tl.exp(a)
    large = (a > 64.0) & finite(a)
    real = tl.where(large, grown(a, tl.cos(b)), size * tl.cos(b))
    imaginary = tl.where(large, grown(a, tl.sin(b)), size * tl.sin(b))
    endless = ~finite(b)
    real = tl.where(endless & (a == float("-inf")), 0.0, tl.where(endless & (a == float("inf")), a, real))
    nothing = tl.where(b == b, libdevice.copysign(tl.zeros_like(b), b), 0.0)
    imaginary = tl.where(endless & (a == float("-inf")), nothing, imaginary)
    return real, tl.where(b == 0, b, imaginary)


@triton.jit
def exponential_of_two(a, b):
    return exponential_(a * 0.6931471805599453, b * 0.6931471805599453)


@triton.jit
def exponential_less_one(a, b):
    """As NumPy and PyTorch have it at infinity, too; C has no such function."""
    half = tl.sin(b * 0.5)
    return libdevice.expm1(a) * tl.cos(b) - 2.0 * half * half, tl.exp(a) * tl.sin(b)


@triton.jit
def log_length(a, b):
    """The logarithm of the absolute value; near one by the distance of its square from one."""
    large = tl.maximum(tl.abs(a), tl.abs(b))
    small = tl.minimum(tl.abs(a), tl.abs(b))
    ratio = small / tl.where(large == 0, 1.0, large)
    far = tl.log(large) + 0.5 * libdevice.log1p(ratio * ratio)
    near = 0.5 * libdevice.log1p((large - 1.0) * (large + 1.0) + small * small)
    result = tl.where((large > 0.5) & (large < 1.5), near, far)
    result = tl.where((a != a) | (b != b), a + b, result)
    return tl.where(large == float("inf"), float("inf"), result)


@triton.jit
def logarithm(a, b):
    return log_length(a, b), libdevice.atan2(b, a)


@triton.jit
def logarithm_to_two(a, b):
    real, imaginary = logarithm(a, b)
    return real * 1.4426950408889634, imaginary * 1.4426950408889634


@triton.jit
def logarithm_to_ten(a, b):
    real, imaginary = logarithm(a, b)
    return real * 0.4342944819032518, imaginary * 0.4342944819032518


@triton.jit
def logarithm_of_one_plus(a, b):
    small = (tl.abs(a) < 0.5) & (tl.abs(b) < 0.5)
    near = 0.5 * libdevice.log1p(tl.where(small, a * (a + 2.0) + b * b, 0.0))
    return tl.where(small, near, log_length(1.0 + a, b)), libdevice.atan2(b, 1.0 + a)


@triton.jit
def log_of_sum(a, b, c, d):
    """log(exp(x) + exp(y)), from the one with the larger real part."""
    first = a >= c
    real = tl.where(first, c - a, a - c)
    x, y = exponential_(real, tl.where(first, d - b, b - d))
    real, imaginary = logarithm_of_one_plus(x, y)
    return tl.where(first, a, c) + real, tl.where(first, b, d) + imaginary


@triton.jit
def power(a, b, c, d):
    """exp(y log x); a power of zero is one, zero, or no number, by the real part of y."""
    real, imaginary = logarithm(a, b)
    real, imaginary = product(real, imaginary, c, d)
    real, imaginary = exponential_(real, imaginary)
    zero = (a == 0) & (b == 0)
    limit = tl.where((c == 0) & (d == 0), 1.0, tl.where(c > 0, 0.0, float("nan")))
    other = tl.where(c >= 0, 0.0, float("nan"))
    return tl.where(zero, limit, real), tl.where(zero, other, imaginary)


# ---- kernels: roots ----------------------------------------------------------------------------------


@triton.jit
def square_root(a, b):
    size = tl.sqrt(0.5 * tl.abs(a) + 0.5 * length(a, b))
    other = tl.abs(b) / tl.where(size == 0, 1.0, 2.0 * size)
    real = tl.where(a >= 0, size, other)
    imaginary = libdevice.copysign(tl.where(a >= 0, other, size), b)
    infinite = tl.abs(b) == float("inf")
    return tl.where(infinite, float("inf"), real), tl.where(infinite, b, imaginary)


@triton.jit
def inverse_square_root(a, b):
    real, imaginary = square_root(a, b)
    return inverse(real, imaginary)


# ---- kernels: trigonometric and hyperbolic functions ---------------------------------------------------


@triton.jit
def hyperbolic_sine(a, b):
    large = (tl.abs(a) > 64.0) & finite(a)
    size = tl.abs(a)
    cosine_of_b = tl.cos(b)
    signed = 0.5 * libdevice.copysign(cosine_of_b, cosine_of_b * a)
    real = tl.where(large, grown(size, signed), libdevice.sinh(a) * cosine_of_b)
    imaginary = tl.where(large, grown(size, 0.5 * tl.sin(b)), libdevice.cosh(a) * tl.sin(b))
    real = tl.where(~finite(b) & (size == float("inf")), size, real)
    real = tl.where(~finite(b) & (a == 0), a, real)
    return real, tl.where(b == 0, b, imaginary)


@triton.jit
def hyperbolic_cosine(a, b):
    large = (tl.abs(a) > 64.0) & finite(a)
    size = tl.abs(a)
    real = tl.where(large, grown(size, 0.5 * tl.cos(b)), libdevice.cosh(a) * tl.cos(b))
    sine_of_b = tl.sin(b)
    imaginary = tl.where(
        large, grown(size, 0.5 * libdevice.copysign(sine_of_b, sine_of_b * a)), libdevice.sinh(a) * sine_of_b
    )
    endless = ~finite(b) & (size == float("inf"))
    imaginary = tl.where((b == 0) & ~(size <= 64.0), tl.where(a < 0, -b, b), imaginary)
    return tl.where(endless, size, real), tl.where((a == 0) & ~finite(b), 0.0, imaginary)


@triton.jit
def sine(a, b):
    real, imaginary = hyperbolic_sine(-b, a)
    return imaginary, tl.where(~finite(a) & (tl.abs(b) == float("inf")), tl.abs(b), -real)


@triton.jit
def cosine(a, b):
    return hyperbolic_cosine(-b, a)


@triton.jit
def hyperbolic_tangent(a, b):
    """By the tangent of b; far from zero it is one and a last term of exp(-2 |a|)."""
    far = tl.abs(a) > 20.0
    t = libdevice.tan(b)
    beta = 1.0 + t * t
    s = libdevice.sinh(tl.where(far, 1.0, a))
    divisor = 1.0 + beta * s * s
    limit = libdevice.copysign(tl.where(finite(b) | (tl.abs(a) == float("inf")), 1.0, b - b), a)
    rest = 4.0 * tl.sin(b) * tl.cos(b) * tl.exp(-2.0 * tl.abs(a))
    rest = tl.where((tl.abs(a) == float("inf")) & ~finite(b), libdevice.copysign(tl.zeros_like(b), b), rest)
    real = tl.where(far, limit, beta * tl.sqrt(1.0 + s * s) * s / divisor)
    imaginary = tl.where(far, rest, t / divisor)
    return tl.where((a == 0) & ~finite(b), a, real), tl.where(b == 0, b, imaginary)


@triton.jit
def tangent(a, b):
    real, imaginary = hyperbolic_tangent(-b, a)
    return imaginary, -real


FAR = tl.constexpr(1e8)
"""An absolute value whose inverse square is nothing beside one."""
LOG_OF_TWO = tl.constexpr(0.6931471805599453)
RIGHT_ANGLE = tl.constexpr(1.5707963267948966)


@triton.jit
def is_far(a, b):
    """Whether a part is so large that inverse functions are logarithms or inverses of the number."""
    return (tl.abs(a) > FAR) | (tl.abs(b) > FAR)


@triton.jit
def area_sine(a, b):
    x, y = square_root(1.0 + b, -a)
    u, v = square_root(1.0 - b, a)
    real = libdevice.asinh(y * u - x * v)
    imaginary = libdevice.atan2(b, x * u - y * v)
    far = is_far(a, b)
    real = tl.where(far, libdevice.copysign(log_length(a, b) + LOG_OF_TWO, a), -real)
    imaginary = tl.where(far, libdevice.atan2(b, tl.abs(a)), imaginary)
    return real, tl.where((b == 0) & (a != a), b, imaginary)


@triton.jit
def arc_sine(a, b):
    real, imaginary = area_sine(-b, a)
    return imaginary, -real


@triton.jit
def arc_cosine(a, b):
    x, y = square_root(1.0 - a, -b)
    u, v = square_root(1.0 + a, b)
    far = is_far(a, b)
    real = tl.where(far, libdevice.atan2(tl.abs(b), a), 2.0 * libdevice.atan2(x, u))
    imaginary = libdevice.asinh(u * y - v * x)
    imaginary = tl.where(far, -libdevice.copysign(log_length(a, b) + LOG_OF_TWO, b), imaginary)
    return tl.where((a == 0) & (b != b), RIGHT_ANGLE, real), imaginary


@triton.jit
def area_cosine(a, b):
    x, y = square_root(a - 1.0, b)
    u, v = square_root(a + 1.0, b)
    far = is_far(a, b)
    real = tl.where(far, log_length(a, b) + LOG_OF_TWO, libdevice.asinh(x * u + y * v))
    imaginary = tl.where(far, libdevice.atan2(b, a), 2.0 * libdevice.atan2(y, u))
    return real, tl.where((a == 0) & (b != b), RIGHT_ANGLE, imaginary)


@triton.jit
def area_tangent(a, b):
    distance = 1.0 - tl.abs(a)
    real = libdevice.copysign(0.25 * libdevice.log1p(4.0 * tl.abs(a) / (distance * distance + b * b)), a)
    imaginary = 0.5 * libdevice.atan2(2.0 * b, (1.0 - a) * (1.0 + a) - b * b)
    far = is_far(a, b) & ((a == a) | (tl.abs(b) == float("inf")))
    slope, _ = inverse(tl.where(far, a, 1.0), tl.where(far, b, 0.0))
    endless = (tl.abs(a) == float("inf")) | (tl.abs(b) == float("inf"))
    real = tl.where(
        far, tl.where(endless, libdevice.copysign(tl.zeros_like(a), a), libdevice.copysign(slope, a)), real
    )
    imaginary = tl.where(
        far, tl.where(b != b, b, libdevice.copysign(tl.zeros_like(b) + RIGHT_ANGLE, b)), imaginary
    )
    real = tl.where(far & (b != b) & ~endless, b, real)
    return tl.where((a == 0) & (b != b), a, real), imaginary


@triton.jit
def arc_tangent(a, b):
    real, imaginary = area_tangent(-b, a)
    return imaginary, -real


@triton.jit
def cardinal_sine(a, b):
    """sin(pi x) / (pi x), one at zero."""
    x = a * 3.141592653589793
    y = b * 3.141592653589793
    zero = (a == 0) & (b == 0)
    real, imaginary = sine(x, y)
    real, imaginary = quotient(real, imaginary, tl.where(zero, 1.0, x), y)
    return tl.where(zero, 1.0, real), tl.where(zero, 0.0, imaginary)


# ---- kernels: activations ------------------------------------------------------------------------------


@triton.jit
def logistic(a, b):
    real, imaginary = exponential_(-a, -b)
    return inverse(1.0 + real, imaginary)


@triton.jit
def weighted_logistic(a, b):
    real, imaginary = logistic(a, b)
    return product(a, b, real, imaginary)


@triton.jit
def logistic_slope(a, b, c, d):
    """The gradient times the conjugate of (1 - y) y."""
    real, imaginary = product(1.0 - c, -d, c, d)
    return product(a, b, real, -imaginary)


@triton.jit
def weighted_logistic_slope(a, b, c, d):
    """The gradient times the conjugate of s (1 + x (1 - s)), with s = 1 / (1 + exp(-x))."""
    x, y = logistic(c, d)
    real, imaginary = product(c, d, 1.0 - x, -y)
    real, imaginary = product(x, y, 1.0 + real, imaginary)
    return product(a, b, real, -imaginary)


@triton.jit
def hyperbolic_tangent_slope(a, b, c, d):
    """The gradient times the conjugate of 1 - y y."""
    real, imaginary = product(c, d, c, d)
    return product(a, b, 1.0 - real, imaginary)


# ---- forward --------------------------------------------------------------------------------------

PRODUCT, INVERSE = ComplexPointwise(product), ComplexPointwise(inverse)
ROOT, INVERSE_ROOT = ComplexPointwise(square_root), ComplexPointwise(inverse_square_root)
POWER = ComplexPointwise(power)


def pow(x: Any, y: Any, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """x to the power of y; the common powers by multiplication and square root."""
    if not isinstance(y, torch.Tensor) and x.is_complex():
        if y == 2:
            return PRODUCT(x, x, out=out)
        if y == 3:
            return PRODUCT(PRODUCT(x, x), x, out=out)
        single = {0.5: ROOT, -0.5: INVERSE_ROOT, -1: INVERSE}.get(y)
        if single is not None:
            return single(x, out=out)
    return POWER(x, y, out=out)


for _pointwise, _function in (
    (exponential.exp, exponential_),
    (exponential.exp2, exponential_of_two),
    (exponential.expm1, exponential_less_one),
    (exponential.log, logarithm),
    (exponential.log2, logarithm_to_two),
    (exponential.log10, logarithm_to_ten),
    (exponential.log1p, logarithm_of_one_plus),
    (exponential.logaddexp, log_of_sum),
    (trigonometric.sin, sine),
    (trigonometric.cos, cosine),
    (trigonometric.tan, tangent),
    (trigonometric.asin, arc_sine),
    (trigonometric.acos, arc_cosine),
    (trigonometric.atan, arc_tangent),
    (trigonometric.sinh, hyperbolic_sine),
    (trigonometric.cosh, hyperbolic_cosine),
    (trigonometric.tanh, hyperbolic_tangent),
    (trigonometric.asinh, area_sine),
    (trigonometric.acosh, area_cosine),
    (trigonometric.atanh, area_tangent),
    (trigonometric.tanh_backward, hyperbolic_tangent_slope),
    (special.sinc, cardinal_sine),
    (sigmoid.sigmoid, logistic),
    (sigmoid.sigmoid_backward, logistic_slope),
    (sigmoid.silu, weighted_logistic),
    (sigmoid.silu_backward, weighted_logistic_slope),
):
    _pointwise.of_complex = ComplexPointwise(_function)
exponential.sqrt.of_complex = ROOT
exponential.rsqrt.of_complex = INVERSE_ROOT
exponential.POWER.of_complex = pow
