"""Instructions that multiply and add several neighbouring small numbers into one wide lane.

A row says how operands must be packed for one instruction of an ISA: how many neighbours along
the inner dimension make a lane, and whether the left operand is unsigned.
"""

from __future__ import annotations

from dataclasses import dataclass

from .target import Target


@dataclass(frozen=True, slots=True)
class DotProduct:
    """`group` neighbours of `element` ("bf16", "i8") times as many others, added to one lane of
    32 bits. `unsigned_left`: the left operand counts from 0 to 255."""

    element: str
    group: int
    unsigned_left: bool = False


_ROWS: dict[tuple[str, str], DotProduct] = {
    ("x86_64", "bf16"): DotProduct("bf16", 2),
    ("x86_64", "i8"): DotProduct("i8", 4, unsigned_left=True),
    ("aarch64", "bf16"): DotProduct("bf16", 2),
    ("aarch64", "i8"): DotProduct("i8", 4),
}


def dot_product(target: Target, element: str) -> DotProduct | None:
    """The instruction of `target` for products of `element`; None when it has none."""
    has = {"bf16": target.bf16_dot, "i8": target.int8_dot}.get(element, False)
    return _ROWS.get((target.isa, element)) if has and target.vector_bits in (128, 512) else None
