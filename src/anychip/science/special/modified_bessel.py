"""Modified Bessel functions of real order under SciPy's names: I by its power series, whose terms have one
sign, and for large arguments by its asymptotic one; K by Temme's series (Temme, "On the numerical evaluation
of the modified Bessel function of the third kind", 1975), by sums of its integral, which converge
exponentially, and upward recurrence (DLMF 10.25, 10.32, 10.40). Computed in double precision."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from .function import recorded, special

RECIPROCAL_GAMMA = (
    1.0,
    0.57721566490153286061,
    -0.65587807152025388108,
    -0.042002635034095235529,
    0.16653861138229148950,
    -0.042197734555544336748,
    -0.0096219715278769735621,
    0.0072189432466630995424,
    -0.0011651675918590651121,
    -0.00021524167411495097282,
    0.00012805028238811618615,
    -0.000020134854780788238656,
    -0.0000012504934821426706573,
    0.0000011330272319816958824,
    -2.0563384169776071035e-7,
    6.1160951044814158179e-9,
    5.0020076444692229301e-9,
    -1.1812745704870201446e-9,
    1.0434267116911005105e-10,
    7.7822634399050712540e-12,
    -3.6968056186422057082e-12,
    5.1003702874544759790e-13,
    -2.0583260535665067832e-14,
    -5.3481225394230179824e-15,
)
"""Coefficients of the powers of x in 1 / Gamma(1 + x) (DLMF 5.7.1)."""
EVEN = tl.constexpr(RECIPROCAL_GAMMA[22::-2])
ODD = tl.constexpr(RECIPROCAL_GAMMA[23::-2])
POINTS = tl.constexpr(20)
SPAN = tl.constexpr(44.0)
"""What is left of the integral after this many natural logarithms is below the precision."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def polynomial(square, COEFFICIENTS):
    """The highest power first."""
    value = square * 0.0
    for k in tl.static_range(len(COEFFICIENTS)):
        value = value * square + COEFFICIENTS[k]
    return value


@triton.jit
def quotient(x, over):
    """x / over, and 1 where both are nearly 0."""
    near = tl.abs(over) < 1e-9
    return tl.where(near, 1.0, x / tl.where(near, 1.0, over))


@triton.jit
def near_pair(mu, x):
    """K of the orders mu and mu + 1, times exp(x), for |mu| <= 1/2 and 0 < x <= 2. They lose digits
    from 1 on."""
    even = polynomial(mu * mu, EVEN)
    odd = polynomial(mu * mu, ODD)
    log = tl.log(2.0 / x)
    e = mu * log
    grown = tl.exp(e)
    shrunk = 1.0 / grown
    # sinh(e) / e without cancellation
    ee = e * e
    flat = 1.0 + ee / 42.0 * (1.0 + ee / 72.0 * (1.0 + ee / 110.0))
    flat = 1.0 + ee / 6.0 * (1.0 + ee / 20.0 * flat)
    wide = tl.abs(e) > 0.3
    ratio = tl.where(wide, 0.5 * (grown - shrunk) / tl.where(wide, e, 1.0), flat)
    angle = mu * 3.141592653589793
    f = quotient(angle, tl.sin(angle)) * (even * ratio * log - odd * 0.5 * (grown + shrunk))
    p = 0.5 * grown / (even + mu * odd)
    q = 0.5 * shrunk / (even - mu * odd)
    c = x * 0.0 + 1.0
    quarter = 0.25 * x * x
    first = f
    second = p
    for k in range(1, 18):
        f = (k * f + p + q) / (k * k - mu * mu)
        c = c * quarter / k
        p = p / (k - mu)
        q = q / (k + mu)
        first += c * f
        second += c * (p - k * f)
    scale = tl.exp(x)
    return first * scale, second * scale * (2.0 / x)


