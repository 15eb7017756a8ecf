"""32-bit Arm: Cortex-A with NEON, and Cortex-M microcontrollers without vectors.

NEON on ARMv7 flushes subnormal f32 to zero and has no f64 lanes (LLVM takes those apart).
"""

from __future__ import annotations

from .target import Target

ISA = "arm"
_LINUX = "armv7-unknown-linux-gnueabihf"
_BARE = "thumbv7em-none-eabihf"


def _neon(cpu: str, features: str, *, fma: bool, f16_conversion: bool, int8_dot: bool = False) -> Target:
    return Target(
        name=cpu if features.startswith("+neon") else f"{cpu}-32",
        isa=ISA,
        triple=_LINUX,
        cpu=cpu,
        features=features,
        pointer_bits=32,
        vector_bits=128,
        vector_registers=16,
        fma=fma,
        f16_conversion=f16_conversion,
        int8_dot=int8_dot,
    )


def _microcontroller(cpu: str) -> Target:
    return Target(
        name=cpu,
        isa=ISA,
        triple=_BARE,
        cpu=cpu,
        pointer_bits=32,
        vector_bits=0,
        vector_registers=0,
        fma=True,
        f16_conversion=True,
    )


TARGETS: tuple[Target, ...] = (
    _neon("cortex-a8", "+neon", fma=False, f16_conversion=False),
    _neon("cortex-a9", "+neon,+fp16", fma=False, f16_conversion=True),
    _neon("cortex-a7", "+neon,+vfp4", fma=True, f16_conversion=True),
    _neon("cortex-a15", "+neon,+vfp4", fma=True, f16_conversion=True),
    _microcontroller("cortex-m4"),
    _microcontroller("cortex-m7"),
)
