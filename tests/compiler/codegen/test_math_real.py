"""Functions of one real variable against float64 (for f32) and mpmath (for f64).

A test's name says the bound in ulp. `host` uses all instructions of this machine, `baseline` only
those that every core of its kind has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special as sp
from tests.compiler.codegen.jit import NUMPY_TYPES, SINGLE, TARGETS
from tests.compiler.codegen.ulp import Ranges, errors, exact_error, exactly, function, samples, worst

from anychip.compiler.codegen.math import error_function

F32_SAMPLES, F64_SAMPLES = 100_000, 1_600


@dataclass(frozen=True)
class Case:
    """A function, what computes it in f64 and in many bits, where to try it, and its bounds."""

    name: str
    double: Callable
    exact: Callable
    ranges: Ranges
    f32: float
    f64: float
    single: float = 0.0
    """The bound in f32 on machines without f64, where it is another formula."""


def float_sinpi(x):
    turn = x - 2 * np.rint(x / 2)
    return np.where(np.abs(turn) == 1, 0.0, np.sin(np.pi * turn))


def float_cospi(x):
    turn = np.abs(x - 2 * np.rint(x / 2))
    return np.sin(np.pi * (0.5 - turn))


def round_half_away(x):
    return np.copysign(np.floor(np.abs(x) + (np.abs(x) < 2.0**52) * 0.5), x)


def exact_cbrt(x):
    return mp.sign(x) * mp.cbrt(abs(x))


def inverse_erfc(x):
    """Newton's iteration on log(erfc(z)) = log(x), from SciPy's value, which is infinite too early."""
    if x > 1:
        return -inverse_erfc(2 - x)
    if x <= 0:
        raise ValueError
    z = mp.mpf(min(float(sp.erfcinv(float(x))), 27.2))
    for _ in range(6):
        z -= (mp.log(mp.erfc(z)) - mp.log(x)) * mp.erfc(z) / (-2 / mp.sqrt(mp.pi) * mp.exp(-z * z))
    return z


CASES = [
    Case("exp", np.exp, mp.exp, ((-110, 110), (-1, 1), (-750, 720)), 1.1, 1.1),
    Case("exp2", np.exp2, lambda x: mp.power(2, x), ((-155, 135), (-1, 1), (-1080, 1030)), 1.2, 1.3),
    Case("exp10", lambda x: np.power(10.0, x), lambda x: mp.power(10, x), ((-47, 40), (-325, 310)), 1.3, 1.5),
    Case("expm1", np.expm1, mp.expm1, ((-110, 110), (-2, 2), (-40, 720)), 1.8, 2.0),
    Case("log", np.log, mp.log, ((0, 4), (0.5, 1.5), (0, 1e9)), 1.0, 1.0),
    Case("log2", np.log2, lambda x: mp.log(x, 2), ((0, 4), (0.5, 1.5), (0, 1e9)), 1.0, 1.0),
    Case("log10", np.log10, mp.log10, ((0, 4), (0.5, 1.5), (0, 1e9)), 1.0, 1.0),
    Case("log1p", np.log1p, mp.log1p, ((-1, 4), (-0.5, 0.5), (0, 1e9)), 1.0, 1.0),
    Case("sin", np.sin, mp.sin, ((-10, 10), (-1e4, 1e4), (-6e4, 6e4), (-1e7, 1e7)), 1.5, 1.0),
    Case("cos", np.cos, mp.cos, ((-10, 10), (-1e4, 1e4), (-6e4, 6e4), (-1e7, 1e7)), 1.5, 1.0),
    Case("tan", np.tan, mp.tan, ((-10, 10), (-1e4, 1e4), (-1e7, 1e7)), 1.0, 1.2),
    Case("sinpi", float_sinpi, mp.sinpi, ((-4, 4), (-1e4, 1e4)), 1.3, 1.3),
    Case("cospi", float_cospi, mp.cospi, ((-4, 4), (-1e4, 1e4)), 1.0, 1.0),
    Case("asin", np.arcsin, mp.asin, ((-1, 1), (0.4, 0.6), (0.99, 1)), 1.0, 1.0),
    Case("acos", np.arccos, mp.acos, ((-1, 1), (0.4, 0.6), (0.99, 1)), 1.0, 1.0),
    Case("atan", np.arctan, mp.atan, ((-1, 1), (-5, 5), (-1e4, 1e4)), 1.0, 1.0),
    Case("sinh", np.sinh, mp.sinh, ((-2, 2), (-92, 92), (-712, 712)), 1.8, 1.8),
    Case("cosh", np.cosh, mp.cosh, ((-2, 2), (-92, 92), (-712, 712)), 1.6, 1.6),
    Case("tanh", np.tanh, mp.tanh, ((-1, 1), (-10, 10), (-25, 25)), 1.7, 1.7),
    Case("asinh", np.arcsinh, mp.asinh, ((-2, 2), (-1e4, 1e4)), 1.6, 1.6),
    Case("acosh", np.arccosh, mp.acosh, ((1, 1.1), (1, 10), (1, 1e4)), 2.6, 2.6),
    Case("atanh", np.arctanh, mp.atanh, ((-1, 1), (-0.1, 0.1)), 1.8, 1.8),
    Case("sigmoid", sp.expit, lambda x: 1 / (1 + mp.exp(-x)), ((-20, 20), (-80, 80)), 2.3, 2.3),
    Case("sqrt", np.sqrt, mp.sqrt, ((0, 4), (0, 1e9)), 0.5001, 0.5001),
    Case("rsqrt", lambda x: 1 / np.sqrt(x), lambda x: 1 / mp.sqrt(x), ((0, 4), (0, 1e9)), 1.5, 1.5),
    Case("cbrt", np.cbrt, exact_cbrt, ((-9, 9), (-1e9, 1e9)), 0.51, 0.6, 0.51),
    Case(
        "rcbrt", lambda x: 1 / np.cbrt(x), lambda x: mp.sign(x) / mp.cbrt(abs(x)), ((-9, 9),), 0.51, 1.6, 1.6
    ),
    Case("erf", sp.erf, mp.erf, ((-1, 1), (-7, 7)), 1.7, 1.2),
    Case("erfc", sp.erfc, mp.erfc, ((-1, 1), (-7, 28)), 2.3, 2.9),
    Case("erfcx", sp.erfcx, lambda x: mp.exp(x * x) * mp.erfc(x), ((-1, 1), (-9, 30)), 3.0, 2.5),
    Case("erfinv", sp.erfinv, mp.erfinv, ((-1, 1), (0.99, 1)), 2.1, 2.6),
    Case("erfcinv", sp.erfcinv, inverse_erfc, ((0, 2), (0, 0.01)), 2.5, 2.6),
    Case("normcdf", sp.ndtr, lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, ((-1, 1), (-14, 9), (-39, 9)), 3.1, 3.7),
    Case("normcdfinv", sp.ndtri, lambda x: -mp.sqrt(2) * inverse_erfc(2 * x), ((0, 1), (0, 0.01)), 3.2, 3.7),
    Case("tgamma", sp.gamma, mp.gamma, ((-10, 10), (0, 36), (0, 172)), 0.51, 3.0, 4.5),
    Case("lgamma", sp.gammaln, lambda x: mp.log(abs(mp.gamma(x))), ((0, 4), (0, 300)), 2.5, 3.2),
]
"""f32 bounds of 0.51 belong to functions that are computed in f64."""

SKIPPED_ARGUMENTS = {
    "lgamma": lambda x: x < 0,  # relative error means nothing near its negative zeros
    "tgamma": lambda x: x < -185,  # SciPy gives 0 or NaN for zero of either sign there
    "erfcx": lambda x: x < -1e3,  # mpmath takes long for the exponential of a large square
    "normcdfinv": lambda x: x > 0.999,  # 2 - 2x carries few bits in the reference, too
}


@cache
def reference(name: str, element: str) -> tuple[np.ndarray, Any]:
    """The arguments of a case and its exact values."""
    case = next(c for c in CASES if c.name == name)
    x = samples(element, case.ranges, F32_SAMPLES if element == "float" else F64_SAMPLES)
    skip = SKIPPED_ARGUMENTS.get(name)
    with np.errstate(all="ignore"):
        x = x[~skip(x)] if skip else x
        if element == "float":
            return x, case.double(x.astype(np.float64))
    # sin(1e300) needs as many bits as its argument has before the point
    with mp.workprec(1200 if name in ("sin", "cos", "tan") else 200):
        return x, [exactly(case.exact, case.double, v) for v in x]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.name}-within-{c.f32}-ulp") for c in CASES])
def test_f32(case: Case, target: str):
    x, want = reference(case.name, "float")
    error, at = worst(errors(function(case.name, "float", target)(x), want), x)
    assert error <= case.f32, f"{case.name}{at}: {error} ulp"


@pytest.mark.parametrize("target", SINGLE)
@pytest.mark.parametrize(
    "case", [pytest.param(c, id=f"{c.name}-within-{c.single}-ulp") for c in CASES if c.single]
)
def test_f32_where_there_is_no_f64(case: Case, target: str):
    x, want = reference(case.name, "float")
    error, at = worst(errors(function(case.name, "float", target)(x), want), x)
    assert error <= case.single, f"{case.name}{at}: {error} ulp"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.name}-within-{c.f64}-ulp") for c in CASES])
def test_f64(case: Case, target: str):
    x, want = reference(case.name, "double")
    got = function(case.name, "double", target)(x)
    with mp.workprec(200):
        found = np.array([exact_error(float(g), w) for g, w in zip(got, want)])
    error, at = worst(found, x)
    assert error <= case.f64, f"{case.name}{at}: {error} ulp"


ROUNDING = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "rint": np.rint, "round": round_half_away}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("element", ["float", "double"])
@pytest.mark.parametrize("name", ROUNDING)
def test_rounding_is_exact_and_keeps_the_sign_of_zero(name: str, element: str, target: str):
    x = samples(element, ((-3, 3), (-1e6, 1e6)), 20_000)
    x = np.concatenate([x, np.round(x[np.abs(x) < 1e6] * 2) / 2])
    got, want = function(name, element, target)(x), ROUNDING[name](x)
    assert np.array_equal(got, want, equal_nan=True)
    defined = ~np.isnan(want)
    assert np.array_equal(np.signbit(got[defined]), np.signbit(want[defined]))


@pytest.mark.parametrize(
    "name", ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "erf", "expm1", "cbrt"]
)
@pytest.mark.parametrize("element", ["float", "double"])
def test_odd_functions_keep_the_sign_of_zero(name: str, element: str):
    zeros = np.array([0.0, -0.0], np.float32 if element == "float" else np.float64)
    assert np.signbit(function(name, element, "host")(zeros)).tolist() == [False, True]


@pytest.mark.parametrize("lanes", [1, 2, 4, 32])
@pytest.mark.parametrize("name", ["exp", "sin", "erf", "pow", "lgamma", "fmod"])
def test_the_number_of_lanes_changes_no_bit(name: str, lanes: int):
    binary = name in ("pow", "fmod")
    x = np.abs(samples("float", ((-50, 50),), 2_000))
    args = (x, x[::-1].copy()) if binary else (x,)
    types = ["float"] * len(args)
    whole = function(name, "float", "host", types)(*args)
    assert np.array_equal(function(name, "float", "host", types, lanes=lanes)(*args), whole, equal_nan=True)


@pytest.mark.parametrize(("element", "largest"), [("float", -26), ("double", -60)])
def test_tgamma_of_tiny_numbers_is_their_inverse(element: str, largest: int):
    tiny = np.linspace(1.01, 1.99, 50) * np.exp2(np.arange(largest - 51.0, largest - 1.0))
    x = np.concatenate([tiny, -tiny]).astype(NUMPY_TYPES[element])
    assert np.array_equal(function("tgamma", element, "host")(x), 1 / x)


@pytest.mark.parametrize("piece", range(len(error_function.ERF_PIECES[0])))
def test_erf_pieces_for_processors_that_are_not_here(piece: int):
    """The polynomials for registers of 16 floats, in float64: any machine can add them up."""
    middle, width = piece * error_function.ERF_WIDTH, error_function.ERF_WIDTH
    distance = np.linspace(-0.5 if piece else 0.0, 0.5, 33) * width
    powers = [row[piece] * distance**power for power, row in enumerate(error_function.ERF_PIECES)]
    value = sum(powers) + (middle + distance if piece < error_function.ERF_LINEAR_PIECES else 0.0)
    np.testing.assert_allclose(value, sp.erf(middle + distance), rtol=2e-7)
