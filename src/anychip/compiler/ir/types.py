"""Types of the tile IR: scalars, pointers and statically shaped tiles.

They mirror the types that TTIR prints. Types are immutable values: equal types compare
equal and can be dictionary keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScalarType:
    """An integer or floating-point element type.

    `kind` is `"int"` or `"float"`; `bits` is the width of the value in memory. Integers carry
    no sign: the operation decides, as in TTIR.
    """

    name: str
    bits: int
    kind: str

    @property
    def bytes(self) -> int:
        """Size in memory; `i1` occupies one byte."""
        return max(1, self.bits // 8)

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point type."""
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer type, truth values included."""
        return self.kind == "int"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PointerType:
    """An address of elements of `pointee` (a `ScalarType`, or again a `PointerType`)."""

    pointee: ScalarType | PointerType
    address_space: int = 1

    bits = 64
    bytes = 8
    is_float = False
    is_integer = False

    def __str__(self) -> str:
        return f"!tt.ptr<{self.pointee}>"


ElementType = ScalarType | PointerType


@dataclass(frozen=True, slots=True)
class TileType:
    """A tile: `shape` of powers of two, row-major by convention, of one element type."""

    shape: tuple[int, ...]
    element: ElementType

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __str__(self) -> str:
        return f"tensor<{'x'.join([*map(str, self.shape), str(self.element)])}>"


Type = ScalarType | PointerType | TileType

I1 = ScalarType("i1", 1, "int")
I8 = ScalarType("i8", 8, "int")
I16 = ScalarType("i16", 16, "int")
I32 = ScalarType("i32", 32, "int")
I64 = ScalarType("i64", 64, "int")
F16 = ScalarType("f16", 16, "float")
BF16 = ScalarType("bf16", 16, "float")
F32 = ScalarType("f32", 32, "float")
F64 = ScalarType("f64", 64, "float")
F8E5M2 = ScalarType("f8E5M2", 8, "float")
F8E4M3FN = ScalarType("f8E4M3FN", 8, "float")
F8E5M2FNUZ = ScalarType("f8E5M2FNUZ", 8, "float")
F8E4M3FNUZ = ScalarType("f8E4M3FNUZ", 8, "float")
F8E4M3B11FNUZ = ScalarType("f8E4M3B11FNUZ", 8, "float")

SCALAR_TYPES: dict[str, ScalarType] = {
    t.name: t
    for t in (
        I1,
        I8,
        I16,
        I32,
        I64,
        F16,
        BF16,
        F32,
        F64,
        F8E5M2,
        F8E4M3FN,
        F8E5M2FNUZ,
        F8E4M3FNUZ,
        F8E4M3B11FNUZ,
    )
}
"""Every scalar type by the name that TTIR prints; `index` is read as `i64`."""


def element_of(type: Type) -> ElementType:
    """The element type of a tile; a scalar or pointer type is its own element."""
    return type.element if isinstance(type, TileType) else type


def shape_of(type: Type) -> tuple[int, ...]:
    """The shape of a tile; `()` for scalars and pointers."""
    return type.shape if isinstance(type, TileType) else ()


def with_shape(shape: tuple[int, ...], element: ElementType) -> Type:
    """The type of `element`s in `shape`; the element itself for the empty shape."""
    return TileType(shape, element) if shape else element
