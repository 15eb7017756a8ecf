"""Sorting networks: partners along an axis of two become an exchange within the tile as it was.

`tl.sort`, `tl.topk`, `tl.flip` and the sorts of other libraries reshape a tile until the bit in which two
partners differ is an axis of two, reduce along it, and spread the result over both. Nests over such shapes
are loops of two iterations within one another. In: a function whose calls are inlined. Out: the same
function where such a value is an `anychip.exchange` of the tile in the shape that it was reshaped from, and
where what is computed with it has that shape too.

Element i of an `anychip.exchange` is the operand's element `(i & keep) ^ flip` along `axis`. `inside` tells
that both are in one chunk of lanes (`rounds.py` decides).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..analysis.combining import combining_op
from ..analysis.exchanges import EXCHANGE, is_elementwise
from ..analysis.picks import picked
from ..ir.clone import clone_region
from ..ir.core import Block, Func, Op, Value
from ..ir.types import TileType, Type, with_shape
from ..targets.target import Target
from .placement import is_elementwise_region
from .rounds import keep_rounds
from .uses import blocks_of, remove_unused, replace, used

FEWEST = 3
"""Exchanges that make a network: fewer reductions over pairs stay as they are."""

_CASTS = frozenset({"tt.bitcast", "arith.extsi", "arith.extui", "arith.trunci"})
_COMMUTATIVE = frozenset(
    {
        "arith.xori",
        "arith.addi",
        "arith.andi",
        "arith.ori",
        "arith.muli",
        "arith.maxsi",
        "arith.minsi",
        "arith.maxui",
        "arith.minui",
    }
)


def rewrite_networks(func: Func, target: Target) -> None:
    """Rewrite every sorting network of `func` for `target`."""
    found = [block for block in blocks_of(func.body) if sum(map(_halves, block.ops)) >= FEWEST]
    rewritten = [block for block in found if Network(func, block).rewrite()]
    if rewritten:
        remove_unused(func)
        keep_rounds(func, target)


def _halves(op: Op) -> bool:
    return op.name == "tt.reduce" and op.operands[0].shape[op.attrs["axis"]] == 2


@dataclass(frozen=True, slots=True)
class Folded:
    """A value reduced along `axis` of a tile of `shape`: `spread` has it at both places of that axis, in
    the shape of the network."""

    spread: Value
    shape: tuple[int, ...]
    axis: int


class Network:
    """Rewrites the operations of one block.

    `flat[v]` has the elements of `v`, in the same order, in the shape of the network. `mixed` are the flat
    values that depend on an exchange: they take the place of what they stand for.
    """

    def __init__(self, func: Func, block: Block):
        self.func = func
        self.block = block
        self.flat: dict[Value, Value] = {}
        self.folded: dict[Value, Folded] = {}
        self.halves: dict[Value, Op] = {}
        self.mixed: set[Value] = set()
        self.exchanges: dict[tuple[Value, int, int, int], Value] = {}
        self.ops: list[Op] = []
        self.at = block.ops[0]

    def rewrite(self) -> bool:
        """Rewrite the block; False (and nothing is changed) where it has no network."""
        for op in self.block.ops:
            self.at = op
            rule = _RULES.get(op.name)
            if rule is not None:
                rule(self, op)
            elif is_elementwise(op):
                self._elementwise(op)
            self.ops.append(op)
        if len(self.exchanges) < FEWEST:
            return False
        self._replace()
        return True

    # --- new operations ------------------------------------------------------------------------
    def _append(self, op: Op) -> None:
        if op.name == EXCHANGE or any(v in self.mixed for v in op.operands):
            self.mixed.update(op.results)
        self.ops.append(op)

    def _make(
        self, name: str, operands: list[Value], types: list[Type], attrs: dict[str, Any] | None = None
    ) -> list[Value]:
        op = Op(name, operands, attrs=dict(attrs or {}), location=self.at.location)
        label = self.at.results[0].name if self.at.results else name
        results = [op.add_result(type, f"{label}.flat") for type in types]
        self._append(op)
        return results

    def _one(
        self, name: str, operands: list[Value], type: Type, attrs: dict[str, Any] | None = None
    ) -> Value:
        (value,) = self._make(name, operands, [type], attrs)
        return value

    def _exchange(self, value: Value, axis: int, keep: int, flip: int) -> Value:
        """An exchange, of what a cast or another exchange was made of where `value` is one."""
        op = value.defining_op
        if op is not None and op.name in _CASTS:
            inner = self._exchange(op.operands[0], axis, keep, flip)
            return self._one(op.name, [inner], value.type, op.attrs)
        if op is not None and op.name == EXCHANGE and op.attrs["axis"] == axis:
            before = op.attrs["keep"]
            keep, flip = keep & before, (flip & before) ^ op.attrs["flip"]
            return self._exchange(op.operands[0], axis, keep, flip)
        key = (value, axis, keep, flip)
        if key not in self.exchanges:
            attrs = {"axis": axis, "keep": keep, "flip": flip, "inside": False}
            self.exchanges[key] = self._one(EXCHANGE, [value], value.type, attrs)
        return self.exchanges[key]

    # --- values in the shape of the network ----------------------------------------------------
    def _twin(self, value: Value) -> Value | None:
        """`value` in the shape of its network, None where it is in none."""
        if value not in self.flat and value in self.halves:
            self._halve(self.halves[value])
        return self.flat.get(value)

    def _adapted(self, value: Value, shape: tuple[int, ...]) -> Value:
        """A tile as an operand of an operation over `shape`."""
        twin = self.flat.get(value)
        if twin is not None and twin.shape == shape:
            return twin
        op = value.defining_op
        if not value.shape or value.shape == shape:
            return value
        type = with_shape(shape, value.element)
        if op is not None and op.name == "tt.splat":
            return self._one("tt.splat", op.operands, type)
        if op is not None and op.name == "arith.constant" and not isinstance(op.attrs["value"], list):
            return self._one("arith.constant", [], type, op.attrs)
        return self._one("tt.reshape", [value], type)

    def _elementwise(self, op: Op) -> None:
        tiles = [v for v in op.operands if v.shape]
        if len(tiles) == 1 and op.name in _CASTS and tiles[0] in self.folded:
            folded = self.folded[tiles[0]]
            type = with_shape(folded.spread.shape, op.result.element)
            spread = self._one(op.name, [folded.spread], type, op.attrs)
            self.folded[op.result] = Folded(spread, folded.shape, folded.axis)
        twins = [t for t in map(self._twin, tiles) if t is not None]
        shapes = {t.shape for t in twins if t in self.mixed} or {t.shape for t in twins[:1]}
        if len(shapes) != 1:
            return
        shape = shapes.pop()
        operands = [self._adapted(v, shape) for v in op.operands]
        if op.name == "arith.xori" and (other := _xor_of_xor(*operands)) is not None:
            self.flat[op.result] = other
            return
        results = self._make(op.name, operands, [with_shape(shape, r.element) for r in op.results], op.attrs)
        self.flat.update(zip(op.results, results, strict=True))

    def _reshape(self, op: Op) -> None:
        value = op.operands[0]
        self.flat[op.result] = self._twin(value) or value

    def _expand_dims(self, op: Op) -> None:
        value = op.operands[0]
        folded = self.folded.get(value)
        if folded is not None and folded.axis == op.attrs["axis"] and len(value.shape) < len(folded.shape):
            self.folded[op.result] = folded
        elif (twin := self._twin(value)) is not None:
            self.flat[op.result] = twin

    def _broadcast(self, op: Op) -> None:
        folded = self.folded.get(op.operands[0])
        if folded is not None and folded.shape == op.result.shape:
            self.flat[op.result] = folded.spread

    # --- reductions over pairs -----------------------------------------------------------------
    def _reduce(self, op: Op) -> None:
        axis, shape = op.attrs["axis"], op.operands[0].shape
        twins = [t for t in map(self._twin, op.operands) if t is not None]
        one_shape = len(twins) == len(op.operands) and len({t.shape for t in twins}) == 1
        if not _halves(op) or not one_shape or not is_elementwise_region(op.regions[0]):
            return
        along, bit = _bit(twins[0].shape, math.prod(shape[axis + 1 :]))
        for result, spread in zip(op.results, self._spread(op, twins, along, bit), strict=True):
            self.folded[result] = Folded(spread, shape, axis)
            if result.shape:
                self.halves[result] = op

    def _spread(self, op: Op, twins: list[Value], axis: int, bit: int) -> list[Value]:
        """The results of a reduction at both places of the pair."""
        everything = twins[0].shape[axis] - 1
        pick = picked(op)
        source = self._twin(pick.source) if pick is not None else None
        if pick is not None and source is not None and source.shape == twins[0].shape:
            value = self._exchange(source, axis, everything & ~bit, pick.which * bit)
            for extension in reversed(pick.extensions):
                type = with_shape(value.shape, extension.result.element)
                value = self._one(extension.name, [value], type, extension.attrs)
            return [value]
        name = combining_op(op)
        if name in _COMMUTATIVE:
            (value,) = twins
            return [self._one(name, [value, self._exchange(value, axis, everything, bit)], value.type)]
        sides = [[self._exchange(t, axis, everything & ~bit, flip) for t in twins] for flip in (0, bit)]
        return self._applied(op, [*sides[0], *sides[1]])

    def _applied(self, op: Op, tiles: list[Value]) -> list[Value]:
        """The region of a reduction, done on whole tiles."""
        entry, shape = op.regions[0].entry, tiles[0].shape
        values = dict(zip(entry.args, tiles, strict=True))
        for inner in entry.ops[:-1]:
            operands = [values.get(v, v) for v in inner.operands]
            types: list[Type] = [TileType(shape, r.element) for r in inner.results]
            values.update(
                zip(inner.results, self._make(inner.name, operands, types, inner.attrs), strict=True)
            )
        return [self._adapted(values.get(v, v), shape) for v in entry.terminator.operands]

    def _halve(self, op: Op) -> None:
        """The results of a reduction over pairs in the shape of the network with one axis half as long."""
        twins = [self.flat[v] for v in op.operands]
        axis, bit = _bit(twins[0].shape, math.prod(op.operands[0].shape[op.attrs["axis"] + 1 :]))
        shape = twins[0].shape
        rows = (*shape[:axis], shape[axis] // (2 * bit))
        pairs = [
            self._one("tt.reshape", [t], TileType((*rows, 2, bit, *shape[axis + 1 :]), t.element))
            for t in twins
        ]
        reduced = Op(
            op.name,
            pairs,
            attrs={**op.attrs, "axis": axis + 1},
            regions=[clone_region(op.regions[0], {})],
            location=op.location,
        )
        for result in op.results:
            reduced.add_result(TileType((*rows, bit, *shape[axis + 1 :]), result.element), result.name)
        self._append(reduced)
        half = (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])
        for result, value in zip(op.results, reduced.results, strict=True):
            self.flat[result] = self._one("tt.reshape", [value], TileType(half, result.element))

    # --- the end -------------------------------------------------------------------------------
    def _replace(self) -> None:
        """Let everyone use the values of the network, reshaped to what is expected."""
        twins = {old: new for old, new in self.flat.items() if new in self.mixed}
        ready: dict[Value, Value] = {old: new for old, new in twins.items() if old.shape == new.shape}
        others = [op for b in blocks_of(self.func.body) if b is not self.block for op in b.ops]
        ops, self.ops = self.ops, []
        for op in ops:
            if op.results and all(r in twins for r in op.results):
                continue
            self.at = op
            if op is self.block.terminator:
                self._provide([v for o in others for v in used(o)], twins, ready)
            self._provide(list(used(op)), twins, ready)
            replace(op, ready)
            self.ops.append(op)
        self.block.ops = self.ops
        for op in others:
            replace(op, ready)

    def _provide(self, values: list[Value], twins: dict[Value, Value], ready: dict[Value, Value]) -> None:
        for old in values:
            if old in twins and old not in ready:
                ready[old] = self._one("tt.reshape", [twins[old]], old.type)


def _bit(shape: tuple[int, ...], weight: int) -> tuple[int, int]:
    """The axis of a tile, and the bit of its index, that steps over `weight` elements."""
    axis = len(shape) - 1
    while weight >= shape[axis]:
        weight //= shape[axis]
        axis -= 1
    return axis, weight


def _xor_of_xor(first: Value, second: Value) -> Value | None:
    """x where two values are y and y ^ x, in any order."""
    for one, other in ((first, second), (second, first)):
        op = other.defining_op
        if op is not None and op.name == "arith.xori" and one in op.operands:
            return op.operands[1] if op.operands[0] is one else op.operands[0]
    return None


_RULES: dict[str, Callable[[Network, Op], None]] = {
    "tt.reshape": Network._reshape,
    "tt.expand_dims": Network._expand_dims,
    "tt.broadcast": Network._broadcast,
    "tt.reduce": Network._reduce,
}
