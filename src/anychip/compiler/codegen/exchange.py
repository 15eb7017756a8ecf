"""Exchanges of sorting networks: the element whose index differs in some bits.

Where it is in the same chunk of lanes, its register is shuffled. Else it is the operand at another point,
which `schedule/rounds.py` has put into memory.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from ..analysis.exchanges import EXCHANGE
from ..ir.core import Op, Value
from ..llvm.types import Val
from .evaluation import Evaluation, evaluates
from .linear import Lane
from .point import Index, Point


@evaluates(EXCHANGE)
def exchange(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """An `anychip.exchange` for one chunk."""
    axis: int = op.attrs["axis"]
    at = exchange_point(ev, op, point)
    lanes = _own_lanes(ev, point, at) if at[axis].base is point[axis].base else None
    if lanes is None:
        return ev.lane(op.operands[0], at)
    own = ev.value(op.operands[0], point)
    return own if own.lanes == 1 else ev.b.shuffle(own, lanes)


def exchange_point(ev: Evaluation, op: Op, point: Point) -> Point:
    """Where the operand of an exchange is read. Of the bits that it changes, those in which the lanes
    differ are changed in the lanes, the others in what all lanes share."""
    axis, flip = op.attrs["axis"], op.attrs["flip"]
    clear = op.result.shape[axis] - 1 & ~op.attrs["keep"]
    index = point[axis]
    key = (index, clear, flip)
    if key not in ev.exchanged:
        spanned = reduce(or_, index.pattern or (0,))
        pattern = tuple((p & ~clear) ^ (flip & spanned) for p in index.pattern) if index.pattern else None
        base = _changed(ev, index.base, clear & ~spanned, flip & ~spanned)
        ev.exchanged[key] = Index(base, pattern, (index.tag, "exchange", clear, flip))
    return (*point[:axis], ev.exchanged[key], *point[axis + 1 :])


def _changed(ev: Evaluation, base: Val | int, clear: int, flip: int) -> Val | int:
    """`base` without the bits of `clear`, and with those of `flip` turned over."""
    if isinstance(base, int):
        return (base & ~clear) ^ flip
    if clear == flip:
        return ev.b.or_(base, ev.b.int(flip)) if flip else base
    kept = ev.b.and_(base, ev.b.int(~clear)) if clear else base
    return ev.b.xor(kept, ev.b.int(flip))


def _own_lanes(ev: Evaluation, point: Point, at: Point) -> list[int] | None:
    """For each lane, the lane of the chunk at `point` that is at its place in `at`; None: it is not there."""
    own, wanted = ([i.pattern or (0,) * ev.lanes for i in p] for p in (point, at))
    place = {indices: lane for lane, indices in enumerate(zip(*own, strict=True))}
    lanes = [place.get(indices) for indices in zip(*wanted, strict=True)]
    found = [lane for lane in lanes if lane is not None]
    return found if len(found) == len(lanes) else None
