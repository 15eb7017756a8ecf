"""Spectra, short-time transforms and convolutions by Fourier transforms, under the names and signatures of
`scipy.signal`. Flows in: arrays and tensors. Flows out: the same kind, with gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ...ops.fft.lines_kernels import lines_kernel
from ...ops.fft.stages import stage_kernel
from ...ops.samples import tensor
from .. import fft
from ..arrays import inexact, taken
from ..errors import InvalidValue, NotProvided
from ..registry import PRECISE, Fused, Sample, register
from .filters import along, back, real

# ---- convolutions ---------------------------------------------------------------------------------


def next_fast_len(target: int) -> int:
    """The smallest product of 2, 3, 5 and 7 that is at least `target`."""
    best = 1 << max(0, (target - 1).bit_length())
    seven = 1
    while seven < best:
        five = seven
        while five < best:
            three = five
            while three < best:
                two = three << max(0, (-(-target // three) - 1).bit_length())
                if two >= target:
                    best = min(best, two)
                three *= 3
            five *= 5
        seven *= 7
    return best


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """The convolution of two arrays of equal rank along `axes` (all of them), by Fourier transforms: "full",
    "same" (as in1), or "valid". Differentiable. float32, float64 and complex. Raises InvalidValue."""
    first, restore = taken(in1, "in1")
    second = inexact(taken(in2, "in2")[0])
    first = inexact(first)
    if first.ndim != second.ndim:
        raise InvalidValue("in1 and in2 should have the same dimensionality")
    if mode not in ("full", "same", "valid"):
        raise InvalidValue("acceptable mode flags are 'valid', 'same', or 'full'")
    listed = range(first.ndim) if axes is None else ([axes] if isinstance(axes, int) else axes)
    dims = [axis % first.ndim for axis in listed]
    if not first.numel() or not second.numel():
        return restore(first.new_empty(0))
    for d in range(first.ndim):
        if d not in dims and first.shape[d] != second.shape[d] and 1 not in (first.shape[d], second.shape[d]):
            raise InvalidValue(f"incompatible shapes {tuple(first.shape)} and {tuple(second.shape)}")
    full = [first.shape[d] + second.shape[d] - 1 for d in dims]
    fast = [next_fast_len(n) for n in full]
    dtype = torch.promote_types(first.dtype, second.dtype)
    first, second = first.to(dtype), second.to(dtype)
    if dtype.is_complex:
        out = fft.ifftn(fft.fftn(first, fast, dims) * fft.fftn(second, fast, dims), fast, dims)
    else:
        out = fft.irfftn(fft.rfftn(first, fast, dims) * fft.rfftn(second, fast, dims), fast, dims)
    swapped = mode == "valid" and any(second.shape[d] > first.shape[d] for d in dims)
    for d, n in zip(dims, full):
        start, length = 0, n
        if mode == "same":
            length = first.shape[d]
            start = (n - length) // 2
        elif mode == "valid":
            small, large = (first, second) if swapped else (second, first)
            start, length = small.shape[d] - 1, large.shape[d] - small.shape[d] + 1
            if length < 1:
                raise InvalidValue("For 'valid' mode, one must be at least as large as the other")
        out = out.narrow(d, start, length)
    return restore(out.contiguous())


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The cross-correlation of two arrays, by Fourier transforms whatever `method` is. Differentiable.
    float32, float64 and complex. Raises InvalidValue."""
    if method not in ("auto", "direct", "fft"):
        raise InvalidValue("Acceptable method flags are 'auto', 'direct', or 'fft'.")
    second, restore = taken(in2, "in2")
    turned = inexact(second).flip(tuple(range(second.ndim)))
    turned = turned.conj().resolve_conj() if turned.is_complex() else turned
    first = taken(in1, "in1")[0]
    found = fftconvolve(first, turned, mode)
    return found if isinstance(in1, torch.Tensor) else restore(found)


