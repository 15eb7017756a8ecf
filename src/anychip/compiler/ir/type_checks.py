"""Small checks of types from which the rules of the operations are put together.

In: values or types. Out: what is wrong with them as text, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .core import Op, Value
from .types import PointerType, Type, element_of

Check = Callable[[Op], str | None]


def types(values: Sequence[Value]) -> list[Type]:
    """The types of some values."""
    return [value.type for value in values]


def differ(what: str, found: object, wanted: object) -> str | None:
    """What is wrong where `found` is not `wanted`; None where it is."""
    return None if found == wanted else f"{what} is {found}, not {wanted}"


def first(*problems: str | None) -> str | None:
    """The first problem that there is; None if there is none."""
    return next((problem for problem in problems if problem), None)


def same(op: Op) -> str | None:
    """A problem where operands and results are not all of one type."""
    values = [*op.operands, *op.results]
    for value in values[1:]:
        if value.type != values[0].type:
            return f"its types differ: {values[0].type} and {value.type}"
    return None


def same_shape(op: Op) -> str | None:
    """A problem where operands and results are not all of one shape."""
    values = [*op.operands, *op.results]
    for value in values[1:]:
        if value.shape != values[0].shape:
            return f"its shapes differ: {values[0].type} and {value.type}"
    return None


_KINDS: dict[str, Callable[[Type], bool]] = {
    "integer": lambda type: element_of(type).is_integer,
    "float": lambda type: element_of(type).is_float,
    "pointer": lambda type: isinstance(element_of(type), PointerType),
}


def of_kind(kind: str, values: Sequence[Value]) -> str | None:
    """A problem where an element type is not of the kind "integer", "float" or "pointer"."""
    for value in values:
        if not _KINDS[kind](value.type):
            return f"{value.type} is no {kind} type"
    return None


def same_of(kind: str) -> Check:
    """A check that all operands and results have one type, and that it is of a kind."""
    return lambda op: first(same(op), of_kind(kind, [*op.operands, *op.results]))


def cast(source: str, target: str, order: int = 0) -> Check:
    """A cast from one kind to another; `order` 1 must widen, -1 must narrow."""

    def check(op: Op) -> str | None:
        before, after = op.operands[0], op.results[0]
        problem = first(same_shape(op), of_kind(source, op.operands), of_kind(target, op.results))
        if problem is None and order * (after.element.bits - before.element.bits) < 0:
            return f"a cast from {before.type} to {after.type} goes the wrong way"
        return problem

    return check


def same_shape_of(values: Sequence[Value]) -> str | None:
    """A problem where the values are not all of one shape."""
    return first(*(differ("the shape of an operand", value.shape, values[0].shape) for value in values))
