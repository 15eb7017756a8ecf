"""Digests of what a choice depends on besides the chip: the operator's code, the compiler, PyTorch. A
choice whose digest has changed since it was measured is not used."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import torch

from ... import ops
from ...ops.registry import Operator
from ...triton_backend.compiler import compiler_fingerprint

_LIBRARY = Path(next(iter(ops.__path__)))


def digest(operator: Operator) -> str:
    """The digest of an operator of the library: of the files of its domain, in which operators share
    kernels, and of everything below."""
    return _of_domain(operator.domain)


@functools.cache
def _of_domain(domain: str) -> str:
    code = hashlib.sha256(_foundation().encode())
    for file in sorted((_LIBRARY / domain).glob("*.py")):
        code.update(file.name.encode() + file.read_bytes())
    return code.hexdigest()[:16]


@functools.cache
def _foundation() -> str:
    """The machineries that operators of all domains share, the compiler, Triton and PyTorch."""
    code = hashlib.sha256(compiler_fingerprint().encode())
    code.update(f"{torch.__version__};{version('triton')}".encode())
    for file in sorted(_LIBRARY.glob("*.py")):
        code.update(file.name.encode() + file.read_bytes())
    return code.hexdigest()
