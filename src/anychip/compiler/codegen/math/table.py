"""The registry of mathematical functions, and how one becomes a function of the LLVM module.

In: a canonical name, argument registers, the target. Out: the result register of a call to a
function that is written once for each module, argument types and number of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...llvm.builder import Builder
from ...llvm.types import LLType, Val, mangle
from ...targets.target import Target
from .expression import Formula, Num

Body = Callable[..., Num]


@dataclass(frozen=True, slots=True)
class MathFunction:
    """A function over registers.

    `body` receives a `Formula` and the arguments. `elements` are the floating-point types that it
    is written for: when f32 arguments come and only "double" is listed, they are widened and the
    result is rounded. `prefers_f64`: so they are where the machine has f64, because that is shorter than
    f32 in pairs. `inline` says that it is small or hot enough to be inlined everywhere.
    """

    name: str
    body: Body
    arity: int
    elements: tuple[str, ...]
    inline: bool
    prefers_f64: bool = False

    def widens(self, element: str, target: Target) -> bool:
        """Whether arguments of type `element` are computed in f64."""
        if element != "float":
            return False
        return "float" not in self.elements or (self.prefers_f64 and target.f64)


FUNCTIONS: dict[str, MathFunction] = {}
"""Every function by its canonical name."""

BOTH = ("float", "double")


def function(
    name: str,
    arity: int = 1,
    elements: tuple[str, ...] = BOTH,
    inline: bool = False,
    prefers_f64: bool = False,
):
    """Register the decorated body under `name`; the body itself is returned unchanged."""

    def register(body: Body) -> Body:
        assert name not in FUNCTIONS, name
        FUNCTIONS[name] = MathFunction(name, body, arity, elements, inline, prefers_f64)
        return body

    return register


def emit(b: Builder, name: str, args: Sequence[Val], target: Target) -> Val:
    """Call the function `name` on f32, f64 or integer registers of equally many lanes.

    Raises KeyError for a name that is not in `FUNCTIONS` and ValueError for a wrong number of
    arguments.
    """
    entry = FUNCTIONS[name]
    if len(args) != entry.arity:
        raise ValueError(f"{name} takes {entry.arity} arguments, not {len(args)}")
    values = b.unify(*args)
    symbol = ".".join(["anychip", name, *(mangle(v.type) for v in values)])
    if symbol not in b.module.functions:
        _define(b, symbol, entry, [v.type for v in values], target)
    return b.call(symbol, b.module.results[symbol], values)


def _define(b: Builder, symbol: str, entry: MathFunction, types: Sequence[LLType], target: Target) -> None:
    """Write the function and add it to the module."""
    body = Builder(b.module)
    parameters = [Val(f"%x{i}", type) for i, type in enumerate(types)]
    floats = [t.element for t in types if t.element in BOTH]
    element = floats[0] if floats else types[0].element
    widen = entry.widens(element, target)
    m = Formula(body, target, "double" if widen else element, types[0].lanes, widen)
    arguments = [Num(m, p) for p in parameters]
    if widen:
        arguments = [a.cast("fpext", "double") if a.val.type.element == "float" else a for a in arguments]
    result = entry.body(m, *arguments)
    if widen and result.val.type.element == "double":
        result = result.cast("fptrunc", "float")
    body.effect(f"ret {result.val}")
    signature = f"define internal {result.val.type} @{symbol}({', '.join(map(str, parameters))})"
    attributes = f"{'alwaysinline ' if entry.inline else ''}nounwind willreturn memory(none)"
    b.module.add_function(symbol, body.text(signature, attributes), result.val.type)
