"""Instructions that multiply several neighbouring small numbers and add them to one wide lane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DotProduct:
    """`group` neighbours of `element` ("bf16", "i8") times as many others, added to one lane of 32 bits
    (f32, or i32 for integers).

    `intrinsic` is LLVM's function for a whole register of the target, and `factor` the LLVM element type of
    its factors. `unsigned_left`: the left operand counts from 0 to 255. `words`: versions of LLVM without
    `byte_factors` take the factors as words, a group in each.
    """

    element: str
    group: int
    intrinsic: str
    factor: str
    unsigned_left: bool = False
    words: bool = False
