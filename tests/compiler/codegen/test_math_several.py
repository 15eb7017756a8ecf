"""Functions of several variables, and of the representation, against Python's integers and
fractions, NumPy and mpmath. Bounds in ulp are in the tests' names."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
import scipy.special as sp
from tests.compiler.codegen.jit import SINGLE, TARGETS
from tests.compiler.codegen.ulp import NUMPY, errors, exact_error, exactly, function, samples, special, worst

targets = pytest.mark.parametrize("target", TARGETS)
elements = pytest.mark.parametrize("element", ["float", "double"])
machines = pytest.mark.parametrize(
    ("element", "target"),
    [(element, target) for element in ("float", "double") for target in TARGETS]
    + [("float", target) for target in SINGLE],
)
"""f64 where there is one, f32 where there is none too."""
hosts = pytest.mark.parametrize(
    ("element", "target"), [("float", "host"), ("double", "host"), ("float", "host without f64")]
)
Arrays = list[np.ndarray]


def grid(element: str, arity: int, count: int, ranges=((-4, 4), (-1e4, 1e4))) -> Arrays:
    """Random arguments, and every combination of two special values in the first two places."""
    rng = np.random.default_rng(23)
    columns = [rng.permutation(samples(element, ranges, count)) for _ in range(arity)]
    corner = special(element)
    firsts = [np.repeat(corner, corner.size), np.tile(corner, corner.size)]
    return [
        np.concatenate([c, firsts[i] if i < 2 else rng.choice(corner, corner.size**2)])
        for i, c in enumerate(columns)
    ]


def check(name: str, element: str, target: str, arrays: Arrays, double, exact, bound: float) -> None:
    got = function(name, element, target, [element] * len(arrays))(*arrays)
    if element == "float":
        with np.errstate(all="ignore"):
            found = errors(got, double(*(a.astype(np.float64) for a in arrays)))
    else:
        with mp.workprec(200):
            want = [exactly(exact, double, *v) for v in zip(*arrays)]
            found = np.array([exact_error(float(g), w) for g, w in zip(got, want)])
    error, at = worst(found, *arrays)
    assert error <= bound, f"{name}{at}: {error} ulp"


def count(element: str) -> int:
    return 40_000 if element == "float" else 1_200


def power(x, y):
    """As arrays: for a scalar exponent NumPy takes shortcuts such as sqrt(-infinity)."""
    return np.power(np.append(x, 1.0), np.append(y, 3.0))[:-1].reshape(np.shape(x))


def exact_power(x, y):
    if x == 0 or (x < 0 and y != int(y)):
        raise ValueError
    if abs(y * mp.log(abs(x))) > 5000:
        raise OverflowError
    return mp.power(x, y)


@machines
def test_pow_within_1_3_ulp(element: str, target: str):
    rng = np.random.default_rng(29)
    x, y = grid(element, 2, count(element), ((0, 4), (-3, 3)))
    wide = rng.uniform(0.5, 2, x.size).astype(x.dtype), rng.uniform(-1000, 1000, x.size).astype(x.dtype)
    arrays = [np.concatenate([x, wide[0]]), np.concatenate([y, wide[1]])]
    check("pow", element, target, arrays, power, exact_power, 1.3)


@machines
def test_pow_has_the_signs_and_exceptions_of_c(element: str, target: str):
    x, y = grid(element, 2, 400)
    got = function("pow", element, target, [element] * 2)(x, y)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64))
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))


@targets
@elements
def test_atan2_within_1_1_ulp(element: str, target: str):
    y, x = grid(element, 2, count(element))

    def exact(b, a):
        if a == 0 or b == 0:
            raise ValueError
        return mp.atan2(b, a)

    check("atan2", element, target, [y, x], np.arctan2, exact, 1.1)
    got, want = function("atan2", element, target, [element] * 2)(y, x), np.arctan2(y, x)
    assert np.array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))


def norm(*parts):
    """Infinite as soon as a part is, as C's hypot."""
    infinite = np.any(np.isinf(parts), axis=0)
    return np.where(infinite, np.inf, np.sqrt(sum(np.square(p) for p in parts)))


