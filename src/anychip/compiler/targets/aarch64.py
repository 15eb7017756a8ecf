"""64-bit Arm cores. Vectors are NEON's 128 bits on all of them; the names that end in `-sve` use
scalable registers, whose length is then part of the target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .target import Target

ISA = "aarch64"
TRIPLE = "aarch64-unknown-linux-gnu"

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

_NAMES = {"generic": "aarch64"}
_TRIPLES = {"apple": "arm64-apple-macosx11.0.0"}


def without(features: Iterable[str], removed: Iterable[str]) -> frozenset[str]:
    """`features` less `removed`."""
    return frozenset(features) - frozenset(removed)


def describe(
    name: str, cpu: str, features: Iterable[str], *, triple: str = TRIPLE, feature_text: str = ""
) -> Target:
    """The target with these LLVM features; NEON, fused multiply-add and f16 conversion are in all."""
    has = frozenset(features)
    return Target(
        name=name,
        isa=ISA,
        triple=triple,
        cpu=cpu,
        features=feature_text,
        vector_bits=128,
        vector_registers=32,
        fma=True,
        f16_conversion=True,
        bf16_dot="bf16" in has,
        int8_dot="dotprod" in has,
    )


SCALABLE_BITS: dict[str, int] = {"neoverse-v1": 256, "neoverse-v2": 128, "a64fx": 512}
"""LLVM cpu name -> bits of its scalable vector registers."""


def _scalable(target: Target) -> Target:
    """The same core with vectors in scalable registers."""
    bits = SCALABLE_BITS[target.cpu]
    return replace(
        target,
        name=f"{target.name}-sve",
        vector_bits=bits,
        scalable_bits=bits,
        masked_memory=True,
        gather=True,
        bf16_dot=False,
        int8_dot=False,
    )


_FIXED = tuple(
    describe(_NAMES.get(cpu, cpu), cpu, features, triple=_TRIPLES.get(cpu.split("-")[0], TRIPLE))
    for cpu, features in FEATURES.items()
)

TARGETS: tuple[Target, ...] = (
    *_FIXED,
    *(_scalable(target) for target in _FIXED if target.cpu in SCALABLE_BITS),
)
