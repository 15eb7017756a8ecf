"""How much shared memory (LDS on AMD) one workgroup of a GPU may take. Triton looks at the limit only when a
kernel is loaded, which happens on no machine without that GPU, so what is compiled here is held to it here.

Sources: NVIDIA, CUDA C++ Programming Guide, technical specifications per compute capability; AMD, instruction
set architecture guides of CDNA and RDNA.
"""

from __future__ import annotations

from .errors import OutOfSharedMemory
from .records import StockTarget

_KIB = 1024
_NVIDIA: dict[int, int] = {
    60: 48,
    61: 48,
    70: 96,
    75: 64,
    80: 163,
    86: 99,
    87: 163,
    89: 99,
    90: 227,
    100: 227,
    103: 227,
    110: 227,
    120: 99,
    121: 99,
}
_AMD: dict[str, int] = {"gfx950": 160}
_AMD_OTHERS = 64


def limit_of(target: StockTarget) -> int | None:
    """Bytes that one workgroup may take; None where it is not known here."""
    if isinstance(target.architecture, str):
        return _AMD.get(target.architecture, _AMD_OTHERS) * _KIB
    known = _NVIDIA.get(target.architecture)
    return None if known is None else known * _KIB


def require_room(kernel: str, taken: int, target: StockTarget) -> None:
    """Raises OutOfSharedMemory where a kernel takes more bytes than a workgroup may have."""
    limit = limit_of(target)
    if limit is not None and taken > limit:
        raise OutOfSharedMemory(kernel, taken, limit, target.name)