@triton.jit
def far_pair(mu, x):
    """The same for x >= 1: sums of the integral of exp(-x cosh t) cosh(mu t) over t."""
    root = tl.sqrt(0.5 * SPAN / x)
    end = 2.0 * tl.log(root + tl.sqrt(root * root + 1.0))
    step = end / POINTS
    first = x * 0.0 + 0.5
    second = x * 0.0 + 0.5
    for k in range(1, POINTS + 1):
        t = step * k
        half = tl.exp(0.5 * t)
        sine = 0.5 * (half - 1.0 / half)
        weight = tl.exp(-2.0 * x * sine * sine)
        power = tl.exp(mu * t)
        whole = half * half
        first += weight * 0.5 * (power + 1.0 / power)
        second += weight * 0.5 * (power * whole + 1.0 / (power * whole))
    return first * step, second * step


@triton.jit
def scaled_second(v, x):
    """kve, of doubles."""
    order = tl.abs(v)
    good = (x > 0) & (order < 1e6) & (x < float("inf"))
    safe = tl.where(good, x, 1.0)
    n = tl.floor(tl.where(good, order, 0.0) + 0.5)
    mu = tl.where(good, order, 0.0) - n
    near = safe <= 1.0
    a, b = near_pair(mu, tl.minimum(safe, 1.0))
    c, d = far_pair(mu, tl.maximum(safe, 1.0))
    low = tl.where(near, a, c)
    high = tl.where(near, b, d)
    k = n * 0.0
    while tl.max(n - k) > 0:
        more = k < n
        next_one = low + 2.0 * (mu + k + 1.0) / safe * high
        low = tl.where(more, high, low)
        high = tl.where(more, next_one, high)
        k = tl.where(more, k + 1.0, k)
    value = tl.where(x == 0, float("inf"), tl.where(x == float("inf"), 0.0, low))
    return tl.where((x < 0) | (x != x) | (v != v) | (order >= 1e6), float("nan"), value)


@triton.jit
def scaled_first_of(order, x):
    """I times exp(-x), for order >= 0 and x > 0; NaN for 700 < x < order^2."""
    far = (x > 50.0) & (x >= order * order)
    beyond = (x > 700.0) & (x < order * order)
    n = tl.floor(order + 0.5)
    f = order - n
    safe = tl.minimum(tl.where(far, 1.0, x), 700.0)
    half = 0.5 * safe
    # two exponentials, as the rounding of a sum of both arguments would grow with x
    term = tl.exp(f * tl.log(half)) * tl.exp(-safe)
    term = term * (polynomial(f * f, EVEN) + f * polynomial(f * f, ODD))
    k = n * 0.0
    while tl.max(tl.where(far, 0.0, n) - k) > 0:
        more = k < n
        k = tl.where(more, k + 1.0, k)
        term = tl.where(more, term * half / (f + k), term)
    total = term
    quarter = half * half
    j = term * 0.0
    going = 1.0
    while going > 0:
        j += 1.0
        term = term * quarter / (j * (j + order))
        total += term
        going = tl.max(tl.where((term > total * 1e-17) & (j < 1e4), 1.0, 0.0))
    large = tl.where(far, x, 100.0)
    four = 4.0 * tl.where(far, order * order, 0.0)
    piece = large * 0.0 + 1.0
    series = piece
    for i in range(1, 40):
        odd = 2.0 * i - 1.0
        factor = -(four - odd * odd) / (8.0 * i * large)
        piece = tl.where(tl.abs(factor) < 1.0, piece * factor, 0.0)
        series += piece
    asymptotic = series / tl.sqrt(large * 6.283185307179586)
    return tl.where(beyond, float("nan"), tl.where(far, asymptotic, total))


