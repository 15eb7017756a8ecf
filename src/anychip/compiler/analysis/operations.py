"""How many floating-point operations a launch does.

A kernel without calls goes in, with the values of its integer arguments and a grid; out comes the number of
additions, multiplications, function values and so on, a product of matrices counting each multiplication and
each addition. Tiles count whole, masked lanes included. Integer scalars are followed, so that loops are
counted by their real number of iterations; None where that depends on memory.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..ir.core import Block, Func, Op, Region, Value
from ..ir.types import ScalarType

SAMPLED = 32
"""Of a larger grid so many programs are counted, spread evenly, and the sum is scaled."""
LONGEST = 4096
"""Iterations of a loop that are followed one by one."""

Numbers = dict[Value, int]

_ONE = frozenset(
    {
        "arith.addf",
        "arith.subf",
        "arith.mulf",
        "arith.divf",
        "arith.remf",
        "arith.negf",
        "arith.maximumf",
        "arith.minimumf",
        "arith.maxnumf",
        "arith.minnumf",
        "tt.precise_divf",
        "tt.precise_sqrt",
        "tt.extern_elementwise",
    }
)
_TWO = frozenset({"math.fma", "tt.clampf"})
_REGIONS = frozenset({"scf.for", "scf.if", "scf.while"})


class Unknown(Exception):
    """The number depends on what is in memory."""


def operations(
    func: Func,
    arguments: Mapping[int, int],
    grid: tuple[int, int, int],
    weigh: Callable[[Op], int] | None = None,
) -> int | None:
    """The floating-point operations of a launch; `arguments` are the integers by position. `weigh` counts
    something else of one operation, loops and conditions aside."""
    total = math.prod(grid)
    if not total:
        return 0
    known = {func.args[k]: value for k, value in arguments.items()}
    sampled = min(total, SAMPLED)
    counted = 0
    try:
        for k in range(sampled):
            number = k * total // sampled
            program = (number % grid[0], number // grid[0] % grid[1], number // grid[0] // grid[1])
            counted += _Counter(grid, program, weigh or own_operations).region(func.body, dict(known))
    except Unknown:
        return None
    return round(counted * total / sampled)


@dataclass(frozen=True, slots=True)
class _Counter:
    """Counts one program."""

    grid: tuple[int, int, int]
    program: tuple[int, int, int]
    weigh: Callable[[Op], int]

    def region(self, region: Region, known: Numbers) -> int:
        """Follow the blocks from the first; `known` is extended by what is computed."""
        count = 0
        block: Block | None = region.entry
        visited = 0
        while block is not None:
            visited += 1
            if visited > LONGEST:
                raise Unknown
            for op in block.ops:
                count += self._operation(op, known)
            block = self._next(block.terminator, known)
        return count

    def _next(self, op: Op, known: Numbers) -> Block | None:
        if not op.successors:
            return None
        chosen = 0
        if len(op.successors) > 1:
            if op.operands[0] not in known:
                raise Unknown
            chosen = 0 if known[op.operands[0]] else 1
        block, values = op.successors[chosen]
        _pass_on(values, block.args, known)
        return block

    def _operation(self, op: Op, known: Numbers) -> int:
        if op.name == "scf.for":
            return self._for(op, known)
        if op.name == "scf.if":
            return self._if(op, known)
        if op.name == "scf.while":
            if any(self.weigh(inner) for inner in op.walk()):
                raise Unknown
            return 0
        self._evaluate(op, known)
        return self.weigh(op)

    def _for(self, op: Op, known: Numbers) -> int:
        bounds = [known.get(value) for value in op.operands[:3]]
        body = op.regions[0]
        if None in bounds:
            if any(self.weigh(inner) for inner in op.walk()):
                raise Unknown
            return 0
        low, high, step = (value for value in bounds if value is not None)
        trips = max(0, -(-(high - low) // step)) if step > 0 else 0
        counter, *carried = body.entry.args
        inside = dict(known)
        _pass_on(op.operands[3:], carried, inside)
        alike = not any(inner.name in _REGIONS for block in body.blocks for inner in block.ops)
        count = 0
        if alike:
            if trips:
                inside[counter] = low
                for value in carried:
                    inside.pop(value, None)
                count = trips * self.region(body, inside)
            return count
        if trips > LONGEST:
            raise Unknown
        for k in range(trips):
            inside[counter] = low + k * step
            count += self.region(body, inside)
            _pass_on(body.entry.terminator.operands, carried, inside)
        _pass_on(carried, op.results, inside)
        known.update((value, inside[value]) for value in op.results if value in inside)
        return count

    def _if(self, op: Op, known: Numbers) -> int:
        condition = known.get(op.operands[0])
        if condition is None:
            return max(self.region(region, dict(known)) for region in op.regions if region.blocks)
        region = op.regions[0 if condition else 1] if len(op.regions) > 1 or condition else None
        if region is None or not region.blocks:
            return 0
        inside = dict(known)
        count = self.region(region, inside)
        _pass_on(region.entry.terminator.operands, op.results, inside)
        known.update((value, inside[value]) for value in op.results if value in inside)
        return count

    def _evaluate(self, op: Op, known: Numbers) -> None:
        """Remember the integer that a scalar operation gives, if its operands are known."""
        if len(op.results) != 1 or op.result.shape:
            return
        if op.name == "tt.get_program_id":
            known[op.result] = self.program[op.attrs["axis"]]
        elif op.name == "tt.get_num_programs":
            known[op.result] = self.grid[op.attrs["axis"]]
        elif op.name == "arith.constant":
            value = op.attrs["value"]
            if isinstance(value, int):
                known[op.result] = int(value)
        else:
            rule = _RULES.get(op.name)
            given = [known.get(value) for value in op.operands]
            if op.name == "arith.cmpi":
                rule = _COMPARISONS.get(op.attrs["predicate"])
            numbers = [value for value in given if value is not None]
            if rule is not None and len(numbers) == len(given):
                known[op.result] = int(rule(*numbers))
            else:
                known.pop(op.result, None)


def _pass_on(values: list[Value], targets: list[Value], known: Numbers) -> None:
    found = [known.get(value) for value in values]
    for target, value in zip(targets, found):
        if value is None:
            known.pop(target, None)
        else:
            known[target] = value


def own_operations(op: Op) -> int:
    """What an operation does without looking into loops and conditions."""
    if op.name in ("tt.dot", "tt.dot_scaled"):
        return 2 * math.prod(op.result.shape) * op.operands[0].shape[-1] * _is_float(op.result)
    if op.name in ("tt.reduce", "tt.scan"):
        inner = sum(own_operations(inner) for region in op.regions for inner in region.walk())
        return inner * math.prod(op.operands[0].shape)
    if not op.results or not _is_float(op.results[0]):
        return 0
    elements = math.prod(op.results[0].shape)
    if op.name == "tt.atomic_rmw":
        return elements
    weight = 2 if op.name in _TWO else 1 if op.name in _ONE or op.name.startswith("math.") else 0
    return weight * elements


def _is_float(value: Value) -> bool:
    return isinstance(value.element, ScalarType) and value.element.is_float


def _quotient(a: int, b: int) -> int:
    """Rounded towards zero, as in C."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else 0


def _remainder(a: int, b: int) -> int:
    return a - _quotient(a, b) * b


def _unchanged(a: int) -> int:
    return a


_RULES: dict[str, Callable[..., int]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.divsi": _quotient,
    "arith.divui": _quotient,
    "arith.remsi": _remainder,
    "arith.remui": _remainder,
    "arith.minsi": min,
    "arith.minui": min,
    "arith.maxsi": max,
    "arith.maxui": max,
    "arith.andi": operator.and_,
    "arith.ori": operator.or_,
    "arith.xori": operator.xor,
    "arith.extsi": _unchanged,
    "arith.extui": _unchanged,
    "arith.trunci": _unchanged,
    "arith.index_cast": _unchanged,
    "arith.shli": lambda a, b: a << b if 0 <= b < 64 else 0,
    "arith.shrsi": lambda a, b: a >> b if 0 <= b < 64 else 0,
    "arith.select": lambda condition, a, b: a if condition else b,
}
_COMPARISONS: dict[str, Callable[..., int]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "slt": operator.lt,
    "sle": operator.le,
    "sgt": operator.gt,
    "sge": operator.ge,
    "ult": operator.lt,
    "ule": operator.le,
    "ugt": operator.gt,
    "uge": operator.ge,
}
