"""LLVM types and values as the text builder sees them."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.types import ElementType, PointerType

REGISTER_TYPES = {
    "f32": "float",
    "f64": "double",
    "f16": "half",
    "bf16": "i16",
    "f8E5M2": "i8",
    "f8E4M3FN": "i8",
    "f8E5M2FNUZ": "i8",
    "f8E4M3FNUZ": "i8",
    "f8E4M3B11FNUZ": "i8",
}
"""How an element is held in a register. bf16 and fp8 are bit patterns: the compiler converts
them itself, so that every target rounds alike and none needs the type."""


@dataclass(frozen=True, slots=True)
class LLType:
    """An LLVM first-class type: `element` (`"float"`, `"i32"`, `"ptr"`), and `lanes` (1: scalar)."""

    element: str
    lanes: int = 1

    def __str__(self) -> str:
        return self.element if self.lanes == 1 else f"<{self.lanes} x {self.element}>"

    def with_lanes(self, lanes: int) -> LLType:
        return LLType(self.element, lanes)

    @property
    def is_float(self) -> bool:
        return self.element in ("float", "double", "half")

    @property
    def bits(self) -> int:
        return ELEMENT_BITS[self.element]


ELEMENT_BITS = {
    "i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "i128": 128,
    "half": 16, "float": 32, "double": 64, "ptr": 64,
}  # fmt: skip


class Val:
    """An SSA value or constant of the function being built: its text and its type."""

    __slots__ = ("ref", "type")

    def __init__(self, ref: str, type: LLType):
        self.ref = ref
        self.type = type

    @property
    def lanes(self) -> int:
        return self.type.lanes

    @property
    def is_constant(self) -> bool:
        return self.ref[0] not in "%@"

    @property
    def constant_int(self) -> int | None:
        """The value of a scalar integer constant, else None."""
        if self.type.lanes == 1 and self.type.element[0] == "i" and self.is_constant:
            try:
                return int(self.ref)
            except ValueError:
                return {"true": 1, "false": 0}.get(self.ref)
        return None

    def __str__(self) -> str:
        return f"{self.type} {self.ref}"


def register_type(element: ElementType, lanes: int = 1) -> LLType:
    """The LLVM type that holds `lanes` elements of a tile IR element type in a register."""
    if isinstance(element, PointerType):
        return LLType("ptr", lanes)
    return LLType(REGISTER_TYPES.get(element.name, element.name), lanes)
