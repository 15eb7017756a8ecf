"""Little-endian 64-bit MIPS, release 2, without vectors.

Release 2's `madd` rounds once or twice depending on the core, so LLVM is kept from using it. The vector unit
MSA is left unused: LLVM 22 takes `fmax_a x, x` for |x|, which keeps the sign (|x|, floor, exp, log and what
is made of them came out wrong on an emulated 3A4000), and it selects nothing for vectors of f16.
"""

from __future__ import annotations

from .target import Target

ISA = "mips64el"
TRIPLE = "mips64el-unknown-linux-gnuabi64"


def _core(name: str, cpu: str, features: str) -> Target:
    return Target(
        name=name,
        isa=ISA,
        triple=TRIPLE,
        cpu=cpu,
        features=features,
        abi="n64",
        vector_bits=0,
        vector_registers=0,
        fma=False,
    )


TARGETS: tuple[Target, ...] = (_core("mips64r2", "mips64r2", "+nomadd4"),)
