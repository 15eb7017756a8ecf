"""Dot-product instructions as LLVM IR: a call of the intrinsic that the target names."""

from __future__ import annotations

from ..llvm.builder import Builder
from ..llvm.types import LLType, Val
from ..targets import llvm_versions
from ..targets.dot_product import DotProduct


def factor_type(dot: DotProduct, lanes: int) -> LLType:
    """The type of factors that hold a group for each of `lanes` lanes of 32 bits."""
    if dot.words and not llvm_versions.installed().byte_factors:
        return LLType("i32", lanes)
    return LLType(dot.factor, lanes * dot.group)


def emit_dot_product(b: Builder, dot: DotProduct, total: Val, left: Val, right: Val) -> Val:
    """total + left . right; the factors hold a group for each lane, in vectors of any type."""
    factor = factor_type(dot, total.lanes)
    x, y = (b.raw(factor, f"bitcast {v} to {factor}") for v in (left, right))
    return b.call(dot.intrinsic, total.type, [total, x, y])
