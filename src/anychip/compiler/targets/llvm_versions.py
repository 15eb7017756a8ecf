"""What the versions of LLVM that llvmlite 0.47 to 0.50 bring do differently, one row for each. Asked once.

Flows in: nothing. Flows out: the row of the LLVM that this process has.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LLVMVersion:
    """Facts about one major version of LLVM.

    `vector_ldexp`: a vector `llvm.ldexp` becomes an instruction where x86 has one; else calls of the C
    library, lane by lane. `byte_factors`: the factors of x86's byte products are vectors of bytes; else of
    words.
    """

    major: int
    vector_ldexp: bool = True
    byte_factors: bool = True


_VERSIONS = (
    LLVMVersion(20, vector_ldexp=False, byte_factors=False),
    LLVMVersion(22),
)
"""llvmlite 0.47 has LLVM 20; 0.48, 0.49 and 0.50 have LLVM 22."""


def of(major: int) -> LLVMVersion:
    """The row of a major version: its own, or that of the nearest older one that was tried."""
    older = [row for row in _VERSIONS if row.major <= major]
    return older[-1] if older else _VERSIONS[0]


@functools.cache
def installed() -> LLVMVersion:
    """The row of the LLVM that this process has."""
    from llvmlite import binding

    return of(binding.llvm_version_info[0])


def installed_text() -> str:
    """Such as "22.1.0", for keys of caches."""
    from llvmlite import binding

    return ".".join(map(str, binding.llvm_version_info))
