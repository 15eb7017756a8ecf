"""Little-endian POWER: VSX vectors of 128 bits in 64 registers."""

from __future__ import annotations

from .target import Target

ISA = "ppc64le"
TRIPLE = "powerpc64le-unknown-linux-gnu"


def _core(name: str, cpu: str, *, f16_conversion: bool) -> Target:
    return Target(
        name=name,
        isa=ISA,
        triple=TRIPLE,
        cpu=cpu,
        vector_bits=128,
        vector_registers=64,
        fma=True,
        f16_conversion=f16_conversion,
    )


TARGETS: tuple[Target, ...] = (
    _core("power8", "pwr8", f16_conversion=False),
    _core("power9", "pwr9", f16_conversion=True),
    _core("power10", "pwr10", f16_conversion=True),
)
