"""A graph of scalar operations on a formula's inputs. Flows in: arithmetic in Python, of scalars of the graph
and plain numbers. Flows out: nodes, of which equal ones are one; what is constant is folded as it is written,
so that a product with 0 or 1 is no node at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Number: TypeAlias = "Scalar | float"
"""A value of a formula: a node, or a number that is known."""

COMMUTATIVE = frozenset({"add", "mul", "min", "max", "and", "or"})


class Graph:
    """The nodes of one formula, in the order in which they were made: arguments come before their users."""

    def __init__(self) -> None:
        self.nodes: list[Scalar] = []
        self._known: dict[tuple[object, ...], Scalar] = {}
        self.loops: dict[str, Loop] = {}

    def variable(self, name: str) -> Scalar:
        """The input of a name."""
        return self.node("input", (), name)

    def node(self, op: str, arguments: tuple[Number, ...], label: str = "") -> Scalar:
        """The node of an operation, one for equal arguments."""
        if op in COMMUTATIVE and _place(arguments[0]) > _place(arguments[1]):
            arguments = (arguments[1], arguments[0])
        key = (op, label, *(x.number if isinstance(x, Scalar) else ("number", x) for x in arguments))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Scalar(self, op, arguments, label, len(self.nodes))
            self.nodes.append(found)
        return found

    def carried(self, count: int) -> list[Scalar]:
        """What a loop carries: as many new nodes, without a value of their own."""
        return [self.node("carried", (), f"{len(self.nodes)}") for _ in range(count)]

    def loop(
        self, starts: Sequence[Number], carried: Sequence[Scalar], results: Sequence[Number], rounds: int
    ) -> list[Number]:
        """The last values of a loop that carries `carried`, from `starts` on, to `results` in each round."""
        inside = {x.number for x in carried}
        outside: list[Number] = []
        for node in needed(results):
            if any(isinstance(x, Scalar) and x.number in inside for x in node.arguments):
                inside.add(node.number)
        for node in needed(results):
            if node.number in inside:
                outside += [x for x in node.arguments if isinstance(x, Scalar) and x.number not in inside]
        outside += [x for x in results if isinstance(x, Scalar) and x.number not in inside]
        label = str(len(self.loops))
        self.loops[label] = Loop(tuple(carried), tuple(results), rounds)
        whole = self.node("loop", (*starts, *outside), label)
        return [self.node("item", (whole,), str(k)) for k in range(len(starts))]


@dataclass(frozen=True, slots=True)
class Loop:
    """What a node `loop` repeats; its arguments are the starts of what is carried, and then all nodes from
    outside that the results are computed with."""

    carried: tuple[Scalar, ...]
    results: tuple[Number, ...]
    rounds: int


class Scalar:
    """One node. Arithmetic with other nodes of its graph, and with numbers, gives nodes or numbers;
    comparisons `<` and `<=` give conditions for `select`."""

    __slots__ = ("arguments", "graph", "label", "number", "op")

    def __init__(self, graph: Graph, op: str, arguments: tuple[Number, ...], label: str, number: int):
        self.graph = graph
        self.op = op
        self.arguments = arguments
        self.label = label
        self.number = number

    def __add__(self, other: Number) -> Number:
        return add(self, other)

    def __radd__(self, other: Number) -> Number:
        return add(other, self)

    def __sub__(self, other: Number) -> Number:
        return sub(self, other)

    def __rsub__(self, other: Number) -> Number:
        return sub(other, self)

    def __mul__(self, other: Number) -> Number:
        return mul(self, other)

    def __rmul__(self, other: Number) -> Number:
        return mul(other, self)

    def __truediv__(self, other: Number) -> Number:
        return div(self, other)

    def __rtruediv__(self, other: Number) -> Number:
        return div(other, self)

    def __neg__(self) -> Number:
        return neg(self)

    def __lt__(self, other: Number) -> Number:
        return self.graph.node("lt", (self, other))

    def __le__(self, other: Number) -> Number:
        return self.graph.node("le", (self, other))

    def __gt__(self, other: Number) -> Number:
        return self.graph.node("lt", (other, self))

    def __ge__(self, other: Number) -> Number:
        return self.graph.node("le", (other, self))


def _place(x: Number) -> int:
    return x.number if isinstance(x, Scalar) else -1


def add(a: Number, b: Number) -> Number:
    """a + b."""
    if not isinstance(a, Scalar):
        if not isinstance(b, Scalar):
            return a + b
        return b if a == 0.0 else b.graph.node("add", (a, b))
    if not isinstance(b, Scalar):
        return a if b == 0.0 else a.graph.node("add", (a, b))
    if b.op == "neg":
        return sub(a, b.arguments[0])
    if a.op == "neg":
        return sub(b, a.arguments[0])
    return a.graph.node("add", (a, b))


def sub(a: Number, b: Number) -> Number:
    """a - b."""
    if not isinstance(b, Scalar):
        return add(a, -b)
    if not isinstance(a, Scalar):
        return neg(b) if a == 0.0 else b.graph.node("sub", (a, b))
    if a is b:
        return 0.0
    if b.op == "neg":
        return add(a, b.arguments[0])
    if a.op == "neg":
        return neg(add(a.arguments[0], b))
    return a.graph.node("sub", (a, b))


def neg(a: Number) -> Number:
    """-a."""
    if not isinstance(a, Scalar):
        return -a
    if a.op == "neg":
        return a.arguments[0]
    if a.op == "sub" and isinstance(a.arguments[0], Scalar) and isinstance(a.arguments[1], Scalar):
        return a.graph.node("sub", (a.arguments[1], a.arguments[0]))
    if a.op == "mul" and not isinstance(a.arguments[0], Scalar):
        return mul(-a.arguments[0], a.arguments[1])
    return a.graph.node("neg", (a,))


def mul(a: Number, b: Number) -> Number:
    """a b."""
    if isinstance(a, Scalar) and not isinstance(b, Scalar):
        a, b = b, a
    if not isinstance(a, Scalar):
        if not isinstance(b, Scalar):
            return a * b
        if a == 0.0:
            return 0.0
        if a == 1.0:
            return b
        if a == -1.0:
            return neg(b)
        if b.op == "neg":
            return mul(-a, b.arguments[0])
        if b.op == "mul" and not isinstance(b.arguments[0], Scalar):
            return mul(a * b.arguments[0], b.arguments[1])
        return b.graph.node("mul", (a, b))
    assert isinstance(b, Scalar)
    for x, y in ((a, b), (b, a)):
        if x.op == "neg":
            return neg(mul(x.arguments[0], y))
        if x.op == "mul" and not isinstance(x.arguments[0], Scalar):
            return mul(x.arguments[0], mul(x.arguments[1], y))
    return a.graph.node("mul", (a, b))


def div(a: Number, b: Number) -> Number:
    """a / b."""
    if not isinstance(b, Scalar):
        return mul(a, 1.0 / b)
    if not isinstance(a, Scalar) and a == 0.0:
        return 0.0
    if isinstance(a, Scalar) and a.op == "neg":
        return neg(div(a.arguments[0], b))
    return b.graph.node("div", (a, b))


def _function(op: str, of_numbers: object, a: Number) -> Number:
    if isinstance(a, Scalar):
        return a.graph.node(op, (a,))
    return of_numbers(a)  # type: ignore[operator]


def sqrt(a: Number) -> Number:
    """The square root; its derivative at 0 is infinite."""
    return _function("sqrt", math.sqrt, a)


def sin(a: Number) -> Number:
    """The sine of an angle in radians."""
    return _function("sin", math.sin, a)


def cos(a: Number) -> Number:
    """The cosine of an angle in radians."""
    return _function("cos", math.cos, a)


def exp(a: Number) -> Number:
    """The exponential function."""
    return _function("exp", math.exp, a)


def log(a: Number) -> Number:
    """The natural logarithm."""
    return _function("log", math.log, a)


def absolute(a: Number) -> Number:
    """|a|, with derivative 0 at 0."""
    return _function("abs", abs, a)


def atan2(y: Number, x: Number) -> Number:
    """The angle of the point (x, y)."""
    if isinstance(y, Scalar):
        return y.graph.node("atan2", (y, x))
    return x.graph.node("atan2", (y, x)) if isinstance(x, Scalar) else math.atan2(y, x)


def minimum(a: Number, b: Number) -> Number:
    """The smaller one."""
    return select(_less(a, b), a, b)


def maximum(a: Number, b: Number) -> Number:
    """The larger one."""
    return select(_less(a, b), b, a)


def _less(a: Number, b: Number) -> Number:
    if not isinstance(a, Scalar) and not isinstance(b, Scalar):
        return float(a < b)
    graph = a.graph if isinstance(a, Scalar) else b.graph  # type: ignore[union-attr]
    return graph.node("lt", (a, b))


def select(condition: Number, a: Number, b: Number) -> Number:
    """a where the condition holds, else b. Both are computed: neither may be one whose derivative is
    infinite."""
    if not isinstance(condition, Scalar):
        return a if condition else b
    if a is b or (not isinstance(a, Scalar) and not isinstance(b, Scalar) and a == b):
        return a
    return condition.graph.node("select", (condition, a, b))


def both(a: Number, b: Number) -> Number:
    """Whether two conditions hold."""
    if not isinstance(a, Scalar) or not isinstance(b, Scalar):
        known, other = (a, b) if not isinstance(a, Scalar) else (b, a)
        return other if known else 0.0
    return a.graph.node("and", (a, b))


def detached(a: Number) -> Number:
    """The same number, of which derivatives see a constant: what an iteration found, before the step of
    Newton's that carries its derivatives."""
    return _function("detached", float, a)


