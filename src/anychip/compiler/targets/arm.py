"""32-bit Arm: Cortex-A with NEON, Cortex-M microcontrollers without vectors, and Cortex-M55 with Helium.

NEON on ARMv7 flushes subnormal f32 to zero and has no f64 lanes (LLVM takes those apart).
"""

from __future__ import annotations

from .target import Target

ISA = "arm"
_LINUX = "armv7-unknown-linux-gnueabihf"
_BARE = "thumbv7em-unknown-none-eabihf"
_BARE_MAIN = "thumbv8m.main-unknown-none-eabihf"
_BARE_HELIUM = "thumbv8.1m.main-unknown-none-eabihf"


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


MICROCONTROLLER_CACHE = 1 << 13
"""These have little memory in all: what can be packed again is not kept."""


def _microcontroller(cpu: str, *, triple: str = _BARE, vector_bits: int = 0, f64: bool = True) -> Target:
    return Target(
        name=cpu,
        isa=ISA,
        triple=triple,
        cpu=cpu,
        pointer_bits=32,
        vector_bits=vector_bits,
        vector_registers=8 if vector_bits else 0,
        fma=True,
        f16_conversion=True,
        wrong_nan_tests=vector_bits > 0,
        f64=f64,
        cache_bytes=MICROCONTROLLER_CACHE,
    )


TARGETS: tuple[Target, ...] = (
    _neon("cortex-a8", "+neon", fma=False, f16_conversion=False),
    _neon("cortex-a9", "+neon,+fp16", fma=False, f16_conversion=True),
    _neon("cortex-a7", "+neon,+vfp4", fma=True, f16_conversion=True),
    _neon("cortex-a15", "+neon,+vfp4", fma=True, f16_conversion=True),
    _neon("cortex-a32", "+neon,+vfp4", fma=True, f16_conversion=True),
    _microcontroller("cortex-m4", f64=False),
    _microcontroller("cortex-m7"),
    _microcontroller("cortex-m33", triple=_BARE_MAIN, f64=False),
    _microcontroller("cortex-m55", triple=_BARE_HELIUM, vector_bits=128),
    _microcontroller("cortex-m85", triple=_BARE_HELIUM, vector_bits=128),
)
