"""Signal processing under the names of `scipy.signal`."""

from __future__ import annotations

from .filters import daubechies, dwt, idwt, resample_poly, sosfilt, upfirdn
from .nonuniform import nufft1d1, nufft1d2
from .spectral import (
    correlate,
    czt,
    fftconvolve,
    hilbert,
    istft,
    next_fast_len,
    periodogram,
    resample,
    stft,
    welch,
)

__all__ = [
    "correlate",
    "czt",
    "daubechies",
    "dwt",
    "fftconvolve",
    "hilbert",
    "idwt",
    "istft",
    "next_fast_len",
    "nufft1d1",
    "nufft1d2",
    "periodogram",
    "resample",
    "resample_poly",
    "sosfilt",
    "stft",
    "upfirdn",
    "welch",
]
