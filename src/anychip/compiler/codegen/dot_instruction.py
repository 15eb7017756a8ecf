"""LLVM's intrinsics for dot-product instructions, one row for each ISA and element."""

from __future__ import annotations

from dataclasses import dataclass

from ..llvm.builder import Builder
from ..llvm.types import LLType, Val
from ..targets import llvm_versions
from ..targets.dot_products import DotProduct
from ..targets.target import Target


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """The name of the intrinsic and the LLVM element type of its factors. `packed`: versions of LLVM without
    `byte_factors` take them as words, a group in each."""

    name: str
    factor: str
    packed: bool = False

    def factors(self, lanes: int, group: int) -> LLType:
        """The type of factors that add a group to each of `lanes` lanes of 32 bits."""
        if self.packed and not llvm_versions.installed().byte_factors:
            return LLType("i32", lanes)
        return LLType(self.factor, lanes * group)


_INTRINSICS: dict[tuple[str, int, str], Intrinsic] = {
    ("x86_64", 512, "bf16"): Intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", "bfloat"),
    ("x86_64", 512, "i8"): Intrinsic("llvm.x86.avx512.vpdpbusd.512", "i8", packed=True),
    ("aarch64", 128, "bf16"): Intrinsic("llvm.aarch64.neon.bfdot.v4f32.v8bf16", "bfloat"),
    ("aarch64", 128, "i8"): Intrinsic("llvm.aarch64.neon.sdot.v4i32.v16i8", "i8"),
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """A dot-product instruction as code generation uses it; see `targets.dot_products`."""

    intrinsic: Intrinsic
    group: int
    unsigned_left: bool

    def emit(self, b: Builder, total: Val, left: Val, right: Val) -> Val:
        """total + left . right; the factors hold a group for each lane."""
        factor = self.intrinsic.factors(total.lanes, self.group)
        x, y = (b.raw(factor, f"bitcast {v} to {factor}") for v in (left, right))
        return b.call(self.intrinsic.name, total.type, [total, x, y])


def instruction(target: Target, wanted: DotProduct | None) -> Instruction | None:
    """The intrinsic for a dot product that the schedule packed operands for."""
    if wanted is None:
        return None
    intrinsic = _INTRINSICS[target.isa, target.vector_bits, wanted.element]
    return Instruction(intrinsic, wanted.group, wanted.unsigned_left)
