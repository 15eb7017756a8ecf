"""Sums over an axis of two that pick one of the two: `sum(x * mask)` with a mask of a one and a zero.

Libraries write "the left of two neighbours" so, because a tile has no other way to say it. In: a
`tt.reduce`. Out: what it picks from, and which of the two.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from ..ir.core import Op, Value
from .combining import combining_op

_EXTENSIONS = frozenset({"arith.extsi", "arith.extui"})


@dataclass(frozen=True, slots=True)
class Pick:
    """A reduction that is `source` at place `which` of the axis, extended as `extensions` do, last first."""

    source: Value
    extensions: tuple[Op, ...]
    which: int


def picked(op: Op) -> Pick | None:
    """What a `tt.reduce` over an axis of two picks; None when it is any other reduction."""
    if len(op.operands) != 1 or combining_op(op) != "arith.addi":
        return None
    extensions: list[Op] = []
    product = op.operands[0].defining_op
    while product is not None and product.name in _EXTENSIONS:
        extensions.append(product)
        product = product.operands[0].defining_op
    if product is None or product.name != "arith.muli":
        return None
    for source, mask in (product.operands, product.operands[::-1]):
        pair = _pair(mask, op.attrs["axis"])
        if pair in ([1, 0], [0, 1]):
            return Pick(source, tuple(extensions), pair.index(1))
    return None


def _pair(value: Value, axis: int) -> list[int] | None:
    """The two elements of `value` along `axis` where it is the same along every other; None: not known."""
    while (op := value.defining_op) is not None and op.name == "tt.broadcast":
        value = op.operands[0]
    shape = value.shape
    if len(shape) <= axis or shape[axis] != 2 or any(n != 1 for k, n in enumerate(shape) if k != axis):
        return None
    return _elements(value)


def _elements(value: Value) -> list[int] | None:
    """The elements of a small tile of constants, in order."""
    op = value.defining_op
    if op is None:
        return None
    if op.name == "tt.make_range":
        return list(range(op.attrs["start"], op.attrs["end"]))
    if op.name == "arith.constant":
        data = op.attrs["value"]
        return data if isinstance(data, list) else [data] * _size(value) if isinstance(data, int) else None
    if op.name not in _RULES:
        return None
    operands = [_elements(v) for v in op.operands]
    known = [o for o in operands if o is not None and len(o) == _size(value)]
    if len(known) != len(operands):
        return None
    return [_RULES[op.name](*items) for items in zip(*known, strict=True)]


def _size(value: Value) -> int:
    size = 1
    for n in value.shape:
        size *= n
    return size


def _same(item: int) -> int:
    return item


_RULES: dict[str, Callable[..., int]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.xori": operator.xor,
    "arith.trunci": _same,
    "arith.extsi": _same,
    "arith.extui": _same,
    "tt.expand_dims": _same,
    "tt.reshape": _same,
}
"""Operations on ones and zeros, which are the same in every type."""
