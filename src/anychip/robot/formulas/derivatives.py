"""Derivatives of formulas, as formulas. Flows in: nodes of a graph. Flows out: nodes of the same graph:
gradients by the inputs (`gradients`), or tangents of the outputs (`tangents`). No step size, and no look-up
of operations that were recorded: the rule of each operation is in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .graph import Number, Scalar, add, cos, div, mul, needed, neg, select, sin, stumpff

Partials = Callable[[Scalar], tuple[Number, ...]]


def _stumpff(node: Scalar) -> tuple[Number, ...]:
    order, s = int(node.label), node.arguments[0]
    return (0.5 * (order * stumpff(order + 2, s) - stumpff(order + 1, s)),)


def _arc(node: Scalar) -> tuple[Number, ...]:
    square, cosine = node.arguments
    slope = node.graph.node("arc_slope", (square, cosine))
    return 0.5 * slope, neg(div(1.0, square + cosine * cosine))


def _atan2(node: Scalar) -> tuple[Number, ...]:
    y, x = node.arguments
    norm = x * x + y * y
    return div(x, norm), neg(div(y, norm))


def _division(node: Scalar) -> tuple[Number, ...]:
    inverse = div(1.0, node.arguments[1])
    return inverse, neg(mul(node, inverse))


def _magnitude(node: Scalar) -> tuple[Number, ...]:
    x = node.arguments[0]
    return (select(x < 0.0, -1.0, select(x > 0.0, 1.0, 0.0)),)  # type: ignore[operator]


PARTIALS: Mapping[str, Partials] = {
    "add": lambda node: (1.0, 1.0),
    "sub": lambda node: (1.0, -1.0),
    "neg": lambda node: (-1.0,),
    "mul": lambda node: (node.arguments[1], node.arguments[0]),
    "div": _division,
    "sqrt": lambda node: (div(0.5, node),),
    "sin": lambda node: (cos(node.arguments[0]),),
    "cos": lambda node: (neg(sin(node.arguments[0])),),
    "exp": lambda node: (node,),
    "log": lambda node: (div(1.0, node.arguments[0]),),
    "abs": _magnitude,
    "atan2": _atan2,
    "stumpff": _stumpff,
    "arc": _arc,
    "detached": lambda node: (0.0,),
    "item": lambda node: (0.0,),
}
"""Operation -> its derivatives by each argument. Comparisons have none; `select` has a rule of its own."""

CONSTANT = frozenset({"lt", "le", "and", "or", "input", "carried", "loop"})
"""What has no derivative by anything."""


def gradients(outputs: Sequence[Number], seeds: Sequence[Number], inputs: Sequence[Scalar]) -> list[Number]:
    """The derivatives by each input of the sum of outputs times seeds."""
    order = needed(outputs)
    adjoint: dict[int, Number] = {}

    def give(to: Number, amount: Number) -> None:
        if isinstance(to, Scalar):
            adjoint[to.number] = add(adjoint.get(to.number, 0.0), amount)

    for output, seed in zip(outputs, seeds, strict=True):
        give(output, seed)
    for node in reversed(order):
        own = adjoint.get(node.number, 0.0)
        if node.op in CONSTANT or (not isinstance(own, Scalar) and own == 0.0):
            continue
        if node.op == "select":
            condition, a, b = node.arguments
            give(a, select(condition, own, 0.0))
            give(b, select(condition, 0.0, own))
            continue
        for argument, partial in zip(node.arguments, PARTIALS[node.op](node), strict=True):
            if isinstance(argument, Scalar):
                give(argument, mul(partial, own))
    return [adjoint.get(x.number, 0.0) for x in inputs]


def tangents(outputs: Sequence[Number], directions: Mapping[int, Number]) -> list[Number]:
    """The derivatives of each output along a direction: `directions` has the tangents of inputs by the number
    of their node."""
    found: dict[int, Number] = dict(directions)

    def of(x: Number) -> Number:
        return found.get(x.number, 0.0) if isinstance(x, Scalar) else 0.0

    for node in needed(outputs):
        if node.op in CONSTANT:
            continue
        if node.op == "select":
            condition, a, b = node.arguments
            found[node.number] = select(condition, of(a), of(b))
            continue
        moved = [of(x) for x in node.arguments]
        if any(isinstance(x, Scalar) or x for x in moved):
            total: Number = 0.0
            for partial, move in zip(PARTIALS[node.op](node), moved, strict=True):
                total = add(total, mul(partial, move))
            found[node.number] = total
    return [of(x) for x in outputs]
