"""Structures in memory, described once: `ctypes` structures for Python, fields by name for LLVM IR.

    POINT = Struct("point", x=I32, y=I32)
    POINT.ctypes(3, 4)                            # Python's view of one
    point = POINT.at(f, address)                  # LLVM's
    point.store("y", f.add(point.load("x"), 1))

Fields lie where C puts them on the machine that the code is for; Python sees those of its own machine.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, sizeof
from functools import cached_property
from typing import Any

from ...errors import AnychipError
from .flow import Flow
from .module import LLModule
from .scalar import Operand, Ordering
from .types import ArrayType, LLType, Val


class UnknownField(AnychipError):
    """A structure was asked for a field that it does not have."""


class _Text(LLType):
    __slots__ = ()


TEXT = _Text("ptr")
"""The address of a zero-terminated string: LLVM sees a `ptr`, Python the bytes."""

_CTYPES: dict[str, Any] = {
    "i8": ctypes.c_int8,
    "i32": ctypes.c_int32,
    "i64": ctypes.c_int64,
    "ptr": ctypes.c_void_p,
}


class Struct:
    """A structure: its name in LLVM IR, what it is for, and its fields' types in order."""

    def __init__(self, name: str, description: str = "", /, **fields: LLType | Struct):
        self.name = name
        self.description = description
        self.fields = fields
        self.type = LLType(f"%{name}")
        self._numbers = {field: number for number, field in enumerate(fields)}

    @cached_property
    def ctypes(self) -> type[Structure]:
        """The class by which Python makes and reads such structures."""
        fields = [(name, _ctypes_of(type)) for name, type in self.fields.items()]
        return type(self.name, (Structure,), {"_fields_": fields, "__doc__": self.description})

    @property
    def size(self) -> int:
        """Bytes of one on this machine."""
        return sizeof(self.ctypes)

    def at(self, f: Flow, pointer: Val) -> Fields:
        """The structure at an address."""
        self.declare(f.module)
        return Fields(f, self, pointer)

    def item(self, f: Flow, array: Val, index: Operand) -> Fields:
        """The structure with a number in an array of them."""
        self.declare(f.module)
        return Fields(f, self, f.element(self.type, array, index))

    def local(self, f: Flow, align: int = 0) -> Fields:
        """A structure on the function's stack, with any content."""
        self.declare(f.module)
        return Fields(f, self, f.alloca(self.type, align))

    def declare(self, module: LLModule) -> None:
        """Have `module` know the type."""
        if f"%{self.name}" in module.declarations:
            return
        members = ", ".join(str(member) for member in self._types(module))
        module.declarations[f"%{self.name}"] = f"%{self.name} = type {{ {members} }}"

    def number(self, field: str) -> int:
        """Where `field` stands among the fields. Raises UnknownField."""
        if field not in self._numbers:
            raise UnknownField(
                f"structure {self.name} has no field {field!r}; it has {', '.join(self.fields)}"
            )
        return self._numbers[field]

    def type_of(self, field: str) -> LLType | Struct:
        """The type of a field. Raises UnknownField."""
        self.number(field)
        return self.fields[field]

    def _types(self, module: LLModule) -> list[LLType]:
        types = []
        for field in self.fields.values():
            if isinstance(field, Struct):
                field.declare(module)
                field = field.type
            types.append(field)
        return types


class Fields:
    """A structure at an address of the function that is being written."""

    __slots__ = ("flow", "pointer", "struct")

    def __init__(self, flow: Flow, struct: Struct, pointer: Val):
        self.flow, self.struct, self.pointer = flow, struct, pointer

    def address(self, field: str) -> Val:
        """Where a field is."""
        number = self.struct.number(field)
        if not number:
            return self.pointer
        return self.flow.raw(
            self.pointer.type, f"getelementptr {self.struct.type}, {self.pointer}, i32 0, i32 {number}"
        )

    def load(self, field: str, *, volatile: bool = False) -> Val:
        """What a field holds."""
        return self.flow.load(self._type(field), self.address(field), volatile=volatile)

    def store(self, field: str, value: Operand, *, volatile: bool = False) -> None:
        """Write a field."""
        known = self.flow.constant(value, self._type(field))
        self.flow.store(known, self.address(field), volatile=volatile)

    def clear(self, field: str) -> None:
        """Fill a field with zeros."""
        type = self._type(field)
        self.flow.store(Val("zeroinitializer", type), self.address(field))

    def store_all(self, **values: Operand) -> None:
        """Write several fields."""
        for field, value in values.items():
            self.store(field, value)

    def copy(self, field: str, source: Fields, of: str = "") -> None:
        """Write what the field `of` (by default one of the same name) of another structure holds."""
        self.store(field, source.load(of or field))

    def atomic_load(self, field: str, ordering: Ordering = Ordering.MONOTONIC) -> Val:
        """What a field holds that other threads may change."""
        return self.flow.atomic_load(self._type(field), self.address(field), ordering)

    def atomic_store(self, field: str, value: Operand, ordering: Ordering = Ordering.MONOTONIC) -> None:
        """Write a field that other threads may look at."""
        self.flow.atomic_store(self.flow.constant(value, self._type(field)), self.address(field), ordering)

    def atomic_add(self, field: str, value: Operand) -> Val:
        """Add to a field; what it was before."""
        return self.flow.atomic_add(self.address(field), self.flow.constant(value, self._type(field)))

    def _type(self, field: str) -> LLType:
        type = self.struct.type_of(field)
        if isinstance(type, Struct):
            raise UnknownField(f"field {field!r} of structure {self.struct.name} is a structure, not a value")
        return type


def _ctypes_of(field: LLType | Struct) -> Any:
    if isinstance(field, Struct):
        return field.ctypes
    if isinstance(field, ArrayType):
        return _ctypes_of(field.item) * field.count
    return ctypes.c_char_p if field is TEXT else _CTYPES[field.element]
