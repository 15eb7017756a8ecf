"""Little-endian 64-bit MIPS, release 2, without vectors.

Release 2's `madd` rounds once or twice depending on the core, so LLVM is kept from using it. The vector unit
MSA is left unused: LLVM 22 takes `fmax_a x, x` for |x|, which keeps the sign (|x|, floor, exp, log and what
is made of them came out wrong on an emulated 3A4000), and it selects nothing for vectors of f16.
"""

from __future__ import annotations

from ..emulator import qemu_user
from ..instruction_set import InstructionSet
from ..target import Target

_NO_MSA = "cores with MSA run code without it, which LLVM would compile wrongly"

INSTRUCTION_SET = InstructionSet(
    "mips64el",
    (
        Target(
            name="mips64r2",
            isa="mips64el",
            triple="mips64el-unknown-linux-gnuabi64",
            cpu="mips64r2",
            features="+nomadd4",
            abi="n64",
            vector_bits=0,
            vector_registers=0,
            fma=False,
            emulator=qemu_user("mips64el", "MIPS64R2-generic", "mips64el-linux-muslabi64", remark=_NO_MSA),
        ),
    ),
)
