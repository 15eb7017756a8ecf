"""64-bit Arm cores. Vectors are NEON's 128 bits on all of them; the names that end in `-sve` use
scalable registers, whose length is then part of the target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..dot_product import DotProduct
from ..emulator import Emulator, qemu_user, sister
from ..instruction_set import Detection, InstructionSet
from ..target import Target

_TRIPLE = "aarch64-unknown-linux-gnu"

_V8 = frozenset({"neon", "fp-armv8"})
_V82 = _V8 | {"dotprod", "fullfp16"}
_V86 = _V82 | {"bf16", "i8mm"}

FEATURES: dict[str, frozenset[str]] = {
    "generic": _V8,
    "cortex-a35": _V8,
    "cortex-a53": _V8,
    "cortex-a55": _V82,
    "cortex-a57": _V8,
    "cortex-a72": _V8,
    "cortex-a73": _V8,
    "cortex-a76": _V82,
    "cortex-a78": _V82,
    "cortex-a78ae": _V82,
    "cortex-x1": _V82,
    "cortex-a510": _V86,
    "cortex-a520": _V86,
    "cortex-a715": _V86,
    "cortex-a720": _V86,
    "cortex-x3": _V86,
    "cortex-x4": _V86,
    "neoverse-n1": _V82,
    "neoverse-n2": _V86,
    "neoverse-v1": _V86,
    "neoverse-v2": _V86,
    "neoverse-v3ae": _V86,
    "ampere1": _V86,
    "tsv110": _V82,
    "thunderx2t99": _V8,
    "a64fx": _V8 | {"fullfp16"},
    "apple-m1": _V82,
    "apple-m2": _V86,
    "apple-m4": _V86,
}
"""LLVM cpu name -> the features that code made for it may use."""

_DOTS = {
    "bf16": DotProduct("bf16", 2, "llvm.aarch64.neon.bfdot.v4f32.v8bf16", "bfloat"),
    "dotprod": DotProduct("i8", 4, "llvm.aarch64.neon.sdot.v4i32.v16i8", "i8"),
}
"""Feature -> the instruction that comes with it."""

_QEMU = {
    "aarch64": "cortex-a53",
    "cortex-a35": "cortex-a35",
    "cortex-a53": "cortex-a53",
    "cortex-a55": "max",
    "cortex-a57": "cortex-a57",
    "cortex-a72": "cortex-a72",
    "cortex-a73": "cortex-a72",
    "cortex-a76": "cortex-a76",
    "cortex-a78": "max,sve=off",
    "cortex-a78ae": "max,sve=off",
    "cortex-x1": "max,sve=off",
    "cortex-a510": "max,sve128=on",
    "cortex-a520": "max,sve128=on",
    "cortex-a715": "max,sve128=on",
    "cortex-a720": "max,sve128=on",
    "cortex-x3": "max,sve128=on",
    "cortex-x4": "max,sve128=on",
    "neoverse-n1": "neoverse-n1",
    "neoverse-n2": "max,sve128=on",
    "neoverse-v1": "max,sve256=on",
    "neoverse-v2": "max,sve128=on",
    "neoverse-v3ae": "max,sve128=on",
    "ampere1": "max,sve=off",
    "tsv110": "max,sve=off",
    "thunderx2t99": "max,sve=off",
    "a64fx": "a64fx",
}
"""Target -> QEMU's core model."""

_REMARKS = {"cortex-a73": sister("Cortex-A72")}
_NAMES = {"generic": "aarch64"}
_TRIPLES = {"apple": "arm64-apple-macosx11.0.0"}


def without(features: Iterable[str], removed: Iterable[str]) -> frozenset[str]:
    """`features` less `removed`."""
    return frozenset(features) - frozenset(removed)


def describe(
    name: str, cpu: str, features: Iterable[str], *, triple: str = _TRIPLE, feature_text: str = ""
) -> Target:
    """The target with these LLVM features; NEON, fused multiply-add and f16 conversion are in all."""
    has = frozenset(features)
    return Target(
        name=name,
        isa="aarch64",
        triple=triple,
        cpu=cpu,
        features=feature_text,
        vector_bits=128,
        vector_registers=32,
        fma=True,
        f16_conversion=True,
        rounding="llvm.rint",
        dots=tuple(dot for feature, dot in _DOTS.items() if feature in has),
    )


def _emulator(name: str) -> Emulator | None:
    if name not in _QEMU:
        return None
    return qemu_user("aarch64", _QEMU[name], "aarch64-linux-musl", remark=_REMARKS.get(name, ""))


def _fixed(cpu: str, features: Iterable[str]) -> Target:
    """A core with vectors of 128 bits."""
    name = _NAMES.get(cpu, cpu)
    target = describe(name, cpu, features, triple=_TRIPLES.get(cpu.split("-")[0], _TRIPLE))
    return replace(target, emulator=_emulator(name))


_SCALABLE_BITS = {"neoverse-v1": 256, "neoverse-v2": 128, "a64fx": 512}
"""LLVM cpu name -> bits of its scalable vector registers."""


def _scalable(target: Target, bits: int) -> Target:
    """The same core with vectors in scalable registers of this length."""
    return replace(
        target,
        name=f"{target.name}-sve",
        vector_bits=bits,
        scalable_bits=bits,
        masked_memory=True,
        gather=True,
        dots=(),
    )


_FIXED = {cpu: _fixed(cpu, features) for cpu, features in FEATURES.items()}

INSTRUCTION_SET = InstructionSet(
    "aarch64",
    (*_FIXED.values(), *(_scalable(_FIXED[cpu], bits) for cpu, bits in _SCALABLE_BITS.items())),
    host=Detection(FEATURES, describe, without),
    other_names=("arm64",),
    program_counter=440,
)
