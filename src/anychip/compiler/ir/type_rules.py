"""What each operation demands of its operand and result types.

`RULES` maps the rule named in `ops.py` to a check. A check takes an operation whose number of operands,
results and regions is right already, and returns what is wrong with it, or None.
"""

from __future__ import annotations

import math

from .core import Op, Value
from .type_checks import Check, cast, differ, first, of_kind, same_of, same_shape, same_shape_of, types
from .types import I1, I32, PointerType, ScalarType, TileType, Type, element_of, shape_of, with_shape


def _same_bits(op: Op) -> str | None:
    before, after = op.operands[0], op.results[0]
    return first(same_shape(op), differ("the width", after.element.bits, before.element.bits))


def _compare(op: Op) -> str | None:
    a, b = op.operands
    kind = "float" if op.name == "arith.cmpf" else "integer"
    return first(
        differ("the second operand", b.type, a.type),
        of_kind(kind, op.operands),
        differ("the result", op.result.type, with_shape(a.shape, I1)),
    )


def _test(op: Op) -> str | None:
    return first(
        of_kind("float", op.operands),
        differ("the result", op.result.type, with_shape(op.operands[0].shape, I1)),
    )


def _select(op: Op) -> str | None:
    condition, a, b = op.operands
    if condition.type != I1:
        problem = differ("the condition", condition.type, with_shape(a.shape, I1))
        if problem:
            return problem
    return first(differ("the third operand", b.type, a.type), differ("the result", op.result.type, a.type))


def _sum_and_carry(op: Op) -> str | None:
    a, b = op.operands
    return first(
        differ("the second operand", b.type, a.type),
        differ("the sum", op.results[0].type, a.type),
        differ("the carry", op.results[1].type, with_shape(a.shape, I1)),
    )


def _constant(op: Op) -> str | None:
    value, type = op.attrs["value"], op.result.type
    element = element_of(type)
    if not isinstance(element, ScalarType):
        return f"{type} is no type of a constant"
    kind = float if element.is_float else int
    if isinstance(value, list):
        if len(value) != (type.size if isinstance(type, TileType) else 1):
            return f"{len(value)} values for {type}"
        return None if all(isinstance(item, kind) for item in value) else f"a value is not of type {element}"
    return None if isinstance(value, kind) else f"the value {value!r} is not of type {element}"


def _addptr(op: Op) -> str | None:
    pointer, offset = op.operands
    return first(
        of_kind("pointer", [pointer]),
        of_kind("integer", [offset]),
        differ("the shape of the offset", offset.shape, pointer.shape),
        differ("the result", op.result.type, pointer.type),
    )


def _range(op: Op) -> str | None:
    start, end = op.attrs["start"], op.attrs["end"]
    if not (isinstance(start, int) and isinstance(end, int) and start < end):
        return f"the range from {start} to {end} is empty"
    return differ("the result", op.result.type, TileType((end - start,), I32))


def _splat(op: Op) -> str | None:
    operand, result = op.operands[0], op.result
    if isinstance(operand.type, TileType):
        return f"the operand {operand.type} is a tile"
    return differ("the result", result.type, TileType(result.shape, operand.element))


def _unsplat(op: Op) -> str | None:
    operand = op.operands[0]
    if math.prod(operand.shape) != 1 or not isinstance(operand.type, TileType):
        return f"the operand {operand.type} does not have one element"
    return differ("the result", op.result.type, operand.element)


def _axis(op: Op, shape: tuple[int, ...]) -> str | None:
    axis = op.attrs["axis"]
    if not (isinstance(axis, int) and 0 <= axis < len(shape)):
        return f"axis {axis} is none of {len(shape)}"
    return None


def _expand(op: Op) -> str | None:
    operand, axis = op.operands[0], op.attrs["axis"]
    problem = _axis(op, (*operand.shape, 1))
    if problem:
        return problem
    shape = (*operand.shape[:axis], 1, *operand.shape[axis:])
    return differ("the result", op.result.type, TileType(shape, operand.element))


def _broadcast(op: Op) -> str | None:
    before, after = op.operands[0], op.result
    fits = len(before.shape) == len(after.shape) and all(
        old in (1, new) for old, new in zip(before.shape, after.shape, strict=True)
    )
    return None if fits and before.element == after.element else f"{before.type} cannot become {after.type}"


def _reshape(op: Op) -> str | None:
    before, after = op.operands[0], op.result
    fits = math.prod(before.shape) == math.prod(after.shape) and before.element == after.element
    return None if fits else f"{before.type} cannot become {after.type}"


