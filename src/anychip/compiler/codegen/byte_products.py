"""Products of four neighbouring bytes, added to a lane of 32 bits: by the instruction that a target has for
them, by instructions that add two neighbours, or by shifts and multiplications on any target."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Op
from ..llvm.builder import Builder
from ..llvm.types import LLType, Val
from ..targets.target import Target
from .dot_instruction import emit_dot_product
from .elementwise import computes


@dataclass(frozen=True, slots=True)
class _PairSums:
    """A value is `start` and the sums of neighbours of `words`, 16 bits of at most `largest`."""

    start: Val
    words: Val
    largest: int


@computes("anychip.dot_bytes")
def _dot_bytes(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    """total + a . b over four bytes. Bytes of "u1" to "u7" have so many bits at most, so that they count as
    signed and unsigned."""
    left, right = op.attrs["left"], op.attrs["right"]
    x, y, total = b.unify(*args)
    if total.lanes == 1 or total.lanes != target.lanes(32):
        return _plain(b, x, left, y, right, total)
    dot = target.dot("i8")
    for (u, u_kind), (v, v_kind) in (((x, left), (y, right)), ((y, right), (x, left))):
        if v_kind == "u8":
            continue
        if dot is not None and (u_kind in _NARROW or (u_kind == "u8") == dot.unsigned_left):
            return emit_dot_product(b, dot, total, u, v)
        if target.byte_pairs and u_kind in _NARROW:
            return _by_byte_pairs(b, target, u, v, 2 * _NARROW[u_kind] * _NARROW.get(v_kind, 128), total)
    if target.word_pairs:
        return b.add(total, _by_word_pairs(b, target, x, left, y, right))
    return _plain(b, x, left, y, right, total)


_NARROW = {f"u{bits}": (1 << bits) - 1 for bits in range(1, 8)}
"""Kinds of bytes that are the same signed and unsigned -> the largest."""


def _by_byte_pairs(b: Builder, target: Target, x: Val, y: Val, largest: int, total: Val) -> Val:
    """Sums of two, at most 127 * 128 each, never saturate. Where the total is such sums itself and 16 bits
    hold them together with these, they are added first; what was made of them alone is then unused."""
    words = LLType("i16", 2 * x.lanes)
    pairs = b.call(target.byte_pairs, words, [_as(b, x, "i8"), _as(b, y, "i8")])
    made = _PairSums(total, pairs, largest)
    before = b.remembered.get(total.ref)
    if isinstance(before, _PairSums) and before.largest + largest < 1 << 15:
        made = _PairSums(before.start, b.add(before.words, pairs), before.largest + largest)
    ones = b.splat(b.int(1, LLType("i16")), words.lanes)
    result = b.add(made.start, b.call(target.word_pairs, x.type, [made.words, ones]))
    b.remembered[result.ref] = made
    return result


def _by_word_pairs(b: Builder, target: Target, x: Val, left: str, y: Val, right: str) -> Val:
    """Even and odd bytes apart, so that no byte changes its lane."""
    halves = zip(_even_and_odd(b, x, left), _even_and_odd(b, y, right), strict=True)
    even, odd = (b.call(target.word_pairs, x.type, [u, v]) for u, v in halves)
    return b.add(even, odd)


def _even_and_odd(b: Builder, x: Val, kind: str) -> tuple[Val, Val]:
    words = _as(b, x, "i16")
    eight = b.splat(b.int(8, LLType("i16")), words.lanes)
    right = b.ashr if kind == "s8" else b.lshr
    return right(b.shl(words, eight), eight), right(words, eight)


def _plain(b: Builder, x: Val, left: str, y: Val, right: str, total: Val) -> Val:
    for k in range(4):
        factors = []
        for value, kind in ((x, left), (y, right)):
            up = b.shl(value, b.int(24 - 8 * k, value.type))
            factors.append((b.ashr if kind == "s8" else b.lshr)(up, b.int(24, value.type)))
        total = b.add(total, b.mul(*factors))
    return total


def _as(b: Builder, x: Val, element: str) -> Val:
    """The same bits as a vector of smaller integers."""
    type = LLType(element, x.lanes * 32 // int(element[1:]))
    return b.raw(type, f"bitcast {x} to {type}")
