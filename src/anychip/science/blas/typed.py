"""Routines of BLAS for one element type, under the names that SciPy gives them: `daxpy` is `axpy` in double
precision. Flows in: the names without letters. Flows out: a table of all names, and `get_blas_funcs`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from ..arrays import taken
from ..errors import InvalidValue
from . import level1, level2, level3

LETTERS = {"s": torch.float32, "d": torch.float64, "c": torch.complex64, "z": torch.complex128}
SPELLED = {
    "nrm2": {"c": "scnrm2", "z": "dznrm2"},
    "asum": {"c": "scasum", "z": "dzasum"},
    "iamax": {letter: f"i{letter}amax" for letter in LETTERS},
    "iamin": {letter: f"i{letter}amin" for letter in LETTERS},
}
"""Names that do not begin with their letter."""

OF_LETTERS = {
    "sdcz": (
        *(level1.axpy, level1.scal, level1.copy, level1.swap, level1.nrm2, level1.asum, level1.iamax),
        *(level1.iamin, level1.rot),
        *(level2.gemv, level2.gbmv, level2.symv, level2.sbmv, level2.spmv, level2.trmv, level2.tbmv),
        *(level2.tpmv, level2.trsv, level2.tbsv, level2.tpsv, level2.syr, level2.spr, level2.syr2),
        level2.spr2,
        *(level3.gemm, level3.symm, level3.syrk, level3.syr2k, level3.trmm, level3.trsm),
    ),
    "sd": (level1.dot, level1.rotm, level2.ger),
    "cz": (
        *(level1.dotu, level1.dotc, level2.geru, level2.gerc, level2.hemv, level2.hbmv, level2.hpmv),
        *(level2.her, level2.her2, level2.hpr, level2.hpr2, level3.hemm, level3.herk, level3.her2k),
    ),
}
NAMES = {
    id(function): name
    for level in (level1, level2, level3)
    for name, function in vars(level).items()
    if callable(function) and not name.startswith("_") and name not in ("dotu", "geru")
}
NAMES_OF_COMPLEX = {id(level1.dotu): "dotu", id(level2.geru): "geru"}


def _typed() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for letters, functions in OF_LETTERS.items():
        for function in functions:
            name = (NAMES_OF_COMPLEX if letters == "cz" else {}).get(id(function), NAMES[id(function)])
            for letter in letters:
                spelled = SPELLED.get(name, {}).get(letter, letter + name)
                found[spelled] = functools.partial(function, dtype=LETTERS[letter])
    found["csscal"], found["zdscal"] = found["cscal"], found["zscal"]
    found["csrot"], found["zdrot"] = found["crot"], found["zrot"]
    for letter in LETTERS:
        found[f"{letter}rotg"] = level1.rotg
    for letter in "sd":
        found[f"{letter}rotmg"] = level1.rotmg
    return found


ROUTINES = _typed()
"""Name with its letter -> function."""


def get_blas_funcs(names: str | Sequence[str], arrays: Sequence[Any] = (), dtype: Any = None) -> Any:
    """The routine of a name without its letter (a list of them for several), for the type that holds all
    `arrays`, or for `dtype` of NumPy or PyTorch. Raises InvalidValue for names that are not known."""
    if isinstance(dtype, torch.dtype):
        wanted = dtype
    elif dtype is not None:
        wanted = taken(torch.empty(0).numpy().astype(dtype))[0].dtype
    else:
        wanted = torch.float32 if arrays else torch.float64
        for x in arrays:
            given = taken(x, "arrays")[0].dtype
            inexact = given.is_complex or given.is_floating_point
            wanted = torch.promote_types(wanted, given if inexact else torch.float64)
    letter = next((one for one, known in LETTERS.items() if known == wanted), "d")
    found = []
    for name in [names] if isinstance(names, str) else names:
        spelled = SPELLED.get(name, {}).get(letter, letter + name)
        for one in (spelled, f"{letter}{name}u", f"{letter}{name.replace('sy', 'he')}"):
            if one in ROUTINES:
                found.append(ROUTINES[one])
                break
        else:
            raise InvalidValue(f"BLAS function {spelled} could not be found")
    return found[0] if isinstance(names, str) else found
