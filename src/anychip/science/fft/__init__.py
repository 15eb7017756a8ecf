"""Fourier, cosine and sine transforms under SciPy's names, and a back end of `scipy.fft`:
`scipy.fft.set_backend(anychip.science.fft, only=True)`. Arrays in, arrays out; tensors in, tensors out, with
gradients."""

from __future__ import annotations

from typing import Any

from .cosine import dct, dctn, dst, dstn, idct, idctn, idst, idstn
from .transforms import (
    fft,
    fft2,
    fftn,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)

__all__ = [
    "dct",
    "dctn",
    "dst",
    "dstn",
    "fft",
    "fft2",
    "fftn",
    "hfft",
    "hfft2",
    "hfftn",
    "idct",
    "idctn",
    "idst",
    "idstn",
    "ifft",
    "ifft2",
    "ifftn",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftn",
]

__ua_domain__ = "numpy.scipy.fft"


def __ua_function__(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What SciPy calls instead of its own function of that name; it goes on to its next back end, or raises
    its own error, for a function that is not here."""
    name = method.__name__
    return globals()[name](*args, **kwargs) if name in __all__ else NotImplemented
