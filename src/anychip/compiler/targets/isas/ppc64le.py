"""Little-endian POWER: VSX vectors of 128 bits in 64 registers."""

from __future__ import annotations

from ..emulator import qemu_user
from ..instruction_set import InstructionSet
from ..target import Target


def _core(name: str, cpu: str, *, f16_conversion: bool) -> Target:
    return Target(
        name=name,
        isa="ppc64le",
        triple="powerpc64le-unknown-linux-gnu",
        cpu=cpu,
        vector_bits=128,
        vector_registers=64,
        fma=True,
        f16_conversion=f16_conversion,
        rounding="llvm.rint",
        emulator=qemu_user("ppc64le", name, "powerpc64le-linux-musl"),
    )


_BASELINE = _core("power8", "pwr8", f16_conversion=False)

INSTRUCTION_SET = InstructionSet(
    "ppc64le",
    (
        _BASELINE,
        _core("power9", "pwr9", f16_conversion=True),
        _core("power10", "pwr10", f16_conversion=True),
    ),
    host=_BASELINE,
    other_names=("powerpc64le",),
)
