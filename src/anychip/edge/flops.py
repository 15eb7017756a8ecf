"""How many floating-point operations a launch does, counted in its TTIR.

An operation on a tile counts once for each element, masked ones included; a product of tiles counts a
multiplication and an addition for each term; a function such as `exp` counts one. Loops count by their
trips, which must follow from constants and the launch's integer arguments; branches count as taken.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from ..compiler.ir.core import Func, Op, Region, Value
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..compiler.ir.types import ScalarType

_COUNTED = ("arith", "math", "tt.extern_elementwise", "tt.precise", "tt.clampf")
_MOVES = frozenset({"arith.constant", "arith.select", "arith.bitcast"})
_INTEGER: dict[str, Callable[[int, int], int]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.divsi": lambda a, b: int(math.copysign(abs(a) // abs(b), a * b)) if a and b else 0,
    "arith.divui": lambda a, b: a // b if b else 0,
    "arith.minsi": min,
    "arith.maxsi": max,
}
_SAME = frozenset({"arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast"})


@functools.lru_cache(maxsize=256)
def _kernel(text: str) -> Func:
    module = parse(text)
    inline_calls(module)
    return module.kernel


def flops_of(text: str, slots: Sequence[int], programs: int) -> int | None:
    """Operations of a launch of `programs` instances with these slots; None where a loop's trips depend on
    more than the arguments."""
    func = _kernel(text)
    arguments = {
        arg: _signed(value, arg.element.bits)
        for arg, value in zip(func.args, slots)
        if isinstance(arg.element, ScalarType) and not arg.element.is_float
    }
    each = _region(func.body, arguments)
    return None if each is None else each * programs


def _region(region: Region, arguments: dict[Value, int]) -> int | None:
    total = 0
    for block in region.blocks:
        for op in block.ops:
            count = _operation(op, arguments)
            if count is None:
                return None
            total += count
    return total


def _operation(op: Op, arguments: dict[Value, int]) -> int | None:
    if op.name == "tt.dot":
        rows, inner = op.operands[0].shape[-2:]
        batch = math.prod(op.operands[0].shape[:-2])
        return 2 * batch * rows * inner * op.operands[1].shape[-1] if op.result.element.is_float else 0
    inside = [_region(region, arguments) for region in op.regions]
    known = [count for count in inside if count is not None]
    if op.name in ("tt.reduce", "tt.scan"):
        return sum(known) * math.prod(op.operands[0].shape)
    if not sum(known) and len(known) == len(inside):
        return _elements(op)
    if len(known) < len(inside) or op.name == "scf.while":
        return None
    if op.name != "scf.for":
        return sum(known)
    lower, upper, step = (_integer(value, arguments) for value in op.operands[:3])
    if lower is None or upper is None or not step:
        return None
    return max(0, -(-(upper - lower) // step)) * sum(known)


def _elements(op: Op) -> int:
    if not op.name.startswith(_COUNTED) or op.name in _MOVES or not op.results:
        return 0
    floating = any(value.element.is_float for value in (*op.operands, *op.results))
    return math.prod(op.results[0].shape) if floating else 0


def _integer(value: Value, arguments: dict[Value, int]) -> int | None:
    if value in arguments:
        return arguments[value]
    op = value.defining_op
    if op is None:
        return None
    if op.name == "arith.constant" and isinstance(op.attrs["value"], int):
        return op.attrs["value"]
    if op.name in _SAME:
        return _integer(op.operands[0], arguments)
    if op.name in _INTEGER:
        a, b = (_integer(operand, arguments) for operand in op.operands)
        return None if a is None or b is None else _INTEGER[op.name](a, b)
    return None


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if bits > 1 and value >> (bits - 1) else value
