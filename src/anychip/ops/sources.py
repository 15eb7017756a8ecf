"""Digests of what a measurement of operators depends on besides the chip: their code, the compiler, Triton
and PyTorch. What was measured of other code is not used."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import torch

from ..triton_backend.compiler import compiler_fingerprint

_LIBRARY = Path(__file__).parent


@functools.cache
def digest(domain: str = "") -> str:
    """The digest of a domain of the library, whose operators share kernels, and of everything below it;
    without a domain, of the machineries that all operators share."""
    code = hashlib.sha256(_foundation().encode())
    for file in sorted((_LIBRARY / domain).glob("*.py")) if domain else ():
        code.update(file.name.encode() + file.read_bytes())
    return code.hexdigest()[:16]


@functools.cache
def _foundation() -> str:
    code = hashlib.sha256(compiler_fingerprint().encode())
    code.update(f"{torch.__version__};{version('triton')}".encode())
    shared = (*_LIBRARY.glob("*.py"), *_LIBRARY.glob("launching/*.py"), *_LIBRARY.glob("kernels/*.py"))
    for file in sorted(shared):
        code.update(file.name.encode() + file.read_bytes())
    return code.hexdigest()
