"""Rolls unrolled loops up again: thousands of operations that repeat a few become one `scf.for`.

In: a function whose calls are inlined. Out: the same function, in which a long block that repeats itself
(`tl.static_range`) has a loop. What differs from one repetition to the next is read from a constant table
(`anychip.table`): columns, offsets, numbers. What one repetition hands to the next is carried. Scheduling,
code generation and LLVM then take the time of one repetition where they took that of all, and the code fits
into the caches of a core. A block of fewer operations than `LONG` is left alone, and so are repetitions that
differ in more than a table says.

*Addresses*, which are pure integer operations of nothing but arguments and constants, move: out of the loop
where all repetitions share them, else into it. Everything else keeps its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.core import Block, Func, Op, Region, Value
from ..ir.types import I32, I64, ElementType, PointerType, with_shape
from .kinds import Kinds, attributes, defined, used
from .repeats import longest_repetition

LONG = 3000
"""Operations of a block from which on repetitions are looked for."""
FEWEST = 8
"""Repetitions that are worth a loop."""
MOST_LOOPS = 8
"""Loops that are made of one block, one after the other."""
TABLE = "anychip.table"
"""The element of a constant table, the attribute `values`, at an index."""

ADDRESSES = frozenset(
    {
        "arith.constant",
        "arith.addi",
        "arith.subi",
        "arith.muli",
        "arith.andi",
        "arith.ori",
        "arith.xori",
        "arith.cmpi",
        "arith.select",
        "arith.maxsi",
        "arith.minsi",
        "arith.extsi",
        "arith.extui",
        "arith.trunci",
        "arith.index_cast",
        "tt.addptr",
        "tt.splat",
        "tt.make_range",
        "tt.expand_dims",
        "tt.broadcast",
        "tt.get_program_id",
        "tt.get_num_programs",
    }
)
"""Operations that are addresses if their operands are."""

_SUMS = frozenset({"arith.addi", "tt.addptr"})
_TABULATED = frozenset({"i8", "i16", "i32", "i64", "f32", "f64"})
"""Elements of tables: those that lie in memory as they lie in registers."""


def roll(func: Func) -> None:
    """Roll up what long blocks of `func` repeat, in place."""
    _region(func.body)


def _region(region: Region) -> None:
    for block in region.blocks:
        for op in block.ops:
            for nested in op.regions:
                _region(nested)
        for _ in range(MOST_LOOPS):
            if len(block.ops) < LONG or not _roll(block):
                break


def _roll(block: Block) -> bool:
    """Replace the longest repetition of `block` by a loop, if there is one that a loop can stand for."""
    known, rest = _split(block)
    stretch = longest_repetition(Kinds().of(rest))
    if stretch is None:
        return False
    start = stretch.start + _first_cut(rest[stretch.start : stretch.start + stretch.length], stretch.period)
    count = (stretch.start + stretch.length - start) // stretch.period
    for rolled in (count, count - 1):
        if rolled < FEWEST:
            break
        end = start + rolled * stretch.period
        repetitions = [rest[k : k + stretch.period] for k in range(start, end, stretch.period)]
        try:
            loop = _Loop(repetitions)
        except _Differs:
            return False
        if loop.replaces_all(rest[end:]):
            before, after = rest[:start], rest[end:]
            block.ops = _with_addresses(known, [*before, *loop.rolled(after), *after])
            return True
    return False


def _split(block: Block) -> tuple[list[Op], list[Op]]:
    """The addresses of `block`, and its other operations, each in order."""
    made = {v for op in block.ops for v in op.results}
    known: list[Op] = []
    rest: list[Op] = []
    for op in block.ops:
        if op.name in ADDRESSES and made.isdisjoint(op.operands):
            known.append(op)
            made.difference_update(op.results)
        else:
            rest.append(op)
    return known, rest


def _with_addresses(known: list[Op], ops: list[Op]) -> list[Op]:
    """`ops`, and before them the addresses that they still use."""
    needed = {v for op in ops for v in used(op)}
    kept: list[Op] = []
    for op in reversed(known):
        if not needed.isdisjoint(op.results):
            needed.update(op.operands)
            kept.append(op)
    return [*reversed(kept), *ops]


def _replace(ops: list[Op], values: dict[Value, Value]) -> None:
    for op in ops:
        for inner in op.walk():
            inner.operands = [values.get(v, v) for v in inner.operands]
            inner.successors = [(to, [values.get(v, v) for v in passed]) for to, passed in inner.successors]


def _first_cut(ops: list[Op], period: int) -> int:
    """How many of `ops`, which repeat themselves, to leave before the first repetition, so that one hands as
    little as may be to the next."""
    where = {v: place for place, op in enumerate(ops) for v in op.results}
    change = [0] * (len(ops) + 1)
    for place, op in enumerate(ops):
        for value in used(op):
            if value in where:
                change[where[value] + 1] += 1
                change[place + 1] -= 1
    crossing, totals = 0, [0] * period
    for place in range(len(ops) // period * period):
        crossing += change[place]
        if place >= period:
            totals[place % period] += crossing
    return min(range(period), key=totals.__getitem__)


class _Differs(Exception):
    """The repetitions differ in a way that no table expresses."""


class _Loop:
    """One loop of equal `repetitions`. Raises `_Differs`; nothing is changed before `rolled`."""

    def __init__(self, repetitions: list[list[Op]]):
        self.repetitions = repetitions
        self.near = repetitions[0][0].location
        self.values = [[v for op in repetition for v in defined(op)] for repetition in repetitions]
        self.places = [{v: place for place, v in enumerate(values)} for values in self.values]
        self.inside = set().union(*self.places)
        self.body = Block()
        self.counter = self.body.add_arg(I32, "repetition")
        self.carried: dict[tuple[int, Value], Value] = {}
        """What a repetition takes from the one before it, by its place there and what the first one takes."""
        self._one_for_all: dict[tuple[Value, ...], Value] = {}
        self._tables: dict[tuple[ElementType, str], Value] = {}
        uses = ([v for op in repetition for v in used(op)] for repetition in repetitions)
        self.replaced = [self._operand(values) for values in zip(*uses, strict=True)]

    def replaces_all(self, after: list[Op]) -> bool:
        """Whether the operations `after` the loop use nothing of it but its results."""
        results = {self.values[-1][place] for place, _ in self.carried}
        return all(v in results or v not in self.inside for op in after for v in used(op))

    def rolled(self, after: list[Op]) -> list[Op]:
        """The loop and what it needs before it. The operations `after` it use its results from now on."""
        operands = iter(self.replaced)
        for op in self.repetitions[0]:
            for inner in op.walk():
                inner.operands = [next(operands) for _ in inner.operands]
                inner.successors = [(to, [next(operands) for _ in passed]) for to, passed in inner.successors]
        bounds = [self._constant(n) for n in (0, len(self.repetitions), 1)]
        own = self.values[0]
        yielded = Op("scf.yield", [own[place] for place, _ in self.carried], location=self.near)
        self.body.ops += [*self.repetitions[0], yielded]
        loop = Op(
            "scf.for",
            [*(op.result for op in bounds), *(first for _, first in self.carried)],
            regions=[Region([self.body])],
            location=self.near,
        )
        results: dict[Value, Value] = {}
        for (place, _), argument in self.carried.items():
            result = loop.add_result(argument.type, argument.name)
            results[self.values[-1][place]] = result
        _replace(after, results)
        return [*bounds, loop]

    def _constant(self, value: int) -> Op:
        op = Op("arith.constant", attrs={"value": value}, location=self.near)
        op.add_result(I32, "repetitions")
        return op

    def _make(self, name: str, operands: list[Value], like: Value, attrs: dict[str, Any]) -> Value:
        """The result of a new operation of the body, of the type of `like`."""
        op = Op(name, operands, attrs=attrs, location=self.near)
        self.body.ops.append(op)
        return op.add_result(like.type, like.name)

    def _operand(self, values: tuple[Value, ...]) -> Value:
        """What stands in the loop for one operand, which is `values[k]` in repetition k."""
        first, *others = values
        place = self.places[0].get(first)
        if place is not None:
            if all(places.get(v) == place for v, places in zip(values, self.places, strict=True)):
                return first
        elif self.inside.isdisjoint(values):
            return self._outside(values)
        else:
            places = {before.get(v) for v, before in zip(others, self.places, strict=False)}
            place = places.pop()
            if not places and place is not None and first not in self.inside:
                key = (place, first)
                if key not in self.carried:
                    self.carried[key] = self.body.add_arg(first.type, first.name)
                return self.carried[key]
        raise _Differs

    def _outside(self, values: tuple[Value, ...]) -> Value:
        """What is `values[k]`, which are made outside of the loop, in repetition k."""
        first = values[0]
        if all(v is first for v in values):
            return first
        if values not in self._one_for_all:
            self._one_for_all[values] = self._sum(values) or self._alike(values)
        return self._one_for_all[values]

    def _sum(self, values: tuple[Value, ...]) -> Value | None:
        """The sum of what `values` have in common and of a table; the table alone if they are constants."""
        first = values[0]
        roots, offsets = zip(*map(_root_and_offset, values), strict=True)
        if any(root is not roots[0] for root in roots):
            return None
        if isinstance(first.element, PointerType):
            if roots[0] is None:
                return None
            fits = all(-(1 << 31) <= offset < 1 << 31 for offset in offsets)
            offset = self._table(first.shape, I32 if fits else I64, offsets)
            return self._make("tt.addptr", [roots[0], offset], first, {})
        table = self._table(first.shape, first.element, [_wrapped(x, first.element) for x in offsets])
        if roots[0] is None:
            return table
        return self._make("arith.addi", [roots[0], table], first, {"overflow": "none"})

    def _alike(self, values: tuple[Value, ...]) -> Value:
        """The operation that makes all of `values`, on what stands for its operands."""
        first, ops = values[0], [v.defining_op for v in values]
        made = [op for op in ops if op is not None]
        if len(made) < len(ops) or made[0].name not in ADDRESSES or not made[0].operands:
            raise _Differs
        alike = {
            (op.name, attributes(op), tuple(v.type for v in op.operands), v.type)
            for op, v in zip(made, values, strict=True)
        }
        if len(alike) > 1:
            raise _Differs
        operands = [self._outside(vs) for vs in zip(*(op.operands for op in made), strict=True)]
        return self._make(made[0].name, operands, first, dict(made[0].attrs))

    def _table(self, shape: tuple[int, ...], element: ElementType, values: Sequence[Any]) -> Value:
        """The number of `values` for the repetition at hand, in every element of `shape`."""
        if str(element) not in _TABULATED:
            raise _Differs
        key = (element, repr(values))  # zeros of either sign are equal
        if key not in self._tables:
            like = Value(element, "table")
            self._tables[key] = self._make(TABLE, [self.counter], like, {"values": tuple(values)})
        table = self._tables[key]
        return (
            self._make("tt.splat", [table], Value(with_shape(shape, element), "table"), {})
            if shape
            else table
        )


def _root_and_offset(value: Value) -> tuple[Value | None, Any]:
    """`value` as a sum of another one and a constant; a constant is the sum of nothing and itself."""
    offset = 0
    while (op := value.defining_op) is not None:
        if op.name == "arith.constant" and isinstance(number := op.attrs["value"], int | float):
            return None, number + offset if offset else number  # a zero keeps its sign
        if op.name not in _SUMS:
            break
        numbers = [_whole_number(v) for v in op.operands]
        if numbers[1] is None and (numbers[0] is None or op.name == "tt.addptr"):
            break
        constant = 0 if numbers[1] is None else 1
        offset += numbers[constant] or 0
        value = op.operands[1 - constant]
    return value, offset


def _wrapped(number: Any, element: ElementType) -> Any:
    """An integer, a sum of several, as it is in two's complement."""
    if not isinstance(number, int):
        return number
    half = 1 << 8 * element.bytes - 1
    return (number + half) % (2 * half) - half


def _whole_number(value: Value) -> int | None:
    op = value.defining_op
    number = op.attrs["value"] if op is not None and op.name == "arith.constant" else None
    return number if isinstance(number, int) else None
