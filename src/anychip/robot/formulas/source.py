"""Triton source of a formula: one function, straight on, in which a lane computes one element of the batch.
Flows in: lowered outputs, and where inputs and outputs lie. Flows out: a `triton.jit` function, compiled when
launched."""

from __future__ import annotations

import linecache
from collections.abc import Mapping, Sequence
from typing import Any

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ...ops.distinct import distinct
from .graph import Number, Scalar, needed

OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "and": "&", "or": "|"}
FUNCTIONS = {
    "sqrt": "tl.sqrt",
    "sin": "tl.sin",
    "cos": "tl.cos",
    "exp": "tl.exp",
    "log": "tl.log",
    "abs": "tl.abs",
    "atan2": "libdevice.atan2",
}
INLINED = 6
"""Operations that one statement has at most: values that are used once are written where they are used."""


def kernel_of(
    name: str,
    inputs: Mapping[str, tuple[int, int]],
    outputs: Sequence[Sequence[Number]],
    whole: bool,
) -> Any:
    """The kernel of a formula. `inputs`: by the name of a scalar, the number of the tensor that has it, and
    its place in an element of that; `outputs`: for each tensor, the scalars of an element; zeros are not
    stored. With `whole`, the tensors have a multiple of `BLOCK` elements, and the code no second form for
    what is left.

    Its parameters are the outputs, the inputs, and the number of elements; constants are `BLOCK`, and for
    each input `Sn`, the distance between its elements, 0 where one is for all."""
    text = source_of(name, inputs, outputs, whole)
    file = f"anychip/robot/generated/{name}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {
        "__name__": f"anychip.robot.generated.{name}",
        "triton": triton,
        "tl": tl,
        "libdevice": libdevice,
        "distinct": distinct,
    }
    exec(compile(text, file, "exec"), space)
    return triton.jit(space[name])


def source_of(
    name: str,
    inputs: Mapping[str, tuple[int, int]],
    outputs: Sequence[Sequence[Number]],
    whole: bool = False,
) -> str:
    """The text of `kernel_of`."""
    tensors = 1 + max((tensor for tensor, _ in inputs.values()), default=-1)
    heads = [f"out{k}" for k in range(len(outputs))] + [f"in{k}" for k in range(tensors)] + ["count"]
    constants = ["BLOCK: tl.constexpr", *(f"S{k}: tl.constexpr" for k in range(tensors))]
    lines = [f"def {name}({', '.join([*heads, *constants])}):"]
    lines += [f"    distinct(out{o}, in{k})" for o in range(len(outputs)) for k in range(tensors)]
    lines += [f"    distinct(out{o}, out{k})" for o in range(len(outputs)) for k in range(o)]
    lines += [
        "    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
        "    mask = at < count",
    ]
    if tensors:
        lines += ["    FLOAT: tl.constexpr = in0.dtype.element_ty"]
    else:
        lines += ["    FLOAT: tl.constexpr = out0.dtype.element_ty"]
    writer = _Writer(inputs, whole, [x for each in outputs for x in each])
    lines += writer.lines
    for number, each in enumerate(outputs):
        for place, value in enumerate(each):
            if isinstance(value, Scalar) or value != 0.0:
                where = f"out{number} + at * {len(each)} + {place}" if len(each) > 1 else f"out{number} + at"
                lines.append(
                    f"    tl.store({where}, {writer.operand(value)}{'' if whole else ', mask=mask'})"
                )
    return "\n".join(_with_numbers(lines, writer.numbers)) + "\n"


def _with_numbers(lines: list[str], numbers: list[str]) -> list[str]:
    """Tiles of constants stand after the line that says their type."""
    at = next(k for k, line in enumerate(lines) if "FLOAT: tl.constexpr =" in line) + 1
    return [*lines[:at], *numbers, *lines[at:]]