@machines
@pytest.mark.parametrize("name", ["hypot", "rhypot", "norm3d", "rnorm3d", "norm4d", "rnorm4d"])
def test_norms_within_1_ulp(name: str, element: str, target: str):
    arity = {"t": 2, "3": 3, "4": 4}[name.removesuffix("d")[-1]]
    inverse = name.startswith("r")

    def double(*parts):
        return 1 / norm(*parts) if inverse else norm(*parts)

    def exact(*parts):
        value = mp.sqrt(sum(p * p for p in parts))
        return 1 / value if inverse else value

    check(name, element, target, grid(element, arity, count(element)), double, exact, 1.01)


@machines
def test_fmod_and_remainder_are_exact(element: str, target: str):
    x, y = grid(element, 2, 6_000)
    types = [element] * 2
    with np.errstate(all="ignore"):
        want = np.fmod(x, y)
    got = function("fmod", element, target, types)(x, y)
    assert np.array_equal(got, want, equal_nan=True)
    assert np.array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))

    def remainder(a: float, b: float) -> float:
        return math.nan if math.isinf(a) or b == 0 or a != a or b != b else math.remainder(a, b)

    want = np.array([remainder(float(a), float(b)) for a, b in zip(x, y)], NUMPY[element])
    got = function("remainder", element, target, types)(x, y)
    assert np.array_equal(got, want, equal_nan=True)


def nearest(value: Fraction, element: str) -> float:
    """The f32 or f64 nearest to an exact value, ties to even."""
    try:
        double = value.numerator / value.denominator
    except OverflowError:
        return math.copysign(math.inf, value)
    if element == "double":
        return double
    with np.errstate(all="ignore"):
        near = np.float32(double)
        candidates = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    if np.isinf(near):
        return float(near)
    finite = [c for c in candidates if np.isfinite(c)]
    return float(min(finite, key=lambda c: (abs(Fraction(float(c)) - value), int(c.view(np.uint32)) & 1)))


@targets
@elements
def test_fma_rounds_once(element: str, target: str):
    rng = np.random.default_rng(31)
    a, b = (rng.standard_normal(4_000).astype(NUMPY[element]) for _ in range(2))
    c = np.where(
        rng.random(4_000) < 0.5, -(a * b), rng.standard_normal(4_000) * 2.0 ** rng.integers(-60, 60, 4_000)
    )
    c = c.astype(NUMPY[element])
    want = [
        nearest(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), element)
        for x, y, z in zip(a, b, c)
    ]
    got = function("fma", element, target, [element] * 3)(a, b, c)
    assert got.tolist() == want


DIRECTED = {
    "add": (2, lambda a, b: a + b),
    "sub": (2, lambda a, b: a - b),
    "mul": (2, lambda a, b: a * b),
    "div": (2, lambda a, b: a / b),
    "rcp": (1, lambda a: 1 / a),
    "fma": (3, lambda a, b, c: a * b + c),
}


def is_directed(got: float, exact: Fraction, mode: str, element: str) -> bool:
    """Whether `got` is the largest number not above (rd), the smallest not below (ru), or the
    largest in magnitude not beyond (rz) the exact value; nearest for rn."""
    if mode == "rn":
        return got == nearest(exact, element)
    down = mode == "rd" or (mode == "rz" and exact >= 0)
    value = Fraction(got)
    if (value > exact) if down else (value < exact):
        return False
    direction = NUMPY[element](np.inf if down else -np.inf)
    beyond = Fraction(float(np.nextafter(NUMPY[element](got), direction)))
    return beyond > exact if down else beyond < exact


