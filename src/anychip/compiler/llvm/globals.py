"""Memory of a module: variables that its functions share, and tables of constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .flow import Flow
from .module import LLModule
from .routine import Callee, symbol
from .struct import Struct
from .types import I8, PTR, LLType, Val, array

Constant = int | Callee
"""A number, or a function for its address."""


class Global:
    """Memory that only its module sees. `content` is the initial value as LLVM writes it; it is made when the
    module first needs the memory. The functions below make globals of the usual kinds."""

    def __init__(
        self,
        name: str,
        type: LLType,
        content: Callable[[LLModule], str],
        *,
        constant: bool = False,
        align: int = 0,
    ):
        self.name = name
        self._type, self._content = type, content
        self._kind = "constant" if constant else "global"
        self._align = f", align {align}" if align else ""

    def address(self, f: Flow) -> Val:
        """Where it is."""
        key = f"@{self.name}"
        if key not in f.module.declarations:
            content = self._content(f.module)
            f.module.declarations[key] = (
                f"{symbol(self.name)} = internal {self._kind} {self._type} {content}{self._align}"
            )
        return Val(symbol(self.name), PTR)


def zeroed(name: str, type: LLType, *, align: int = 0) -> Global:
    """A variable that is zero when the program begins."""
    return Global(name, type, lambda module: "zeroinitializer", align=align)


def number_table(name: str, type: LLType, values: Sequence[int], *, align: int = 0) -> Global:
    """A constant array of numbers."""
    content = f"[{', '.join(f'{type} {value}' for value in values)}]"
    return Global(name, array(type, len(values)), lambda module: content, constant=True, align=align)


def byte_table(name: str, data: bytes, *, align: int = 0) -> Global:
    """Constant bytes."""
    escaped = "".join(f"\\{byte:02X}" for byte in data)
    return Global(name, array(I8, len(data)), lambda module: f'c"{escaped}"', constant=True, align=align)


def struct_table(name: str, struct: Struct, rows: Sequence[Sequence[Constant]]) -> Global:
    """A constant array of structures, each given by its fields in order."""

    def content(module: LLModule) -> str:
        struct.declare(module)
        return f"[{', '.join(_row(module, struct, row) for row in rows)}]"

    return Global(name, array(struct.type, len(rows)), content, constant=True)


def _row(module: LLModule, struct: Struct, row: Sequence[Constant]) -> str:
    members = []
    for type, value in zip(struct.fields.values(), row, strict=True):
        if isinstance(value, Callee):
            value.require(module)
            members.append(f"{type} {symbol(value.name)}")
        else:
            members.append(f"{type} {int(value)}")
    return f"{struct.type} {{ {', '.join(members)} }}"
