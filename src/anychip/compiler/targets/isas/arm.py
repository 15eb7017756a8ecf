"""32-bit Arm: Cortex-A with NEON, Cortex-M microcontrollers without vectors, and Cortex-M55 with Helium.

NEON on ARMv7 flushes subnormal f32 to zero and has no f64 lanes (LLVM takes those apart).
"""

from __future__ import annotations

from ..emulator import Emulator, qemu_user, sister
from ..instruction_set import InstructionSet
from ..target import Target

_LINUX = "armv7-unknown-linux-gnueabihf"
_BARE = "thumbv7em-unknown-none-eabihf"
_BARE_MAIN = "thumbv8m.main-unknown-none-eabihf"
_BARE_HELIUM = "thumbv8.1m.main-unknown-none-eabihf"


def _neon(cpu: str, features: str, model: str, *, fma: bool, f16_conversion: bool) -> Target:
    return Target(
        name=cpu,
        isa="arm",
        triple=_LINUX,
        cpu=cpu,
        features=features,
        pointer_bits=32,
        vector_bits=128,
        vector_registers=16,
        fma=fma,
        f16_conversion=f16_conversion,
        emulator=qemu_user("arm", model, "arm-linux-musleabihf"),
    )


MICROCONTROLLER_CACHE = 1 << 13
"""These have little memory in all: what can be packed again is not kept."""


def _board(model: str, machine: str, linked_for: str, remark: str = "") -> Emulator:
    """QEMU's board with a core model; `linked_for` is zig's name for the core."""
    return Emulator(
        "qemu-system",
        "thumb-freestanding-eabihf",
        "arm",
        model,
        (f"-mcpu={linked_for}",),
        machine,
        remark,
    )


def _microcontroller(
    cpu: str, emulator: Emulator | None, *, triple: str = _BARE, vector_bits: int = 0, f64: bool = True
) -> Target:
    return Target(
        name=cpu,
        isa="arm",
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
        emulator=emulator,
    )


_M55 = ("cortex-m55", "mps3-an547", "cortex_m55+fp_armv8d16")

INSTRUCTION_SET = InstructionSet(
    "arm",
    (
        _neon("cortex-a8", "+neon", "cortex-a8", fma=False, f16_conversion=False),
        _neon("cortex-a9", "+neon,+fp16", "cortex-a9", fma=False, f16_conversion=True),
        _neon("cortex-a7", "+neon,+vfp4", "cortex-a7", fma=True, f16_conversion=True),
        _neon("cortex-a15", "+neon,+vfp4", "cortex-a15", fma=True, f16_conversion=True),
        _neon("cortex-a32", "+neon,+vfp4", "max", fma=True, f16_conversion=True),
        _microcontroller("cortex-m4", _board("cortex-m4", "mps2-an386", "cortex_m4+vfp4d16sp"), f64=False),
        _microcontroller("cortex-m7", _board("cortex-m7", "mps2-an500", "cortex_m7+fp_armv8d16")),
        _microcontroller("cortex-m33", None, triple=_BARE_MAIN, f64=False),
        _microcontroller("cortex-m55", _board(*_M55), triple=_BARE_HELIUM, vector_bits=128),
        _microcontroller(
            "cortex-m85", _board(*_M55, sister("Cortex-M55")), triple=_BARE_HELIUM, vector_bits=128
        ),
    ),
    llvm_options=("-enable-arm-maskedgatscat=false",),
)
"""LLVM's pass that forms gathers for Cortex-M55 scales the counter of a loop and leaves the loop's last
comparison as it was, so that the loop does not end (LLVM 22)."""