class _Writer:
    """The statements of a formula. `lines` are they; `numbers` define the tiles of constants."""

    def __init__(self, inputs: Mapping[str, tuple[int, int]], whole: bool, outputs: Sequence[Number]):
        self.lines: list[str] = []
        self.numbers: list[str] = []
        self._inputs = inputs
        self._mask = "" if whole else ", mask=mask, other=0.0"
        self._text: dict[int, tuple[str, int]] = {}
        self._full: dict[float, str] = {}
        self._indent = "    "
        self._write_all(outputs)

    def _write_all(self, outputs: Sequence[Number]) -> None:
        """All nodes that outputs need and that are not written yet. What a loop takes from outside has a
        name of its own."""
        order = [node for node in needed(outputs) if node.number not in self._text]
        uses: dict[int, int] = {}
        for x in (*outputs, *(y for node in order for y in node.arguments)):
            if isinstance(x, Scalar):
                uses[x.number] = uses.get(x.number, 0) + 1
        for node in order:
            if node.op == "loop":
                uses |= {x.number: 2 for x in node.arguments if isinstance(x, Scalar)}
        for node in order:
            self._write(node, uses[node.number])

    def _write_loop(self, node: Scalar) -> None:
        loop = node.graph.loops[node.label]
        names = [f"c{x.number}" for x in loop.carried]
        for name, carried, start in zip(names, loop.carried, node.arguments):
            self.lines.append(f"{self._indent}{name} = {self.operand(start)}")
            self._text[carried.number] = (name, 0)
        self.lines.append(f"{self._indent}for _ in range({loop.rounds}):")
        outer, self._indent = self._indent, self._indent + "    "
        self._write_all(loop.results)
        for name, result in zip(names, loop.results, strict=True):
            self.lines.append(f"{self._indent}n{name} = {self.operand(result)}")
        self.lines += [f"{self._indent}{name} = n{name}" for name in names]
        self._indent = outer
        self._text[node.number] = ("", 0)

    def _write(self, node: Scalar, uses: int) -> None:
        if node.op == "loop":
            self._write_loop(node)
            return
        if node.op == "item":
            whole = node.arguments[0]
            assert isinstance(whole, Scalar)
            carried = whole.graph.loops[whole.label].carried[int(node.label)]
            self._text[node.number] = self._text[carried.number]
            return
        if node.op == "input":
            tensor, place = self._inputs[node.label]
            where = f"in{tensor} + at * S{tensor} + {place}"
            self._name(node, f"tl.load({where}{self._mask})")
            return
        text, size = self._expression(node)
        if uses == 1 and size < INLINED and node.op in OPERATORS:
            self._text[node.number] = (f"({text})", size)
        else:
            self._name(node, text)

    def _name(self, node: Scalar, text: str) -> None:
        self.lines.append(f"{self._indent}v{node.number} = {text}")
        self._text[node.number] = (f"v{node.number}", 0)

    def _expression(self, node: Scalar) -> tuple[str, int]:
        """The text of an operation, and how many operations it is of."""
        size = 1 + sum(self._text[x.number][1] for x in node.arguments if isinstance(x, Scalar))
        if node.op in OPERATORS:
            a, b = (self._plain(x) for x in node.arguments)
            return f"{a} {OPERATORS[node.op]} {b}", size
        if node.op == "neg":
            return f"-{self._plain(node.arguments[0])}", size
        if node.op == "select":
            condition, a, b = (self.operand(x) for x in node.arguments)
            return f"tl.where({condition}, {a}, {b})", size
        return f"{FUNCTIONS[node.op]}({', '.join(self.operand(x) for x in node.arguments)})", size

    def _plain(self, x: Number) -> str:
        """An operand beside another: a number may be a plain one."""
        return self._text[x.number][0] if isinstance(x, Scalar) else repr(float(x))

    def operand(self, x: Number) -> str:
        """An operand that must be a tile."""
        if isinstance(x, Scalar):
            return self._text[x.number][0]
        if x not in self._full:
            self._full[x] = f"k{len(self._full)}"
            self.numbers.append(f"    {self._full[x]} = tl.full((BLOCK,), {float(x)!r}, FLOAT)")
        return self._full[x]