def hilbert(x: Any, N: int | None = None, axis: int = -1) -> Any:
    """The analytic signal of a real x along `axis`, of N elements. Differentiable. float32, float64. Raises
    InvalidValue."""
    signal, restore = real(x, "x")
    rows = along(signal, axis)
    n = rows.shape[1] if N is None else N
    if n <= 0:
        raise InvalidValue("N must be positive.")
    weights = torch.zeros(n, dtype=rows.dtype, device=rows.device)
    weights[0] = 1
    weights[1 : (n + 1) // 2] = 2
    if n % 2 == 0:
        weights[n // 2] = 1
    spectrum = fft.fft(torch.complex(rows, torch.zeros_like(rows)), n)
    return restore(back(fft.ifft(spectrum * weights), signal, axis))


def czt(x: Any, m: int | None = None, w: Any = None, a: Any = 1 + 0j, *, axis: int = -1) -> Any:
    """The z transform of x along `axis` at the m points a w^-k, by a convolution (Bluestein, 1970). w is a
    number on any spiral, exp(-2 pi i / m) if not given. Differentiable in x. float32, float64 and complex.
    Raises InvalidValue."""
    signal, restore = taken(x, "x")
    signal = inexact(signal)
    rows = along(signal, axis)
    n = rows.shape[1]
    m = n if m is None else m
    if n < 1 or m < 1:
        raise InvalidValue(f"Invalid number of CZT points ({min(n, m)}) specified; n and m must be positive.")
    k = np.arange(max(m, n), dtype=np.int64)
    if w is None:
        chirp = np.exp(-1j * np.pi * ((k * k) % (2 * m)) / m)
    else:
        chirp = np.power(complex(w), k.astype(float) ** 2 / 2)
    size = next_fast_len(n + m - 1)
    kernel = np.zeros(size, complex)
    kernel[:m] = 1 / chirp[:m]
    kernel[size - n + 1 :] = 1 / chirp[n - 1 : 0 : -1]
    dtype = rows.dtype if rows.is_complex() else torch.promote_types(rows.dtype, torch.complex64)
    before = torch.from_numpy(chirp[:n] * complex(a) ** -k[:n].astype(float)).to(dtype)
    after, other = torch.from_numpy(chirp[:m]).to(dtype), torch.from_numpy(kernel).to(dtype)
    spread = fft.fft(rows.to(dtype) * before, size) * fft.fft(other)
    return restore(back(fft.ifft(spread)[:, :m] * after, signal, axis))


def resample(x: Any, num: int, t: Any = None, axis: int = 0, window: Any = None, domain: str = "time") -> Any:
    """x at `num` points along `axis`, which it repeats after, by its Fourier transform; with places t, these
    too. Differentiable. float32, float64. Raises InvalidValue, and NotProvided for windows and for
    spectra."""
    if window is not None or domain != "time":
        raise NotProvided("resample serves neither windows nor the domain freq")
    if num < 1:
        raise InvalidValue(f"num must be positive, not {num}")
    signal, restore = real(x, "x")
    rows = along(signal, axis)
    n = rows.shape[1]
    kept = min(num, n)
    spectrum = fft.rfft(rows)[:, : kept // 2 + 1]
    if kept % 2 == 0 and num != n:
        weights = torch.ones(kept // 2 + 1, dtype=rows.dtype, device=rows.device)
        weights[-1] = 2.0 if num < n else 0.5
        spectrum = spectrum * weights
    out = restore(back(fft.irfft(spectrum, num) * (num / n), signal, axis))
    if t is None:
        return out
    places = taken(t, "t")[0].double()
    step = (places[1] - places[0]) * n / num
    return out, restore(torch.arange(num, dtype=torch.float64) * step + places[0])


# ---- windows --------------------------------------------------------------------------------------

COSINES = {"boxcar": (1.0,), "hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08)}
"""Windows as sums of cosines, with alternating signs."""


def _window(window: Any, length: int) -> torch.Tensor:
    """A window by name, as a period, or by its values."""
    if isinstance(window, str):
        if window not in COSINES:
            raise NotProvided(
                f"the window {window!r} is not served", f"Give its values, or one of {', '.join(COSINES)}."
            )
        angle = 2 * math.pi * torch.arange(length, dtype=torch.float64) / length
        terms = [(-1) ** k * c * torch.cos(k * angle) for k, c in enumerate(COSINES[window])]
        return torch.stack(terms).sum(0)
    if isinstance(window, tuple):
        raise NotProvided(f"the window {window!r} is not served", "Give its values.")
    values = real(window, "window")[0].double()
    if values.ndim != 1 or len(values) != length:
        raise InvalidValue(f"window must be of length nperseg = {length}, not {tuple(values.shape)}")
    return values


def _length(window: Any, nperseg: int | None, n: int, most: int = 256) -> int:
    if not isinstance(window, str | tuple):
        return len(window)
    wanted = most if nperseg is None else int(nperseg)
    if wanted < 1:
        raise InvalidValue("nperseg must be a positive integer")
    return min(wanted, n)


# ---- short-time transforms ------------------------------------------------------------------------


def _segments(
    rows: torch.Tensor,
    window: torch.Tensor,
    noverlap: int | None,
    nfft: int | None,
    detrend: Any,
) -> torch.Tensor:
    """Transforms [rows, segments, bins] of windowed pieces of rows [rows, n]."""
    length = len(window)
    noverlap = length // 2 if noverlap is None else noverlap
    if not 0 <= noverlap < length:
        raise InvalidValue("noverlap must be less than nperseg.")
    if nfft is not None and nfft < length:
        raise InvalidValue("nfft must be greater than or equal to nperseg.")
    pieces = rows.unfold(-1, length, length - noverlap)
    if detrend == "constant":
        pieces = pieces - pieces.mean(-1, keepdim=True)
    elif detrend is not False:
        raise NotProvided(f"detrend={detrend!r} is not served", "Use 'constant' or False.")
    return fft.rfft(pieces * window.to(rows), nfft or length)


def _places(rows: torch.Tensor, count: int, fs: float) -> torch.Tensor:
    return torch.arange(count // 2 + 1, dtype=rows.dtype) * (fs / count)


def _one_sided(return_onesided: bool) -> None:
    if not return_onesided:
        raise NotProvided("only one-sided spectra of real signals are served")


def welch(
    x: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """Frequencies and the power spectrum of a real x along `axis`, the mean over overlapping pieces (Welch,
    1967). Differentiable. float32, float64. Raises InvalidValue, and NotProvided for two-sided spectra,
    medians, other windows than boxcar, hann, hamming, blackman and given values, and other trends."""
    _one_sided(return_onesided)
    if average != "mean":
        raise NotProvided(f"average={average!r} is not served")
    if scaling not in ("density", "spectrum"):
        raise InvalidValue(f"Unknown scaling: {scaling!r}")
    signal, restore = real(x, "x")
    rows = along(signal, axis)
    length = _length(window, nperseg, rows.shape[1])
    values = _window(window, length)
    count = nfft or length
    found = _segments(rows, values, noverlap, nfft, detrend)
    power = found.real**2 + found.imag**2
    power = power.mean(1)
    scale = 1 / (fs * float((values**2).sum())) if scaling == "density" else 1 / float(values.sum()) ** 2
    weights = torch.full((count // 2 + 1,), 2 * scale, dtype=rows.dtype, device=rows.device)
    weights[0] = scale
    if count % 2 == 0:
        weights[-1] = scale
    return restore(_places(rows, count, fs)), restore(back(power * weights, signal, axis))


def periodogram(
    x: Any,
    fs: float = 1.0,
    window: Any = "boxcar",
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
) -> tuple[Any, Any]:
    """Frequencies and the power spectrum of the whole of a real x along `axis`, otherwise as `welch`."""
    n = along(real(x, "x")[0], axis).shape[1]
    return welch(x, fs, window, n, 0, nfft, detrend, return_onesided, scaling, axis)


def stft(
    x: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = False,
    return_onesided: bool = True,
    boundary: str | None = "zeros",
    padded: bool = True,
    axis: int = -1,
    scaling: str = "spectrum",
) -> tuple[Any, Any, Any]:
    """Frequencies, times and the short-time Fourier transform [..., bins, times] of a real x along its last
    axis. Differentiable. float32, float64. Raises InvalidValue, and NotProvided for what `welch` does not
    serve and for other boundaries than zeros and None."""
    _one_sided(return_onesided)
    if boundary not in ("zeros", None):
        raise NotProvided(f"boundary={boundary!r} is not served")
    if scaling not in ("spectrum", "psd"):
        raise InvalidValue(f"Parameter {scaling=} not in ['spectrum', 'psd']!")
    signal, restore = real(x, "x")
    if axis not in (-1, signal.ndim - 1):
        raise NotProvided("stft serves the last axis only", "Move it there.")
    rows = along(signal, -1)
    length = _length(window, nperseg, rows.shape[1])
    values = _window(window, length)
    overlap = length // 2 if noverlap is None else noverlap
    if not 0 <= overlap < length:
        raise InvalidValue("noverlap must be less than nperseg.")
    if boundary == "zeros":
        rows = torch.nn.functional.pad(rows, (length // 2, length // 2))
    if padded:
        rest = -(rows.shape[1] - length) % (length - overlap) % length
        rows = torch.nn.functional.pad(rows, (0, rest))
    scale = values.sum() if scaling == "spectrum" else (fs * (values**2).sum()).sqrt()
    found = _segments(rows, values, overlap, nfft, detrend) / float(scale)
    times = torch.arange(found.shape[1], dtype=rows.dtype) * (length - overlap) / fs
    times = times + (0 if boundary == "zeros" else length / 2 / fs)
    lead = signal.shape[:-1]
    out = found.mT.reshape(*lead, found.shape[2], found.shape[1])
    return restore(_places(rows, nfft or length, fs)), restore(times), restore(out.contiguous())


def istft(
    Zxx: Any,
    fs: float = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    time_axis: int = -1,
    freq_axis: int = -2,
    scaling: str = "spectrum",
) -> tuple[Any, Any]:
    """Times and the signal [..., n] of which Zxx [..., bins, times] is the short-time transform, by least
    squares (Griffin and Lim, 1984). Differentiable. Raises InvalidValue and NotProvided as `stft`, and
    InvalidValue where windows leave places without weight."""
    _one_sided(input_onesided)
    if (time_axis, freq_axis) != (-1, -2):
        raise NotProvided("istft serves bins and times as the last two axes only", "Move them there.")
    spectrum, restore = taken(Zxx, "Zxx")
    lead, (bins, count) = spectrum.shape[:-2], spectrum.shape[-2:]
    points = 2 * (bins - 1) if nfft is None else nfft
    length = points if nperseg is None else int(nperseg)
    if nfft is None and nperseg is not None and length == points + 1:
        points = length
    overlap = length // 2 if noverlap is None else noverlap
    if not 0 <= overlap < length or points < length:
        raise InvalidValue("noverlap must be less than nperseg, and nfft at least nperseg.")
    values = _window(window, length)
    scale = values.sum() if scaling == "spectrum" else (fs * (values**2).sum()).sqrt()
    rows = fft.irfft(spectrum.reshape(-1, bins, count).mT, points)[..., :length]
    values = values.to(rows)
    step = length - overlap
    width = length + (count - 1) * step
    place = torch.arange(count)[:, None] * step + torch.arange(length)
    weight = rows.new_zeros(width).index_add(0, place.reshape(-1), (values**2).repeat(count))
    pieces = (rows * values * float(scale)).reshape(len(rows), -1)
    out = rows.new_zeros((len(rows), width)).index_add(1, place.reshape(-1), pieces)
    if boundary:
        half = length // 2
        out, weight = out[:, half : width - half], weight[half : width - half]
    if not bool((weight > 1e-10).all()):
        raise InvalidValue("NOLA condition failed: windows leave places without weight")
    out = (out / weight).reshape(*lead, -1)
    return restore(torch.arange(out.shape[-1], dtype=out.dtype) / fs), restore(out)


# ---- records --------------------------------------------------------------------------------------


def _convolved(in1: torch.Tensor, in2: torch.Tensor) -> torch.Tensor:
    wide = torch.nn.functional.pad(in1, (in2.shape[-1] - 1,) * 2)
    return (wide.unfold(-1, in2.shape[-1], 1) * in2.flip(-1)[..., None, :]).sum(-1)


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    for first, second in (((20,), (7,)), ((3, 16), (3, 16)), ((2, 5), (2, 30))):
        pair = tensor(first, dtype, -1, 1), tensor(second, dtype, -1, 1, seed=1)
        yield Sample((*pair, "full", -1))
    # One product for each element: it moves by two roundings, and less than a wrong element.
    yield Sample((torch.ones(1, dtype=dtype), torch.tensor([1.0, -0.5], dtype=dtype), "full", -1))


register(
    Fused(
        "fftconvolve",
        "transforms",
        fftconvolve,
        lambda in1, in2, mode, axes: _convolved(in1, in2),
        _pairs,
        (lines_kernel, stage_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