def iterated(
    body: Callable[[Sequence[Number]], Sequence[Number]], starts: Sequence[Number], rounds: int, like: Number
) -> list[Number]:
    """The last of numbers that `body` makes of the ones before, as a loop of the kernel. Derivatives see
    constants, as of `detached`. `like`: any number of the formula that the body uses."""
    graph = next((x.graph for x in (like, *starts) if isinstance(x, Scalar)), None)
    if graph is None:
        found = list(starts)
        for _ in range(rounds):
            found = list(body(found))
        return found
    carried = graph.carried(len(starts))
    return graph.loop(starts, carried, body(carried), rounds)


def stumpff(order: int, s: Number) -> Number:
    """c_order(s) = sum over i of (-s)^i / (2i + order)!, for s >= 0 and orders up to 7: c_0 = cos t, c_1 =
    sin t / t, c_2 = (1 - cos t) / t^2, c_3 = (t - sin t) / t^3, ... of t = sqrt(s). All are smooth at 0."""
    if isinstance(s, Scalar):
        return s.graph.node("stumpff", (s,), str(order))
    return sum((-s) ** i / math.factorial(2 * i + order) for i in range(30))


def arc(square: Number, cosine: Number) -> Number:
    """atan2(n, cosine) / n of n = sqrt(square); 1 / cosine at 0, where cosine must be above 0. Smooth."""
    if isinstance(square, Scalar):
        return square.graph.node("arc", (square, cosine))
    if isinstance(cosine, Scalar):
        return cosine.graph.node("arc", (square, cosine))
    n = math.sqrt(square)
    return math.atan2(n, cosine) / n if n else 1.0 / cosine


def needed(outputs: Iterable[Number]) -> list[Scalar]:
    """The nodes that outputs need, arguments before their users."""
    seen: set[int] = set()
    pending = [x for x in outputs if isinstance(x, Scalar)]
    found: list[Scalar] = []
    while pending:
        node = pending.pop()
        if node.number in seen:
            continue
        seen.add(node.number)
        found.append(node)
        pending += [x for x in node.arguments if isinstance(x, Scalar)]
    return sorted(found, key=lambda node: node.number)