def _transpose(op: Op) -> str | None:
    operand, order = op.operands[0], op.attrs["order"]
    if not isinstance(order, tuple) or sorted(order) != list(range(len(operand.shape))):
        return f"{order} is no order of the axes of {operand.type}"
    shape = tuple(operand.shape[axis] for axis in order)
    return differ("the result", op.result.type, TileType(shape, operand.element))


def _join(op: Op) -> str | None:
    a, b = op.operands
    return first(
        differ("the second operand", b.type, a.type),
        differ("the result", op.result.type, TileType((*a.shape, 2), a.element)),
    )


def _split(op: Op) -> str | None:
    operand = op.operands[0]
    if operand.shape[-1:] != (2,):
        return f"the last axis of {operand.type} does not have two elements"
    wanted = with_shape(operand.shape[:-1], operand.element)
    return first(*(differ("a result", result.type, wanted) for result in op.results))


def _cat(op: Op) -> str | None:
    a, b = op.operands
    size = math.prod(op.result.shape)
    return first(
        differ("the second operand", b.type, a.type),
        differ("the element of the result", op.result.element, a.element),
        differ("the size of the result", size, 2 * math.prod(a.shape)),
    )


def _pointee(pointer: Value) -> Type | None:
    element = pointer.element
    return with_shape(pointer.shape, element.pointee) if isinstance(element, PointerType) else None


def _mask(op: Op, index: int) -> str | None:
    if len(op.operands) <= index:
        return None
    return differ("the mask", op.operands[index].type, with_shape(op.operands[0].shape, I1))


def _load(op: Op) -> str | None:
    pointee = _pointee(op.operands[0])
    others = [differ("the other value", value.type, pointee) for value in op.operands[2:]]
    return first(
        of_kind("pointer", op.operands[:1]),
        _mask(op, 1),
        *others,
        differ("the result", op.result.type, pointee),
    )


def _store(op: Op) -> str | None:
    pointer, value = op.operands[:2]
    return first(
        of_kind("pointer", [pointer]), differ("the value", value.type, _pointee(pointer)), _mask(op, 2)
    )


def _update(op: Op) -> str | None:
    kind = "float" if op.attrs["kind"] == "fadd" else ""
    kind = "integer" if op.attrs["kind"] in ("and", "or", "xor", "add") else kind
    return first(
        _store(op),
        of_kind(kind, op.operands[1:2]) if kind else None,
        differ("the result", op.result.type, op.operands[1].type),
    )


def _exchange(op: Op) -> str | None:
    pointer, expected, value = op.operands
    return first(
        of_kind("pointer", [pointer]),
        differ("the expected value", expected.type, _pointee(pointer)),
        differ("the value", value.type, expected.type),
        differ("the result", op.result.type, expected.type),
    )


def _poll(op: Op) -> str | None:
    pointer, expected = op.operands[:2]
    return first(
        of_kind("pointer", [pointer]),
        differ("the expected value", expected.type, _pointee(pointer)),
        differ("the result", op.result.type, with_shape(pointer.shape, I1)),
    )


def _dot(op: Op) -> str | None:
    a, b, c = op.operands
    if len(a.shape) not in (2, 3) or len(b.shape) != len(a.shape):
        return f"a product of {a.type} and {b.type}"
    inner = differ("the inner size of b", b.shape[-2], a.shape[-1])
    shape = (*a.shape[:-1], b.shape[-1])
    return first(
        inner,
        differ("the number of matrices in b", b.shape[:-2], a.shape[:-2]),
        differ("the shape of c", c.shape, shape),
        differ("the result", op.result.type, c.type),
    )


def _dot_scaled(op: Op) -> str | None:
    a, b, c = op.operands[:3]
    if len(a.shape) not in (2, 3) or len(b.shape) != len(a.shape) or len(c.shape) != len(a.shape):
        return f"a product of {a.type} and {b.type} into {c.type}"
    for side in ("a_scale", "b_scale"):
        index = op.attrs[side]
        if index is not None and not (isinstance(index, int) and 3 <= index < len(op.operands)):
            return f"{side} is operand {index} of {len(op.operands)}"
    return differ("the result", op.result.type, c.type)


def _block_types(op: Op, wanted: list[Type]) -> str | None:
    if not op.regions[0].blocks:
        return "its region is empty"
    return differ("the list of its block's arguments", types(op.regions[0].entry.args), wanted)


