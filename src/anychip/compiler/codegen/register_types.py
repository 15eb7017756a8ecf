"""How elements of tile IR are held in registers of LLVM's."""

from __future__ import annotations

from ..ir.types import ElementType, PointerType
from ..llvm.types import LLType

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


def register_type(element: ElementType, lanes: int = 1) -> LLType:
    """The LLVM type that holds `lanes` elements of a tile IR element type in a register."""
    if isinstance(element, PointerType):
        return LLType("ptr", lanes)
    return LLType(REGISTER_TYPES.get(element.name, element.name), lanes)
