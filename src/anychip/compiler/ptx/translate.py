"""Inline PTX of plain meaning as operations of tile IR.

Flows in: a `tt.elementwise_inline_asm`. Flows out: values for its results, made of ordinary operations before
it. Elements are packed as Triton packs them: `pack` neighbours go through one run of the assembly, elements
of fewer than 32 bits share registers. What has no rule is refused with the instruction's name.
"""

from __future__ import annotations

import math
import re

from ..errors import UnsupportedOperation
from ..ir.core import Op, Value
from ..ir.insertion import Inserter
from ..ir.types import I1, PointerType, ScalarType, TileType, with_shape
from . import arithmetic, bits, conversions
from .registers import INTEGERS, Registers
from .text import Instruction, Malformed, read

RULES: dict[str, arithmetic.Rule] = {**arithmetic.RULES, **bits.RULES, **conversions.RULES}
"""Every instruction that is translated."""

_KINDS = {"r": "b32", "h": "b16", "l": "b64", "f": "f32", "d": "f64", "c": "b8", "b": "pred"}
"""LLVM's constraint letters of NVIDIA's registers -> PTX's types."""

HINT = (
    "PTX of plain arithmetic, conversions and bits is translated; write the rest with tl operations, or keep "
    "it behind a tl.constexpr that is false here"
)


def translate(op: Op, insert: Inserter) -> list[Value]:
    """The results of `op` by operations made with `insert`. Raises `UnsupportedOperation`."""
    try:
        return _translated(op, insert)
    except Malformed as error:
        raise UnsupportedOperation(
            op,
            f"inline assembly is code for one chip only: {op.attrs.get('asm_string', '')!r}: {error}",
            HINT,
        ) from None