@triton.jit
def scaled_first(v, x):
    """ive, of doubles."""
    order = tl.abs(v)
    whole = tl.floor(v) == v
    size = tl.abs(x)
    good = (size > 0) & (size < float("inf")) & (order < 1e5)
    safe = tl.where(good, size, 1.0)
    safe_order = tl.where(good, order, 0.0)
    value = scaled_first_of(safe_order, safe)
    # I of -v is I of v and (2 / pi) sin(v pi) K of v
    apart = (v < 0) & (whole == 0)
    rest = safe_order - 2.0 * tl.floor(0.5 * safe_order)
    angle = 3.141592653589793 * tl.where(rest > 1.0, rest - 2.0, rest)
    added = 0.6366197723675814 * tl.sin(angle) * scaled_second(safe_order, safe)
    value = tl.where(apart, value + added * tl.exp(-2.0 * safe), value)
    zero = tl.where(order == 0, 1.0, tl.where(apart, float("nan"), 0.0))
    value = tl.where(size == 0, zero, value)
    value = tl.where(size == float("inf"), 0.0, value)
    is_odd = order - 2.0 * tl.floor(0.5 * order) == 1.0
    value = tl.where((x < 0) & is_odd, -value, value)
    bad = ((x < 0) & (whole == 0)) | (x != x) | (v != v) | (order >= 1e5)
    return tl.where(bad, float("nan"), value)


@triton.jit
def second_kind_scaled(v, x):
    """kve."""
    return scaled_second(v.to(tl.float64), x.to(tl.float64))


@triton.jit
def second_kind(v, x):
    """kv."""
    x = x.to(tl.float64)
    return scaled_second(v.to(tl.float64), x) * tl.exp(-tl.maximum(x, 0.0))


@triton.jit
def first_kind_scaled(v, x):
    """ive."""
    return scaled_first(v.to(tl.float64), x.to(tl.float64))


@triton.jit
def first_kind(v, x):
    """iv."""
    x = x.to(tl.float64)
    half = tl.exp(0.5 * tl.abs(x))
    value = scaled_first(v.to(tl.float64), x) * half * half
    return tl.where(tl.abs(x) == float("inf"), float("inf"), value)


# ---- names ----------------------------------------------------------------------------------------

kv = special(
    "kv",
    second_kind,
    ("v", "x"),
    "The modified Bessel function of the second kind, of real order v, of x > 0.",
    (None, lambda v, x: -kv(v - 1, x) - v / x * kv(v, x)),
)
kve = special(
    "kve",
    second_kind_scaled,
    ("v", "x"),
    "kv times exp(x).",
    (None, lambda v, x: kve(v, x) * (1 - v / x) - kve(v - 1, x)),
)
iv = special(
    "iv",
    first_kind,
    ("v", "x"),
    "The modified Bessel function of the first kind, of real order v; NaN for 700 < x < v^2.",
    (None, lambda v, x: iv(v + 1, x) + v / x * iv(v, x)),
)
ive = special(
    "ive",
    first_kind_scaled,
    ("v", "x"),
    "iv times exp(-|x|).",
    (None, lambda v, x: ive(v + 1, x) + (v / x - x.sign()) * ive(v, x)),
)

# ---- records --------------------------------------------------------------------------------------


def _second(v: float, x: torch.Tensor) -> torch.Tensor:
    t = torch.arange(0, 12, 0.0625, dtype=torch.float64)
    weights = torch.full_like(t, 0.0625)
    weights[0] /= 2
    return (weights * torch.exp(-x[..., None] * torch.cosh(t)) * torch.cosh(v * t)).sum(-1)


def _first(v: float, x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros_like(x)
    for k in range(40):
        total = total + (x / 2) ** (2 * k + v) / (math.factorial(k) * math.gamma(k + v + 1))
    return total


for _function, _reference, _orders, _calm in (
    (kv, _second, (0.3, 2.3), (0.0, 0.125)),
    (kve, lambda v, x: _second(v, x) * x.exp(), (2.5, 4.7), (0.0, 1.0)),
    (iv, _first, (0.3, 2.3), (0.0, 0.5)),
    (ive, lambda v, x: _first(v, x) * (-x).exp(), (2.5, 4.7), ()),
):
    recorded(_function, "modified Bessel functions", _reference, (_orders, (0.5, 6.0)), fixed=1, calm=_calm)
