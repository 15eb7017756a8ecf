"""LLVM's types, and values of them, as the text builder sees them."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENT_BITS = {
    "i1": 1,
    "i8": 8,
    "i16": 16,
    "i32": 32,
    "i64": 64,
    "i128": 128,
    "half": 16,
    "float": 32,
    "double": 64,
    "ptr": 64,
}


@dataclass(frozen=True, slots=True)
class LLType:
    """An LLVM first-class type: `element` (`"float"`, `"i32"`, `"ptr"`), and `lanes` (1: scalar)."""

    element: str
    lanes: int = 1

    def __str__(self) -> str:
        return self.element if self.lanes == 1 else f"<{self.lanes} x {self.element}>"

    def with_lanes(self, lanes: int) -> LLType:
        """The same elements in another number of lanes."""
        return LLType(self.element, lanes)

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers to LLVM."""
        return self.element in ("float", "double", "half")

    @property
    def bits(self) -> int:
        """Bits of one element; a pointer has those of a 64-bit machine."""
        return ELEMENT_BITS[self.element]


@dataclass(frozen=True, slots=True)
class ArrayType(LLType):
    """`count` items of one type in memory. Make it by `array`."""

    item: LLType = LLType("i8")
    count: int = 0


def array(item: LLType, count: int) -> ArrayType:
    """LLVM's array type, e.g. `[3 x i32]`."""
    return ArrayType(f"[{count} x {item}]", 1, item, count)


def aggregate(*members: LLType) -> LLType:
    """The type of several results at once, e.g. `{ i64, i1 }`."""
    return LLType("{ " + ", ".join(map(str, members)) + " }")


VOID = LLType("void")
"""The result of a function that has none."""

I1, I8, I16, I32, I64, PTR = (LLType(n) for n in ("i1", "i8", "i16", "i32", "i64", "ptr"))
F16, F32, F64 = LLType("half"), LLType("float"), LLType("double")


class Val:
    """An SSA value or constant of the function being built: its text and its type."""

    __slots__ = ("ref", "type")

    def __init__(self, ref: str, type: LLType):
        self.ref = ref
        self.type = type

    @property
    def lanes(self) -> int:
        """Lanes of its type."""
        return self.type.lanes

    @property
    def is_constant(self) -> bool:
        """Whether it is neither the result of an instruction, nor a parameter, nor a symbol."""
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


TRUE, FALSE = Val("true", I1), Val("false", I1)
NULL = Val("null", PTR)


def mangle(type: LLType) -> str:
    """The suffix of an overloaded intrinsic, e.g. `v16f32`, `i64`, `v4p0`."""
    element = {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}.get(type.element, type.element)
    return element if type.lanes == 1 else f"v{type.lanes}{element}"