def _translated(op: Op, insert: Inserter) -> list[Value]:
    program = read(op.attrs["asm_string"])
    outputs, inputs = _constraints(op.attrs["constraints"])
    pack = op.attrs.get("packed_element", 1) or 1
    full = next((v.shape for v in (*op.results, *op.operands) if v.shape), ())
    count = math.prod(full)
    if count % pack:
        raise Malformed(f"{count} elements do not go into groups of {pack}")
    shape = full if pack == 1 else (count // pack,)
    kinds = {f"${k}": kind for k, kind in enumerate(outputs)}
    kinds |= {f"${len(outputs) + k}": kinds.get(kind, kind) for k, kind in enumerate(inputs)}
    registers = Registers(insert, shape, kinds | program.registers)
    sources = [value for operand in op.operands for value in _packed(registers, operand, full, pack)]
    if len(sources) != len(inputs):
        raise Malformed(f"{len(inputs)} inputs in the constraints, {len(sources)} registers of arguments")
    for k, (value, kind) in enumerate(zip(sources, inputs, strict=True)):
        registers.write(f"${len(outputs) + k}", value)
        if kind.startswith("$"):
            registers.values[kind] = value
    for step in program.instructions:
        _run(registers, step)
    return _results(registers, op, outputs, full, pack)


def _constraints(text: str) -> tuple[list[str], list[str]]:
    """PTX's types of the output and of the input registers; an input tied to an output has its name."""
    outputs, inputs = [], []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        if part.startswith("~"):
            continue
        letter = part.lstrip("=&")
        kind = f"${letter}" if letter.isdigit() else _KINDS.get(letter)
        if kind is None:
            raise Malformed(f"the constraint {part!r} has no meaning here")
        (outputs if part.startswith("=") else inputs).append(kind)
    return outputs, inputs


def _run(r: Registers, step: Instruction) -> None:
    rule = RULES.get(step.name)
    if rule is None:
        raise Malformed(f"there is no meaning for {step.name!r} here")
    guard = r.read(step.guard, "pred") if step.guard else None
    if guard is not None and step.inverted:
        guard = r.op("arith.xori", [guard, r.constant(1, I1)], I1)
    try:
        result = rule(r, step)
    except (ValueError, IndexError):
        raise Malformed(f"{step.text!r} has other operands than are known here") from None
    if result is None:
        return
    signed = bool(step.modifiers) and any(re.fullmatch(r"s\d+", m) for m in step.modifiers)
    if isinstance(result, tuple):
        for name, value in zip(step.operands[0].split("|"), result, strict=False):
            r.write(name.strip(), value, guard=guard)
        return
    if step.operands[0].startswith(("%", "0")) or not step.operands:
        raise Malformed(f"{step.text!r} has no result")
    r.write(step.operands[0], result, signed, guard)


# ---- elements and registers -----------------------------------------------------------------------------


def _scalar_type(value: Value) -> ScalarType:
    if isinstance(value.element, PointerType):
        raise Malformed("a pointer is an argument, and memory is not reached by inline assembly here")
    return value.element


def _packed(r: Registers, operand: Value, full: tuple[int, ...], pack: int) -> list[Value]:
    """The registers of an argument, each of one or more of the group's elements."""
    element = _scalar_type(operand)
    if full and not operand.shape:
        operand = r.insert.op("tt.splat", [operand], TileType(full, element))
    if pack == 1:
        return [operand]
    flat = r.insert.op("tt.reshape", [operand], TileType((math.prod(full) // pack, pack), element))
    elements = _split(r, flat, pack)
    shared = min(32 // element.bits, pack) if element.bits < 32 else 1
    if shared == 1:
        return elements
    bits = shared * element.bits
    registers = []
    for start in range(0, pack, shared):
        whole = r.resize(r.bits(elements[start]), bits)
        for k in range(1, shared):
            part = r.resize(r.bits(elements[start + k]), bits)
            shift = r.constant(k * element.bits, INTEGERS[bits])
            part = r.op("arith.shli", [part, shift], INTEGERS[bits])
            whole = r.op("arith.ori", [whole, part], INTEGERS[bits])
        registers.append(whole)
    return registers


def _split(r: Registers, value: Value, count: int) -> list[Value]:
    """The `count` columns of a tile of rows."""
    rows = value.shape[0]
    element = _scalar_type(value)
    if count == 1:
        return [r.insert.op("tt.reshape", [value], TileType((rows,), element))]
    halves = TileType((rows, count // 2, 2), element)
    pairs = r.insert.op("tt.reshape", [value], halves) if count > 2 else value
    part = with_shape((rows, count // 2) if count > 2 else (rows,), element)
    even, odd = r.insert.ops("tt.split", [pairs], [part, part])
    if count == 2:
        return [even, odd]
    columns = [_split(r, half, count // 2) for half in (even, odd)]
    return [columns[k % 2][k // 2] for k in range(count)]


def _joined(r: Registers, columns: list[Value]) -> Value:
    """The opposite of `_split`: a tile whose last axis is the columns."""
    if len(columns) == 1:
        return columns[0]
    even, odd = _joined(r, columns[::2]), _joined(r, columns[1::2])
    element = _scalar_type(even)
    pairs = r.insert.op("tt.join", [even, odd], TileType((*even.shape, 2), element))
    if len(columns) == 2:
        return pairs
    return r.insert.op("tt.reshape", [pairs], TileType((even.shape[0], len(columns)), element))


def _results(r: Registers, op: Op, outputs: list[str], full: tuple[int, ...], pack: int) -> list[Value]:
    found: list[Value] = []
    position = 0
    for result in op.results:
        element = _scalar_type(result)
        shared = min(32 // element.bits, pack) if element.bits < 32 else 1
        columns: list[Value] = []
        for _ in range(pack // shared):
            if position == len(outputs):
                raise Malformed(f"{len(outputs)} outputs in the constraints are too few")
            whole = r.values.get(f"${position}")
            if whole is None:
                raise Malformed(f"the output ${position} is never written")
            position += 1
            bits = r.bits(whole)
            for k in range(shared):
                shift = r.constant(k * element.bits, INTEGERS[bits.element.bits])
                part = r.op("arith.shrui", [bits, shift], INTEGERS[bits.element.bits]) if k else bits
                columns.append(r.cast(r.resize(part, element.bits), element))
        if pack == 1:
            found.append(columns[0])
        else:
            found.append(r.insert.op("tt.reshape", [_joined(r, columns)], TileType(full, element)))
    if position != len(outputs):
        raise Malformed(f"{len(outputs)} outputs in the constraints, {position} registers of results")
    return found
