"""Errors of mathematical functions in units of the last place, and where to look for them.

In: arrays of results and references of more precision. Out: the largest error and its argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
import numpy as np

from anychip.compiler.codegen.math import emit

from .jit import SINGLE, TARGETS, compile_loop

NUMPY = {"float": np.float32, "double": np.float64}
Ranges = Sequence[tuple[float, float]]


def function(
    name: str, element: str, target: str, arguments: Sequence[str] = (), result: str = "", lanes: int = 8
) -> Callable[..., np.ndarray]:
    """The function `name` of the compiler's as a function of arrays."""

    machine = (TARGETS | SINGLE)[target]

    def body(b, args):
        return emit(b, name, args, machine)

    return compile_loop(body, arguments or [element], result or element, lanes, machine)


def special(element: str) -> np.ndarray:
    """Zeros, infinities, NaN, the extremes of the type and small integers and halves."""
    info = np.finfo(NUMPY[element])
    positive = [
        0,
        np.inf,
        info.max,
        info.tiny,
        info.smallest_subnormal,
        info.eps,
        0.5,
        1,
        1.5,
        2,
        2.5,
        3,
        4,
        10,
        100,
    ]
    return np.array([*positive, *(-v for v in positive), np.nan], NUMPY[element])


def samples(element: str, ranges: Ranges, count: int) -> np.ndarray:
    """Special values, random bit patterns, and random values of each range."""
    rng = np.random.default_rng(17)
    bits = 32 if element == "float" else 64
    patterns = rng.integers(0, 1 << bits, count // 4, dtype=f"uint{bits}").view(NUMPY[element])
    parts = [rng.uniform(low, high, count // len(ranges)).astype(NUMPY[element]) for low, high in ranges]
    return np.concatenate([special(element), patterns, *parts])


def errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Errors of f32 results in ulp of f64 references; infinite where one is special alone."""
    info = np.finfo(np.float32)
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
        exponent = np.floor(np.log2(np.abs(want)))
        place = np.exp2(np.maximum(exponent, info.minexp) - info.nmant)
        result = np.abs(got.astype(np.float64) - want) / place
    same = (np.isnan(rounded) & np.isnan(got)) | (rounded == got)
    special_alone = ~same & ~(np.isfinite(rounded) & np.isfinite(got))
    result[same & ~np.isfinite(result)] = 0.0
    result[np.isinf(rounded) & same] = 0.0
    result[special_alone] = np.inf
    return result


def exact_error(got: float, want: Any) -> float:
    """The error of one f64 result in ulp of a reference in many bits."""
    if got != got or want != want:
        return 0.0 if got != got and want != want else np.inf
    rounded = float(want)
    if np.isinf(got) or np.isinf(rounded):
        return 0.0 if got == rounded else np.inf
    if want == 0:
        return 0.0 if got == 0 else np.inf
    exponent = max(mp.frexp(want)[1] - 1, -1022)
    return float(abs(mp.mpf(got) - want) / mp.ldexp(1, exponent - 52))


def exactly(reference: Callable[..., Any], fallback: Callable[..., float], *args: float) -> Any:
    """The reference in 200 bits; NumPy's or SciPy's answer where the argument is not finite, or
    mpmath has none (poles), or it leaves the real numbers."""
    if all(np.isfinite(a) for a in args):
        try:
            value = reference(*(mp.mpf(float(a)) for a in args))
            return mp.mpf("nan") if isinstance(value, mp.mpc) and value.imag else mp.mpf(mp.re(value))
        except (ValueError, ZeroDivisionError, OverflowError):
            pass
    with np.errstate(all="ignore"):
        return mp.mpf(float(fallback(*(np.float64(a) for a in args))))


def worst(errors_: np.ndarray, *args: np.ndarray) -> tuple[float, tuple[float, ...]]:
    """The largest error and the arguments that gave it."""
    index = int(np.argmax(errors_))
    return float(errors_[index]), tuple(a[index] for a in args)
