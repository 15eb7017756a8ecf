"""LoongArch: the LASX cores (256 bits), LSX alone (128 bits), and a baseline without vectors."""

from __future__ import annotations

from .target import Target

ISA = "loongarch64"
TRIPLE = "loongarch64-unknown-linux-gnu"


def _core(name: str, cpu: str, features: str, vector_bits: int) -> Target:
    return Target(
        name=name,
        isa=ISA,
        triple=TRIPLE,
        cpu=cpu,
        features=features,
        abi="lp64d",
        vector_bits=vector_bits,
        vector_registers=32 if vector_bits else 0,
        fma=True,
    )


TARGETS: tuple[Target, ...] = (
    _core("loongarch64", "generic-la64", "+d,-lsx,-lasx", 0),
    _core("loongarch64-lsx", "generic-la64", "+d,+lsx,-lasx", 128),
    _core("la464", "la464", "+d,+lsx,+lasx", 256),
    _core("la664", "la664", "+d,+lsx,+lasx", 256),
)
