"""A module as nested tuples that do not depend on the names of values and blocks, to compare modules."""

from __future__ import annotations

import math
from typing import Any

from anychip.compiler.ir.core import Func, Module, Region, Value


def structure(module: Module) -> tuple[Any, ...]:
    """Equal for two modules that do the same operations on the same values at the same places."""
    return tuple(_func(func) for func in module.funcs.values())


def _func(func: Func) -> tuple[Any, ...]:
    numbers: dict[Value, int] = {}
    body = _region(func.body, numbers)
    results = tuple(map(str, func.result_types))
    return (
        func.name,
        func.public,
        _plain(func.attrs),
        _plain(func.arg_attrs),
        results,
        str(func.location),
        body,
    )


def _region(region: Region, numbers: dict[Value, int]) -> tuple[Any, ...]:
    blocks = {id(block): index for index, block in enumerate(region.blocks)}
    found: list[Any] = []
    for block in region.blocks:
        arguments = tuple(_value(argument, numbers) for argument in block.args)
        ops = tuple(
            (
                op.name,
                tuple(_value(operand, numbers) for operand in op.operands),
                tuple(_value(result, numbers) for result in op.results),
                _plain(op.attrs),
                tuple(
                    (blocks[id(target)], tuple(_value(passed, numbers) for passed in arguments))
                    for target, arguments in op.successors
                ),
                tuple(_region(nested, numbers) for nested in op.regions),
                op.location,
            )
            for op in block.ops
        )
        found.append((arguments, ops))
    return tuple(found)


def _value(value: Value, numbers: dict[Value, int]) -> tuple[int, str]:
    return numbers.setdefault(value, len(numbers)), str(value.type)


def _plain(value: Any) -> Any:
    """`value` with its types shown, and such that NaN equals NaN."""
    if isinstance(value, dict):
        return tuple(sorted((key, _plain(item)) for key, item in value.items() if item is not None))
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return f"{type(value).__name__} {value!r}"