def _reduce(op: Op) -> str | None:
    shape = op.operands[0].shape if op.operands else ()
    problem = first(_axis(op, shape), same_shape_of(op.operands))
    if problem:
        return problem
    axis = op.attrs["axis"]
    left = shape[:axis] + shape[axis + 1 :]
    elements: list[Type] = [value.element for value in op.operands]
    wanted = [with_shape(left, value.element) for value in op.operands]
    return first(
        differ("the list of results", types(op.results), wanted), _block_types(op, elements + elements)
    )


def _scan(op: Op) -> str | None:
    shape = op.operands[0].shape if op.operands else ()
    elements: list[Type] = [value.element for value in op.operands]
    return first(
        _axis(op, shape),
        same_shape_of(op.operands),
        differ("the list of results", types(op.results), types(op.operands)),
        _block_types(op, elements + elements),
    )


def _map(op: Op) -> str | None:
    pack = op.attrs["pack"]
    if not isinstance(pack, int) or not 0 < pack <= 1024:
        return f"it packs {pack} elements"
    elements: list[Type] = [value.element for value in op.operands for _ in range(pack)]
    return first(same_shape_of([*op.operands, *op.results]), _block_types(op, elements))


def _histogram(op: Op) -> str | None:
    operand = op.operands[0]
    if len(operand.shape) != 1 or len(op.result.shape) != 1:
        return f"{operand.type} cannot be counted into {op.result.type}"
    return first(of_kind("integer", [operand]), _mask(op, 1), of_kind("integer", op.results))


def _gather(op: Op) -> str | None:
    source, indices = op.operands
    return first(
        _axis(op, source.shape),
        of_kind("integer", [indices]),
        differ("the rank of the indices", len(indices.shape), len(source.shape)),
        differ("the result", op.result.type, with_shape(indices.shape, source.element)),
    )


def _truth(op: Op) -> str | None:
    return differ("the element of the condition", op.operands[0].element, I1)


def _if(op: Op) -> str | None:
    if op.results and not all(region.blocks for region in op.regions):
        return "it has results, but only one branch"
    if not op.regions[0].blocks:
        return "its first branch is empty"
    return differ("the condition", op.operands[0].type, I1)


def _for(op: Op) -> str | None:
    lower, upper, step, *initial = op.operands
    if not op.regions[0].blocks:
        return "its body is empty"
    return first(
        of_kind("integer", [lower]) or (f"{lower.type} is a tile" if shape_of(lower.type) else None),
        differ("the upper bound", upper.type, lower.type),
        differ("the step", step.type, lower.type),
        differ("the list of results", types(op.results), types(initial)),
        _block_types(op, [lower.type, *types(initial)]),
    )


def _while(op: Op) -> str | None:
    before, after = op.regions
    if not before.blocks or not after.blocks:
        return "one of its regions is empty"
    return first(
        _block_types(op, types(op.operands)),
        differ("the list of the body's arguments", types(after.entry.args), types(op.results)),
    )


def _condition(op: Op) -> str | None:
    return differ("the condition", op.operands[0].type, I1)


RULES: dict[str, Check] = {
    "same integer": same_of("integer"),
    "same float": same_of("float"),
    "same shape": same_shape,
    "same bits": _same_bits,
    "sum and carry": _sum_and_carry,
    "compare": _compare,
    "test": _test,
    "select": _select,
    "widen integer": cast("integer", "integer", 1),
    "narrow integer": cast("integer", "integer", -1),
    "widen float": cast("float", "float", 1),
    "narrow float": cast("float", "float", -1),
    "float to float": cast("float", "float"),
    "integer to integer": cast("integer", "integer"),
    "integer to float": cast("integer", "float"),
    "float to integer": cast("float", "integer"),
    "integer to pointer": cast("integer", "pointer"),
    "pointer to integer": cast("pointer", "integer"),
    "constant": _constant,
    "addptr": _addptr,
    "range": _range,
    "splat": _splat,
    "unsplat": _unsplat,
    "expand": _expand,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "join": _join,
    "split": _split,
    "cat": _cat,
    "load": _load,
    "store": _store,
    "update": _update,
    "exchange": _exchange,
    "poll": _poll,
    "dot": _dot,
    "dot scaled": _dot_scaled,
    "reduce": _reduce,
    "scan": _scan,
    "map": _map,
    "histogram": _histogram,
    "gather": _gather,
    "truth": _truth,
    "if": _if,
    "for": _for,
    "while": _while,
    "condition": _condition,
}
