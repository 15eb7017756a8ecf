"""Formulas in operations that Triton has. Flows in: outputs of a graph. Flows out: outputs of another graph,
in which functions of this package's own (Stumpff functions, the arc) are written out, once for equal
arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .graph import Graph, Number, Scalar, add, atan2, both, cos, div, mul, needed, neg, select, sin, sqrt, sub

SERIES_BELOW = 1.0
"""Up to this square of an angle Stumpff functions are series; the rest of the recursion loses no digits
above."""
TERMS = 8
HIGHEST = 8


def lowered(outputs: Sequence[Number]) -> list[Number]:
    """The outputs in operations that Triton has."""
    lowering = _Lowering()
    for node in needed(outputs):
        lowering.add(node)
    return [lowering.of(x) for x in outputs]


class _Lowering:
    """Nodes of one graph, and what they are in another."""

    def __init__(self) -> None:
        self._graph = Graph()
        self._found: dict[int, Number] = {}
        self._loops: dict[int, list[Number]] = {}

    def of(self, x: Number) -> Number:
        """A number in the other graph."""
        return self._found[x.number] if isinstance(x, Scalar) else x

    def add(self, node: Scalar) -> None:
        """A node whose arguments are known."""
        if node.op == "loop":
            self._add_loop(node)
            return
        if node.op == "item":
            self._found[node.number] = self._loops[node.arguments[0].number][int(node.label)]  # type: ignore[union-attr]
            return
        arguments = [self.of(x) for x in node.arguments]
        if node.op == "input":
            found: Number = self._graph.variable(node.label)
        elif node.op == "stumpff":
            found = _stumpff(int(node.label), arguments[0])
        elif node.op in _OWN:
            found = _OWN[node.op](*arguments)
        elif node.op in _FOLDED:
            found = _FOLDED[node.op](*arguments)
        else:
            found = self._graph.node(node.op, tuple(arguments), node.label)
        self._found[node.number] = found

    def _add_loop(self, node: Scalar) -> None:
        loop = node.graph.loops[node.label]
        carried = self._graph.carried(len(loop.carried))
        for old, new in zip(loop.carried, carried, strict=True):
            self._found[old.number] = new
        for inner in needed(loop.results):
            if inner.number not in self._found and inner.number not in self._loops:
                self.add(inner)
        starts = [self.of(x) for x in node.arguments[: len(carried)]]
        results = [self.of(x) for x in loop.results]
        self._loops[node.number] = self._graph.loop(starts, carried, results, loop.rounds)


def _stumpff(order: int, s: Number) -> Number:
    """c_k = 1 / k! - s c_{k+2}: down from a series where s is small, up from sine and cosine elsewhere."""
    assert isinstance(s, Scalar)
    assert order <= HIGHEST
    top = HIGHEST if order % 2 == 0 else HIGHEST - 1
    small: Number = 0.0
    for i in reversed(range(TERMS)):
        small = sub(1.0 / math.factorial(2 * i + top), mul(s, small))
    for k in range(top - 2, order - 1, -2):
        small = sub(1.0 / math.factorial(k), mul(s, small))
    near = s < SERIES_BELOW
    safe = select(near, 1.0, s)
    angle = sqrt(safe)
    inverse = div(1.0, safe)
    large = cos(angle) if order % 2 == 0 else mul(sin(angle), mul(angle, inverse))
    for k in range(2 + order % 2, order + 1, 2):
        large = mul(sub(1.0 / math.factorial(k - 2), large), inverse)
    return select(near, small, large)


def _arc(square: Number, cosine: Number) -> Number:
    """atan2(n, w) / n, and 1 / w at 0."""
    zero = _is_zero(square)
    n = sqrt(select(zero, 1.0, square))
    return select(zero, div(1.0, select(zero, cosine, 1.0)), div(atan2(n, cosine), n))


def _arc_slope(square: Number, cosine: Number) -> Number:
    """(w / (n^2 + w^2) - atan2(n, w) / n) / n^2, a series in (n / w)^2 where that is small."""
    near = both(square < 0.01 * (cosine * cosine), cosine > 0.0)  # type: ignore[operator]
    inverse = div(1.0, select(near, cosine, 1.0))
    x = mul(square, mul(inverse, inverse))
    series: Number = 0.0
    for i in reversed(range(1, 10)):
        series = sub(1.0 / (2 * i + 1) - 1.0, mul(x, series))
    small = mul(mul(inverse, mul(inverse, inverse)), series)
    safe = select(near, 1.0, square)
    n = sqrt(safe)
    w = select(near, 1.0, cosine)
    large = div(sub(div(w, add(safe, mul(w, w))), div(atan2(n, w), n)), safe)
    return select(near, small, large)


def _is_zero(x: Number) -> Number:
    return x <= 0.0 if isinstance(x, Scalar) else float(x <= 0.0)


_OWN: Mapping[str, Callable[..., Number]] = {"arc": _arc, "arc_slope": _arc_slope}
_FOLDED: Mapping[str, Callable[..., Number]] = {
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "neg": neg,
    "select": select,
    "detached": lambda x: x,
}
