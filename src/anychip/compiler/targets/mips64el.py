"""Little-endian 64-bit MIPS: release 6 with the MSA vector unit, and release 2 without vectors.

Release 2's `madd` rounds once or twice depending on the core, so LLVM is kept from using it. LLVM 22
aborts on conversions and arithmetic of f16 vectors with MSA: they must be taken apart into integers.
"""

from __future__ import annotations

from .target import Target

ISA = "mips64el"
TRIPLE = "mips64el-unknown-linux-gnuabi64"


def _core(name: str, cpu: str, features: str, vector_bits: int) -> Target:
    return Target(
        name=name,
        isa=ISA,
        triple=TRIPLE,
        cpu=cpu,
        features=features,
        abi="n64",
        vector_bits=vector_bits,
        vector_registers=32 if vector_bits else 0,
        fma=vector_bits > 0,
    )


TARGETS: tuple[Target, ...] = (
    _core("mips64r2", "mips64r2", "+nomadd4", 0),
    _core("mips64r6-msa", "mips64r6", "+msa,+fp64", 128),
)
