"""x86-64 processors: the psABI levels v1 to v4 and the cores whose extra instructions matter.

A core is a set of LLVM feature names; the facts in `Target` are derived from the set, so that a
host seen in detail and a core known by its name are described by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..dot_product import DotProduct
from ..emulator import NATIVE, Emulator, qemu_user
from ..instruction_set import Detection, InstructionSet
from ..target import Target

_TRIPLE = "x86_64-unknown-linux-gnu"

_V1 = frozenset({"sse", "sse2", "fxsr", "cx8", "cmov"})
_V2 = _V1 | {"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16", "sahf"}
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_CASCADE_LAKE = _V4 | {"avx512vnni"}
_ICE_LAKE = _CASCADE_LAKE | {
    "avx512ifma",
    "avx512vbmi",
    "avx512vbmi2",
    "avx512bitalg",
    "avx512vpopcntdq",
    "gfni",
    "vaes",
    "vpclmulqdq",
}
_SAPPHIRE_RAPIDS = _ICE_LAKE | {"avx512bf16", "avx512fp16", "avxvnni", "amx-tile", "amx-int8", "amx-bf16"}
_ZNVER4 = _ICE_LAKE | {"avx512bf16"}

FEATURES: dict[str, frozenset[str]] = {
    "x86-64": _V1,
    "x86-64-v2": _V2,
    "x86-64-v3": _V3,
    "x86-64-v4": _V4,
    "haswell": _V3,
    "skylake": _V3,
    "alderlake": _V3 | {"avxvnni", "gfni", "vaes", "vpclmulqdq"},
    "arrowlake-s": _V3 | {"avxvnni", "gfni", "vaes", "vpclmulqdq"},
    "gracemont": _V3 | {"avxvnni", "gfni", "vaes", "vpclmulqdq"},
    "skylake-avx512": _V4,
    "cascadelake": _CASCADE_LAKE,
    "icelake-server": _ICE_LAKE,
    "sapphirerapids": _SAPPHIRE_RAPIDS,
    "graniterapids": _SAPPHIRE_RAPIDS | {"amx-fp16"},
    "znver1": _V3,
    "znver2": _V3,
    "znver3": _V3 | {"vaes", "vpclmulqdq"},
    "znver4": _ZNVER4,
    "znver5": _ZNVER4 | {"avxvnni", "avx512vp2intersect"},
}
"""LLVM cpu name -> the features that code made for it may use."""

_DEPENDENTS: dict[str, tuple[str, ...]] = {
    "avx": ("avx", "amx", "fma", "f16c", "vaes", "vpclmulqdq", "xop"),
    "avx2": ("avx2", "avx5", "avx1", "avxvnni", "avxifma", "avxneconvert", "vaes", "vpclmulqdq"),
    "avx512f": ("avx512", "avx10"),
}
"""Feature -> beginnings of the names of the features that LLVM switches off with it."""


def without(features: Iterable[str], removed: Iterable[str]) -> frozenset[str]:
    """`features` less `removed` and what depends on them."""
    gone = tuple(removed)
    prefixes = tuple(prefix for name in gone for prefix in _DEPENDENTS.get(name, ()))
    return frozenset(name for name in features if name not in gone and not name.startswith(prefixes))


_DOTS = {
    "avx512bf16": DotProduct("bf16", 2, "llvm.x86.avx512bf16.dpbf16ps.512", "bfloat"),
    "avx512vnni": DotProduct("i8", 4, "llvm.x86.avx512.vpdpbusd.512", "i8", unsigned_left=True, words=True),
}
"""Feature -> the instruction for registers of 512 bits that comes with it."""

_BYTE_PAIRS = {
    128: "llvm.x86.ssse3.pmadd.ub.sw.128",
    256: "llvm.x86.avx2.pmadd.ub.sw",
    512: "llvm.x86.avx512.pmaddubs.w.512",
}
_WORD_PAIRS = {
    128: "llvm.x86.sse2.pmadd.wd",
    256: "llvm.x86.avx2.pmadd.wd",
    512: "llvm.x86.avx512.pmaddw.d.512",
}
"""Bits of a vector register -> the instruction that multiplies neighbours and adds two."""

_SYSTEM = "x86_64-linux-musl"
_NATIVE = Emulator(NATIVE, _SYSTEM)

_FULL_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


def describe(
    name: str, cpu: str, features: Iterable[str], *, triple: str = _TRIPLE, feature_text: str = ""
) -> Target:
    """The target with exactly these LLVM features; `feature_text` is passed to LLVM as it is."""
    has = frozenset(features)
    avx512 = has >= _FULL_AVX512
    vector_bits = 512 if avx512 else 256 if "avx2" in has else 128
    # LLVM's models of some server cores prefer 256-bit vectors; ours are as wide as written.
    width_hint = ("-prefer-256-bit",) if avx512 else ()
    return Target(
        name=name,
        isa="x86_64",
        triple=triple,
        cpu=cpu,
        features=",".join(filter(None, (feature_text, *width_hint))),
        vector_bits=vector_bits,
        vector_registers=32 if avx512 else 16,
        fma="fma" in has,
        masked_memory="avx2" in has,
        gather="avx2" in has,
        f16_conversion="f16c" in has,
        scale_by_power=avx512,
        truncating_masked_stores=avx512,
        rounding="llvm.roundeven" if "fma" in has else "",
        table_lookup="llvm.x86.avx512.permvar.sf.512" if avx512 else "",
        dots=tuple(dot for feature, dot in _DOTS.items() if avx512 and feature in has),
        byte_pairs=_BYTE_PAIRS[vector_bits] if "ssse3" in has else "",
        word_pairs=_WORD_PAIRS[vector_bits],
        clock="llvm.readcyclecounter",
        emulator=_NATIVE,
    )


_NO_AVX_VNNI = "this emulator has no AVX-VNNI: code for Haswell, which has the rest, is run"


def _qemu(model: str, runs: str = "", remark: str = "") -> Emulator:
    emulator = qemu_user("x86_64", model, _SYSTEM, remark=remark)
    return replace(emulator, runs=runs, usually_native=True)


_EMULATORS = {
    "x86-64-v3": _qemu("Haswell-noTSX"),
    "haswell": _qemu("Haswell-noTSX"),
    "skylake": _qemu("Skylake-Client-noTSX-IBRS"),
    "znver1": _qemu("EPYC"),
    "znver2": _qemu("EPYC-Rome"),
    **dict.fromkeys(
        ("alderlake", "arrowlake-s", "gracemont"), _qemu("Haswell-noTSX", "haswell", _NO_AVX_VNNI)
    ),
}
"""Target -> QEMU's emulation of it. QEMU has no AVX-512."""


def _core(name: str, features: Iterable[str]) -> Target:
    return replace(describe(name, name, features), emulator=_EMULATORS.get(name, _NATIVE))


INSTRUCTION_SET = InstructionSet(
    "x86_64",
    tuple(_core(name, features) for name, features in FEATURES.items()),
    host=Detection(FEATURES, describe, without),
    other_names=("amd64",),
    program_counter=168,
)
