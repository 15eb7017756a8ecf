"""IBM Z, big-endian. z13 has vectors of integers and f64; f32 lanes begin with z14."""

from __future__ import annotations

from .target import Target

ISA = "s390x"
TRIPLE = "s390x-unknown-linux-gnu"


def _core(cpu: str) -> Target:
    return Target(
        name=cpu,
        isa=ISA,
        triple=TRIPLE,
        cpu=cpu,
        vector_bits=128,
        vector_registers=32,
        fma=True,
        big_endian=True,
    )


TARGETS: tuple[Target, ...] = tuple(map(_core, ("z13", "z14", "z15", "z16")))