@machines
@pytest.mark.parametrize("mode", ["rn", "rz", "rd", "ru"])
@pytest.mark.parametrize("operation", DIRECTED)
def test_directed_rounding(operation: str, mode: str, element: str, target: str):
    arity, exact = DIRECTED[operation]
    rng = np.random.default_rng(37)
    size = 600
    arrays = [
        (rng.standard_normal(size) * 2.0 ** rng.integers(-40, 40, size)).astype(NUMPY[element])
        for _ in range(arity)
    ]
    got = function(f"{operation}_{mode}", element, target, [element] * arity)(*arrays)
    for value, *args in zip(got.tolist(), *(a.tolist() for a in arrays)):
        wanted = exact(*(Fraction(v) for v in args))
        assert is_directed(value, wanted, mode, element), (args, value)


@targets
@pytest.mark.parametrize("mode", ["rn", "rz", "rd", "ru"])
def test_directed_conversions(mode: str, target: str):
    rng = np.random.default_rng(41)
    wide = rng.integers(-(2**63), 2**63 - 1, 500, dtype=np.int64) >> rng.integers(0, 60, 500)
    for element, kind in (("float", "float"), ("double", "double")):
        got = function(f"ll2{kind}_{mode}", element, target, ["i64"], element)(wide)
        assert all(is_directed(float(g), Fraction(int(v)), mode, element) for g, v in zip(got, wide))
        got = function(f"ull2{kind}_{mode}", element, target, ["i64"], element)(wide)
        unsigned = wide.view(np.uint64)
        assert all(is_directed(float(g), Fraction(int(v)), mode, element) for g, v in zip(got, unsigned))
    narrow = (wide >> 32).astype(np.int32)
    for machine in (target, f"{target} without f64"):
        got = function(f"int2float_{mode}", "float", machine, ["i32"], "float")(narrow)
        assert all(is_directed(float(g), Fraction(int(v)), mode, "float") for g, v in zip(got, narrow))
        got = function(f"uint2float_{mode}", "float", machine, ["i32"], "float")(narrow)
        unsigned = narrow.view(np.uint32)
        assert all(is_directed(float(g), Fraction(int(v)), mode, "float") for g, v in zip(got, unsigned))
    values = rng.standard_normal(500) * 2.0 ** rng.integers(-30, 30, 500)
    got = function(f"double2float_{mode}", "double", target, ["double"], "float")(values)
    assert all(is_directed(float(g), Fraction(float(v)), mode, "float") for g, v in zip(got, values))
    rounder = {"rn": round, "rz": math.trunc, "rd": math.floor, "ru": math.ceil}[mode]
    got = function(f"float2int_{mode}", "float", target, ["float"], "i32")(values.astype(np.float32))
    assert got.tolist() == [rounder(float(v)) for v in values.astype(np.float32)]
    got = function(f"double2ull_{mode}", "double", target, ["double"], "i64")(values)
    assert got.tolist() == [max(0, rounder(float(v))) for v in values]


@targets
@elements
def test_functions_of_the_representation_are_exact(element: str, target: str):
    x, y = grid(element, 2, 4_000)
    dtype = NUMPY[element]
    rng = np.random.default_rng(43)
    limit = 300 if element == "float" else 2300
    n = rng.integers(-limit, limit, x.size).astype(np.int32)
    n[:4] = [2**31 - 1, -(2**31), 0, 1]
    with np.errstate(all="ignore"):
        scaled = np.array([np.ldexp(v, int(k)) for v, k in zip(x, n)], dtype)
        exponents = np.array(
            [math.frexp(v)[1] - 1.0 if v and np.isfinite(v) else 0.0 for v in x.tolist()], dtype
        )
        exponents = np.where(
            x == 0, -np.inf, np.where(np.isinf(x), np.inf, np.where(np.isnan(x), np.nan, exponents))
        )
        binary = {
            "nextafter": np.nextafter(x, y),
            "copysign": np.copysign(x, y),
            "fdim": np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x > y, x - y, 0)).astype(dtype),
        }
    for name, want in binary.items():
        got = function(name, element, target, [element] * 2)(x, y)
        assert np.array_equal(got, want, equal_nan=True), name
    assert np.array_equal(function("ldexp", element, target, [element, "i32"])(x, n), scaled, equal_nan=True)
    assert np.array_equal(function("logb", element, target)(x), exponents, equal_nan=True)
    flags = {"isnan": np.isnan(x), "isinf": np.isinf(x), "isfinite": np.isfinite(x), "signbit": np.signbit(x)}
    for name, want in flags.items():
        assert np.array_equal(function(name, element, target, (), "i32")(x), want.astype(np.int32)), name
    got = function("ilogb", element, target, (), "i32")(x)
    whole = np.isfinite(x) & (x != 0)
    assert np.array_equal(got[whole], exponents[whole].astype(np.int32))
    assert set(got[x == 0]) == {-(2**31)}
    assert np.array_equal(function("saturate", element, target)(x), np.nan_to_num(np.clip(x, 0, 1)))


