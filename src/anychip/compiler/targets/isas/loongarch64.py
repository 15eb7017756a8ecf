"""LoongArch: the LASX cores (256 bits), LSX alone (128 bits), and a baseline without vectors."""

from __future__ import annotations

from dataclasses import replace

from ..emulator import qemu_user
from ..instruction_set import InstructionSet
from ..target import Target

_EMULATOR = qemu_user(
    "loongarch64", "la464-loongarch-cpu", "loongarch64-linux-musl", "-mcpu=generic_la64+d+f"
)
_SCALAR = replace(
    _EMULATOR,
    runs="loongarch64",
    remark="this emulator has no LSX or LASX: the vector form is compiled, the scalar form is run",
)


def _core(name: str, cpu: str, features: str, vector_bits: int) -> Target:
    return Target(
        name=name,
        isa="loongarch64",
        triple="loongarch64-unknown-linux-gnu",
        cpu=cpu,
        features=features,
        abi="lp64d",
        vector_bits=vector_bits,
        vector_registers=32 if vector_bits else 0,
        fma=True,
        emulator=_SCALAR if vector_bits else _EMULATOR,
    )


_BASELINE = _core("loongarch64", "generic-la64", "+d,-lsx,-lasx", 0)

INSTRUCTION_SET = InstructionSet(
    "loongarch64",
    (
        _BASELINE,
        _core("loongarch64-lsx", "generic-la64", "+d,+lsx,-lasx", 128),
        _core("la464", "la464", "+d,+lsx,+lasx", 256),
        _core("la664", "la664", "+d,+lsx,+lasx", 256),
    ),
    host=_BASELINE,
)
