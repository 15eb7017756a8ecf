"""Prints the tile IR as text, for people and for tests.

In: a module. Out: text in MLIR's generic form, operations in program order, attributes in the normal form of
`ops.py` without those that have their default value. The parser reads it back to an equal module.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from .core import Block, Func, Location, Module, Op, Region, Value
from .ops import OPS


def print_module(module: Module, *, locations: bool = True) -> str:
    """The text of `module`; without `locations` it is shorter to read."""
    lines = ["module {"]
    for func in module.funcs.values():
        lines += _FuncPrinter(locations).func(func)
    lines.append("}")
    return "\n".join(lines) + "\n"


class _FuncPrinter:
    """Names the values and blocks of one function, and prints it line by line."""

    def __init__(self, locations: bool):
        self.locations = locations
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.taken: set[str] = set()
        self.labels: dict[int, str] = {}

    def func(self, func: Func) -> list[str]:
        arguments: list[str] = []
        for index, argument in enumerate(func.args):
            attrs = func.arg_attrs[index] if index < len(func.arg_attrs) else {}
            arguments.append(
                f"{self.define(argument)}: {argument.type}" + (f" {_dictionary(attrs)}" if attrs else "")
            )
        results = f" -> ({', '.join(map(str, func.result_types))})" if func.result_types else ""
        attrs = f" attributes {_dictionary(func.attrs)}" if func.attrs else ""
        visibility = "public" if func.public else "private"
        self.lines.append(
            f"  tt.func {visibility} @{_symbol(func.name)}({', '.join(arguments)}){results}{attrs} {{"
        )
        self.blocks(func.body, "    ", arguments=False)
        self.lines.append(f"  }}{self.location(func.location)}")
        return self.lines

    def define(self, value: Value) -> str:
        """A name that no other value of the function has, close to the value's own."""
        wished = "".join(c if c.isalnum() and c.isascii() else "_" for c in value.name) or "v"
        name, count = wished, 0
        while name in self.taken:
            count += 1
            name = f"{wished}_{count}"
        self.taken.add(name)
        self.names[id(value)] = f"%{name}"
        return f"%{name}"

    def use(self, value: Value) -> str:
        """The name of `value`; it may be used in the text before the block that defines it."""
        return self.names.get(id(value)) or self.define(value)

    def blocks(self, region: Region, indent: str, arguments: bool = True) -> None:
        """The blocks of a region; the entry block needs a label only for its `arguments`."""
        for block in region.blocks:
            self.labels[id(block)] = f"^bb{len(self.labels)}"
        for index, block in enumerate(region.blocks):
            if index or (arguments and block.args):
                self.label(block, indent[:-2])
            for op in block.ops:
                self.op(op, indent)

    def label(self, block: Block, indent: str) -> None:
        arguments = ", ".join(f"{self.argument(value)}: {value.type}" for value in block.args)
        self.lines.append(f"{indent}{self.labels[id(block)]}{f'({arguments})' if arguments else ''}:")

    def argument(self, value: Value) -> str:
        """The name of a block argument, which a use may have given it already."""
        return self.names.get(id(value)) or self.define(value)

    def op(self, op: Op, indent: str) -> None:
        operands = list(op.operands)
        attrs = _without_defaults(op)
        for _, values in op.successors:
            operands += values
        if len(op.successors) > 1:
            attrs["operandSegmentSizes"] = (len(op.operands), *(len(values) for _, values in op.successors))
        text = f"{indent}"
        if op.results:
            text += ", ".join(self.use(result) for result in op.results) + " = "
        text += f"{_quoted(op.name)}({', '.join(map(self.use, operands))})"
        if op.successors:
            text += f"[{', '.join(self.labels[id(block)] for block, _ in op.successors)}]"
        if attrs:
            element = str(op.results[0].element) if op.name == "arith.constant" else ""
            text += f" <{_dictionary(attrs, element)}>"
        if op.regions:
            for index, region in enumerate(op.regions):
                self.lines.append(f"{text} ({{" if index == 0 else f"{indent}}}, {{")
                self.blocks(region, indent + "  ")
            text = f"{indent}}})"
        operand_types = ", ".join(str(value.type) for value in operands)
        result_types = ", ".join(str(value.type) for value in op.results)
        self.lines.append(f"{text} : ({operand_types}) -> ({result_types}){self.location(op.location)}")

    def location(self, location: Location) -> str:
        return f" loc({_location(location)})" if self.locations else ""


def _without_defaults(op: Op) -> dict[str, Any]:
    info = OPS.get(op.name)
    defaults = {attribute.name: attribute.default for attribute in info.attrs} if info else {}
    return {
        key: value
        for key, value in op.attrs.items()
        if value is not None and not (key in defaults and _same(defaults[key], value))
    }


def _same(default: Any, value: Any) -> bool:
    return type(default) is type(value) and default == value


def _location(location: Location) -> str:
    if location.line:
        text = f"{_quoted(location.file)}:{location.line}:{location.column}"
    else:
        text = "unknown"
    if location.name:
        text = f"{_quoted(location.name)}({text})"
    if location.callers:
        sites = [_location(site) for site in location.callers]
        outer = sites.pop()
        while sites:
            outer = f"callsite({sites.pop()} at {outer})"
        text = f"callsite({text} at {outer})"
    return text


def _dictionary(attrs: dict[str, Any], number: str = "") -> str:
    return "{" + ", ".join(f"{_key(key)} = {_attribute(value, number)}" for key, value in attrs.items()) + "}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][\w.$]*", key, re.ASCII) else _quoted(key)


def _symbol(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w.$]*", name, re.ASCII) else _quoted(name)


def _attribute(value: Any, number: str = "") -> str:
    """`value` as the parser reads it back: what is no number, list or dictionary becomes a string. `number`
    is the type to print with numbers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value} : {number or ('i32' if -(2**31) <= value < 2**31 else 'i64')}"
    if isinstance(value, float):
        return _float(value, number or "f64")
    if isinstance(value, list):
        return f"[{', '.join(_attribute(item, number) for item in value)}]"
    if isinstance(value, tuple):
        return f"array<i64: {', '.join(str(int(item)) for item in value)}>" if value else "array<i64>"
    if isinstance(value, dict):
        return _dictionary(value)
    return _quoted(str(value))


def _float(value: float, number: str) -> str:
    """Exactly `value` of type `number`: decimal digits where they say it, else the bits of a double."""
    if not math.isfinite(value):
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X} : f64"
    mantissa, _, exponent = repr(value).partition("e")
    mantissa += "" if "." in mantissa else ".0"
    return f"{mantissa}{'e' + exponent if exponent else ''} : {number}"


def _quoted(text: str) -> str:
    """`text` between quotes, bytes that need it escaped in MLIR's way."""
    parts = [
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:02X}"
        for byte in text.encode(errors="replace")
    ]
    return f'"{"".join(parts)}"'