BESSEL = {
    "j0": (lambda x: mp.besselj(0, x), 2.5),
    "j1": (lambda x: mp.besselj(1, x), 2.5),
    "y0": (lambda x: mp.bessely(0, x), 3),
    "y1": (lambda x: mp.bessely(1, x), 4),
}


@hosts
@pytest.mark.parametrize("name", BESSEL)
def test_bessel_within_4_ulp_of_the_local_amplitude(name: str, element: str, target: str):
    exact, bound = BESSEL[name]
    rng = np.random.default_rng(47)
    x = np.concatenate([rng.uniform(0.01, 8, 150), rng.uniform(8, 60, 100), rng.uniform(60, 1e6, 30)])
    x = x.astype(NUMPY[element])
    got = function(name, element, target)(x)
    with mp.workprec(120):
        want = [exact(mp.mpf(float(v))) for v in x]
        scale = [max(abs(w), 1 / mp.sqrt(1 + mp.mpf(float(v)))) for w, v in zip(want, x)]
        found = [abs(mp.mpf(float(g)) - w) / s for g, w, s in zip(got, want, scale)]
    assert float(max(found)) <= bound * np.finfo(x.dtype).eps


@hosts
def test_bessel_of_any_order_against_scipy(element: str, target: str):
    rng = np.random.default_rng(53)
    x = rng.uniform(0.1, 40, 2_000).astype(NUMPY[element])
    n = rng.integers(-20, 20, x.size).astype(np.int32)
    eps = np.finfo(x.dtype).eps
    for name, reference in (("jn", sp.jv), ("yn", sp.yn)):
        got = function(name, element, target, ["i32", element])(n, x)
        with np.errstate(all="ignore"):
            want = reference(n.astype(float) if name == "jn" else n, x.astype(np.float64)).astype(x.dtype)
        assert np.allclose(got, want, rtol=200 * eps, atol=40 * eps), name


@hosts
@pytest.mark.parametrize("order", [0, 1])
def test_modified_bessel_within_3_ulp(order: int, element: str, target: str):
    rng = np.random.default_rng(59)
    top = 88 if element == "float" else 710
    x = np.concatenate([rng.uniform(-8, 8, 200), rng.uniform(8, 40, 100), rng.uniform(40, top, 100)])
    x = x.astype(NUMPY[element])
    got = function(f"cyl_bessel_i{order}", element, target)(x)
    with mp.workprec(120):
        want = [mp.besseli(order, mp.mpf(float(v))) for v in x]
        if element == "float":
            assert errors(got, np.array([float(w) for w in want])).max() <= 3.0
        else:
            assert max(exact_error(float(g), w) for g, w in zip(got, want)) <= 2.6


@hosts
def test_lgamma_below_zero_is_close(element: str, target: str):
    x = np.random.default_rng(61).uniform(-30, -0.01, 800).astype(NUMPY[element])
    got = function("lgamma", element, target)(x)
    with mp.workprec(200):
        want = [mp.log(abs(mp.gamma(mp.mpf(float(v))))) for v in x]
        found = [abs(mp.mpf(float(g)) - w) / max(abs(w), 1) for g, w in zip(got, want)]
    assert float(max(found)) <= 20 * np.finfo(x.dtype).eps
