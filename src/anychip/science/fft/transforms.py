"""Fourier transforms under SciPy's names and signatures, of arrays of NumPy and tensors of PyTorch, with
gradients. Element types: float32 and float64, complex64 and complex128; half types are computed in single
precision, integers in double. Sums are unscaled but for `norm`. Raises InvalidValue, InvalidType and
NotProvided, which are SciPy's ValueError, TypeError and NotImplementedError."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..arrays import COMPLEX, Restore, inexact, taken
from ..errors import InvalidType, InvalidValue
from .arguments import BACKWARD, FORWARD, checked, dimensions, factor, positive, resized
from .fourier import Complex, Half, Real

Kernel = Callable[[Any, Any, Any, Any, Any, Any, int], Any]


def _given(x: Any, workers: Any, plan: Any) -> tuple[torch.Tensor, Restore]:
    checked(workers, plan)
    tensor, restore = taken(x)
    return inexact(tensor), restore


def _complex(x: Any, s: Any, axes: Any, norm: Any, workers: Any, plan: Any, direction: int) -> Any:
    tensor, restore = _given(x, workers, plan)
    dims, lengths = dimensions(tensor, s, axes)
    positive(lengths)
    tensor = resized(tensor, dims, lengths)
    if not tensor.is_complex():
        tensor = tensor.to(COMPLEX[tensor.dtype])
    if not dims:
        return restore(tensor)
    scale = factor(norm, direction, math.prod(lengths))
    return restore(Complex.apply(tensor, tuple(dims), direction, scale))


def _half(x: Any, s: Any, axes: Any, norm: Any, workers: Any, plan: Any, direction: int) -> Any:
    tensor, restore = _given(x, workers, plan)
    if tensor.is_complex():
        raise InvalidType("x must be a real sequence", "Take fft, or the real part.")
    dims, lengths = dimensions(tensor, s, axes)
    if not dims:
        raise InvalidValue("at least 1 axis must be transformed")
    positive(lengths)
    scale = factor(norm, direction, math.prod(lengths))
    out = Half.apply(resized(tensor, dims, lengths), tuple(dims), scale)
    return restore(out if direction == FORWARD else out.conj().resolve_conj())


def _real(x: Any, s: Any, axes: Any, norm: Any, workers: Any, plan: Any, direction: int) -> Any:
    tensor, restore = _given(x, workers, plan)
    dims, lengths = dimensions(tensor, s, axes)
    if not dims:
        raise InvalidValue("at least 1 axis must be transformed")
    if s is None:
        lengths[-1] = 2 * (tensor.shape[dims[-1]] - 1)
    positive(lengths)
    scale = factor(norm, direction, math.prod(lengths))
    tensor = resized(tensor, dims, [*lengths[:-1], lengths[-1] // 2 + 1])
    if not tensor.is_complex():
        tensor = tensor.to(COMPLEX[tensor.dtype])
    if direction == FORWARD:
        tensor = tensor.conj()
    return restore(Real.apply(tensor, tuple(dims), lengths[-1], scale))


# ---- names ----------------------------------------------------------------------------------------


def _line(kernel: Kernel, name: str, direction: int, what: str) -> Callable[..., Any]:
    """A transform along one axis."""

    def transform(
        x: Any,
        n: int | None = None,
        axis: int = -1,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: None = None,
    ) -> Any:
        return kernel(x, None if n is None else (n,), (axis,), norm, workers, plan, direction)

    return _named(transform, name, f"{what} along `axis`, of `n` elements.")


def _plane(kernel: Kernel, name: str, direction: int, what: str) -> Callable[..., Any]:
    """A transform along two axes."""

    def transform(
        x: Any,
        s: Sequence[int] | None = None,
        axes: Sequence[int] = (-2, -1),
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: None = None,
    ) -> Any:
        return kernel(x, s, axes, norm, workers, plan, direction)

    return _named(transform, name, f"{what} along two `axes`, of shape `s`.")


def _space(kernel: Kernel, name: str, direction: int, what: str) -> Callable[..., Any]:
    """A transform along any axes."""

    def transform(
        x: Any,
        s: Sequence[int] | None = None,
        axes: Sequence[int] | None = None,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: None = None,
    ) -> Any:
        return kernel(x, s, axes, norm, workers, plan, direction)

    return _named(transform, name, f"{what} along `axes` (all, where none are given), of shape `s`.")


def _named(function: Callable[..., Any], name: str, what: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{what} Elements that are missing are zeros, those that are too many are left out."
    return function


FOURIER = "The Fourier transform"
REVERSE = "The inverse of the Fourier transform"
REALS = "Half of the Fourier transform of a real signal"
SIGNAL = "The real signal of which `x` is half the Fourier transform"
HERMITIAN = "The real Fourier transform of a Hermitian signal of which `x` is half"
SPECTRUM = "Half of the Hermitian signal of which `x` is the real Fourier transform"

fft = _line(_complex, "fft", FORWARD, FOURIER)
ifft = _line(_complex, "ifft", BACKWARD, REVERSE)
rfft = _line(_half, "rfft", FORWARD, REALS)
irfft = _line(_real, "irfft", BACKWARD, SIGNAL)
hfft = _line(_real, "hfft", FORWARD, HERMITIAN)
ihfft = _line(_half, "ihfft", BACKWARD, SPECTRUM)

fft2 = _plane(_complex, "fft2", FORWARD, FOURIER)
ifft2 = _plane(_complex, "ifft2", BACKWARD, REVERSE)
rfft2 = _plane(_half, "rfft2", FORWARD, REALS)
irfft2 = _plane(_real, "irfft2", BACKWARD, SIGNAL)
hfft2 = _plane(_real, "hfft2", FORWARD, HERMITIAN)
ihfft2 = _plane(_half, "ihfft2", BACKWARD, SPECTRUM)

fftn = _space(_complex, "fftn", FORWARD, FOURIER)
ifftn = _space(_complex, "ifftn", BACKWARD, REVERSE)
rfftn = _space(_half, "rfftn", FORWARD, REALS)
irfftn = _space(_real, "irfftn", BACKWARD, SIGNAL)
hfftn = _space(_real, "hfftn", FORWARD, HERMITIAN)
ihfftn = _space(_half, "ihfftn", BACKWARD, SPECTRUM)
