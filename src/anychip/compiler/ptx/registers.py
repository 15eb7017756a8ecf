"""The registers of a PTX program as values of tile IR, and the conversions between the types that
instructions see in the same bits.

A register holds one value for each group of elements: a tile, or a scalar where all arguments are. Packed
types (`f16x2`) are 32 bits, the first element in the low half.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from ..ir.core import Value
from ..ir.insertion import Inserter
from ..ir.ops import OPS
from ..ir.types import BF16, F16, F32, F64, I1, I8, I16, I32, I64, ScalarType, TileType, Type
from .text import Malformed

INTEGERS = {1: I1, 8: I8, 16: I16, 32: I32, 64: I64}
TYPES: dict[str, ScalarType] = {
    "pred": I1,
    "f16": F16,
    "bf16": BF16,
    "f32": F32,
    "f64": F64,
    **{f"{kind}{bits}": INTEGERS[bits] for kind in "bsu" for bits in (8, 16, 32, 64)},
    "f16x2": I32,
    "bf16x2": I32,
    "e4m3x2": I16,
    "e5m2x2": I16,
    "tf32": I32,
}
"""What a register of each of PTX's types is."""
HALVES = {"f16x2": F16, "bf16x2": BF16}
"""Packed types -> the type of their elements."""

_INTEGER = re.compile(r"(-?)(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uU]?")
_FLOAT_BITS = re.compile(r"0[fF]([0-9a-fA-F]{8})|0[dD]([0-9a-fA-F]{16})")
_DECIMAL = re.compile(r"-?\d+\.\d*(?:[eE][-+]?\d+)?|-?\d+[eE][-+]?\d+")


@dataclass(slots=True)
class Registers:
    """`kinds`: PTX's type of each register that was declared, or is an operand of the assembly."""

    insert: Inserter
    shape: tuple[int, ...]
    kinds: dict[str, str]
    values: dict[str, Value] = field(default_factory=dict)

    # ---- values ---------------------------------------------------------------------------------
    def type(self, element: ScalarType) -> Type:
        """A value of this element type in the program's shape."""
        return TileType(self.shape, element) if self.shape else element

    def op(self, name: str, operands: list[Value], element: ScalarType, **attrs: object) -> Value:
        """The result of a new operation. Raises `IndexError` for a wrong number of operands."""
        wanted = OPS[name].operands
        if len(operands) != len(wanted) and not any(word[-1] in "*?" for word in wanted):
            raise IndexError(name)
        return self.insert.op(name, operands, self.type(element), attrs)

    def constant(self, value: float | int, element: ScalarType) -> Value:
        """A constant in every element; integers may be given signed or unsigned."""
        if element.is_integer:
            value = int(value) & ((1 << element.bits) - 1)
            if element.bits > 1 and value >> (element.bits - 1):
                value -= 1 << element.bits
        return self.insert.constant(value, self.type(element))

    def cast(self, value: Value, element: ScalarType) -> Value:
        """The same bits as another type of the same width."""
        if value.element == element:
            return value
        return self.op("tt.bitcast", [value], element)

    def bits(self, value: Value) -> Value:
        """The bits of a value as an integer."""
        return self.cast(value, INTEGERS[value.element.bits])

    def resize(self, value: Value, bits: int, signed: bool = False) -> Value:
        """An integer extended or cut off."""
        have = value.element.bits
        if have == bits:
            return value
        name = "arith.trunci" if bits < have else "arith.extsi" if signed else "arith.extui"
        return self.op(name, [value], INTEGERS[bits])

    def select(self, condition: Value, first: Value, second: Value) -> Value:
        """`first` where the condition holds."""
        assert isinstance(first.element, ScalarType)
        return self.op("arith.select", [condition, first, second], first.element)

    # ---- operands -------------------------------------------------------------------------------
    def read(self, operand: str, kind: str) -> Value:
        """An operand as an instruction of type `kind` sees it. Raises `Malformed`."""
        element = TYPES[kind]
        if operand.startswith("{"):
            return self.cast(self.packed(operand, element.bits), element)
        number = _number(operand, element)
        if number is not None:
            return self.constant(number, element)
        value = self.values.get(operand.lstrip("!"))
        if value is None:
            raise Malformed(f"{operand} is read before it is written, or is no register")
        if kind == "pred":
            return self.op("arith.xori", [value, self.constant(1, I1)], I1) if operand[0] == "!" else value
        return self.cast(self.resize(self.bits(value), element.bits), element)

    def packed(self, operand: str, bits: int) -> Value:
        """`{low, ..., high}` as one integer."""
        names = [name.strip() for name in operand[1:-1].split(",")]
        each = bits // len(names)
        total: Value | None = None
        for k, name in enumerate(names):
            part = self.resize(self.read(name, f"b{each}"), bits)
            if k:
                part = self.op("arith.shli", [part, self.constant(k * each, INTEGERS[bits])], INTEGERS[bits])
            total = part if total is None else self.op("arith.ori", [total, part], INTEGERS[bits])
        assert total is not None
        return total

    def write(self, operand: str, value: Value, signed: bool = False, guard: Value | None = None) -> None:
        """Set a register, or the registers of `{low, ..., high}`; with a guard, only where it holds."""
        if operand.startswith("{"):
            names = [name.strip() for name in operand[1:-1].split(",")]
            whole = self.bits(value)
            each = whole.element.bits // len(names)
            for k, name in enumerate(names):
                shift = self.constant(k * each, INTEGERS[whole.element.bits])
                part = (
                    whole if not k else self.op("arith.shrui", [whole, shift], INTEGERS[whole.element.bits])
                )
                self.write(name, self.resize(part, each), guard=guard)
            return
        if operand == "_":
            return
        kind = self.kinds.get(operand)
        if kind is None:
            raise Malformed(f"{operand} is not declared")
        if kind != "pred":
            wanted = TYPES[kind].bits
            if value.element.bits != wanted:
                value = self.resize(self.bits(value), wanted, signed)
        old = self.values.get(operand)
        if guard is not None and old is not None:
            assert isinstance(value.element, ScalarType)
            value = self.select(guard, value, self.cast(old, value.element))
        self.values[operand] = value


def _number(operand: str, element: ScalarType) -> float | int | None:
    """The value of a number as written; None for a register."""
    bits = _FLOAT_BITS.fullmatch(operand)
    if bits is not None:
        single, double = bits.groups()
        value = (
            struct.unpack(">f", bytes.fromhex(single))[0]
            if single
            else struct.unpack(">d", bytes.fromhex(double))[0]
        )
        if element.is_float:
            return value
        return int(single or double, 16)
    if _DECIMAL.fullmatch(operand):
        return float(operand)
    whole = _INTEGER.fullmatch(operand)
    if whole is None:
        return None
    digits = whole.group(2)
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    number = int(digits, 8 if octal else 0)
    number = -number if whole.group(1) else number
    return float(number) if element.is_float else number
