"""IBM Z, big-endian. z13 has vectors of integers and f64; f32 lanes begin with z14."""

from __future__ import annotations

from ..emulator import qemu_user
from ..instruction_set import InstructionSet
from ..target import Target


def _core(cpu: str) -> Target:
    return Target(
        name=cpu,
        isa="s390x",
        triple="s390x-unknown-linux-gnu",
        cpu=cpu,
        vector_bits=128,
        vector_registers=32,
        fma=True,
        big_endian=True,
        rounding="llvm.rint",
        half_from=22,
        jitlink_from=22,
        emulator=qemu_user("s390x", "max", "s390x-linux-musl"),
    )


_TARGETS = tuple(map(_core, ("z13", "z14", "z15", "z16")))

INSTRUCTION_SET = InstructionSet("s390x", _TARGETS, host=_TARGETS[0], other_names=("systemz",))
