"""Shared area by union of turned boxes. In the frame of one box, the part of the other inside is an integral
along x: of each edge, the height brought into the first box. It needs no corners of the polygon in between,
nor their order, and equal boxes are no special case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import (
    Number,
    absolute,
    add,
    both,
    cos,
    div,
    maximum,
    minimum,
    mul,
    neg,
    select,
    sin,
    sub,
)
from ..registry import register_formulas

CORNERS = ((0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5))


def _shared(a: Sequence[Number], b: Sequence[Number]) -> Number:
    """The shared area of boxes x, y, width, height, angle."""
    c, s = cos(a[4]), sin(a[4])
    dx, dy = sub(b[0], a[0]), sub(b[1], a[1])
    x, y = add(mul(c, dx), mul(s, dy)), sub(mul(c, dy), mul(s, dx))
    turn = sub(b[4], a[4])
    c, s = cos(turn), sin(turn)
    corners = []
    for across, up in CORNERS:
        u, v = mul(across, b[2]), mul(up, b[3])
        corners.append((add(x, sub(mul(c, u), mul(s, v))), add(y, add(mul(s, u), mul(c, v)))))
    half_width, half_height = mul(0.5, a[2]), mul(0.5, a[3])
    area: Number = 0.0
    for k, start in enumerate(corners):
        area = sub(area, _below(start, corners[(k + 1) % 4], half_width, half_height))
    return maximum(area, 0.0)


def _clamped(x: Number, limit: Number) -> Number:
    return minimum(maximum(x, neg(limit)), limit)


def _below(start: tuple[Number, Number], end: tuple[Number, Number], wide: Number, tall: Number) -> Number:
    """The integral along an edge of its height in [-tall, tall], over x in [-wide, wide]."""
    (x0, y0), (x1, y1) = start, end
    from_x, to_x = _clamped(x0, wide), _clamped(x1, wide)
    run = sub(x1, x0)
    # An upright edge: what the slope is times is 0, and the heights' share in the derivative is right.
    upright = _within(run, mul(1e-12, absolute(sub(y1, y0))))
    slope = div(sub(y1, y0), select(upright, 1.0, run))
    # At either end of what is left: from the nearer corner, so that a corner inside keeps its height.
    low = add(y0, mul(slope, sub(from_x, x0)))
    high = add(y1, mul(slope, sub(to_x, x1)))
    bottom, top = _clamped(low, tall), _clamped(high, tall)
    rise = sub(high, low)
    inside = both(_zero(sub(bottom, low)), _zero(sub(top, high)))
    level = _zero(rise)
    safe = select(level, 1.0, rise)
    before, after = div(sub(bottom, low), safe), div(sub(high, top), safe)
    between = mul(sub(1.0, add(before, after)), mul(0.5, add(bottom, top)))
    crossing = add(add(mul(before, bottom), mul(after, top)), between)
    middle = select(inside, mul(0.5, add(bottom, top)), select(level, bottom, crossing))
    return mul(sub(to_x, from_x), middle)


def _zero(x: Number) -> Number:
    return _within(x, 0.0)


def _within(x: Number, limit: Number) -> Number:
    room = sub(absolute(x), limit)
    return room <= 0.0  # type: ignore[operator, return-value]


def _iou(a: Sequence[Number], b: Sequence[Number]) -> list[Number]:
    shared = _shared(a, b)
    union = sub(add(mul(a[2], a[3]), mul(b[2], b[3])), shared)
    some = _zero(union)
    return [select(some, 0.0, div(shared, select(some, 1.0, union)))]


def _iou_3d(a: Sequence[Number], b: Sequence[Number]) -> list[Number]:
    flat = [[x[0], x[1], x[3], x[4], x[6]] for x in (a, b)]
    tops = [add(x[2], mul(0.5, x[5])) for x in (a, b)]
    bottoms = [sub(x[2], mul(0.5, x[5])) for x in (a, b)]
    height = maximum(sub(minimum(*tops), maximum(*bottoms)), 0.0)
    shared = mul(_shared(*flat), height)
    sizes = [mul(mul(x[3], x[4]), x[5]) for x in (a, b)]
    union = sub(add(*sizes), shared)
    some = _zero(union)
    return [select(some, 0.0, div(shared, select(some, 1.0, union)))]


_ROTATED = Formula("rotated_iou", _iou, [(5,), (5,)], [()])
_BOXES = Formula("box_iou_3d", _iou_3d, [(7,), (7,)], [()])


def rotated_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Shared area by union (...) of turned boxes (..., 5): x and y of the centre, width, height, and the
    angle in radians from x to y. Batches broadcast. Differentiable."""
    return _ROTATED(a, b)  # type: ignore[no-any-return]


def box_iou_3d(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Shared volume by union (...) of boxes (..., 7) that stand upright: x, y, z of the centre, length along
    x, width along y, height along z, and the turn about z in radians. Batches broadcast. Differentiable."""
    return _BOXES(a, b)  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _corners_plain(box: torch.Tensor) -> list[torch.Tensor]:
    x, y, wide, tall, angle = box.unbind()
    c, s = torch.cos(angle), torch.sin(angle)
    ends = [(across * wide, up * tall) for across, up in CORNERS]
    return [torch.stack((x + c * u - s * v, y + s * u + c * v)) for u, v in ends]


def _turn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[0] * b[1] - a[1] * b[0]


def _shared_plain(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """By cutting the polygon with one half plane after the other (I. Sutherland, G. Hodgman, 1974)."""
    polygon, cuts = _corners_plain(a), _corners_plain(b)
    for k, start in enumerate(cuts):
        way = cuts[(k + 1) % 4] - start
        sides = [_turn(way, p - start) for p in polygon]
        kept = []
        for i, (p, side) in enumerate(zip(polygon, sides)):
            q, other = polygon[i - 1], sides[i - 1]
            if (side >= 0) != (other >= 0):
                kept.append(q + (p - q) * (other / (other - side)))
            if side >= 0:
                kept.append(p)
        polygon = kept
    if len(polygon) < 3:
        return (a[0] - b[0]) * 0
    return sum(_turn(p, polygon[(i + 1) % len(polygon)]) for i, p in enumerate(polygon)) / 2  # type: ignore[return-value]


def _plainly(one: object, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = torch.broadcast_tensors(a, b)
    pairs = zip(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), strict=True)
    return torch.stack([one(p, q) for p, q in pairs]).reshape(a.shape[:-1])  # type: ignore[operator]


def rotated_plain(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`rotated_iou` as a composition, in the boxes' own frame by pairs."""

    def one(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        shared = _shared_plain(p, q)
        return shared / (p[2] * p[3] + q[2] * q[3] - shared)

    return _plainly(one, a, b)


def _upright_plain(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    flat = torch.tensor([0, 1, 3, 4, 6])

    def one(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        top = torch.minimum(p[2] + p[5] / 2, q[2] + q[5] / 2)
        height = (top - torch.maximum(p[2] - p[5] / 2, q[2] - q[5] / 2)).clamp(min=0)
        shared = _shared_plain(p[flat], q[flat]) * height
        return shared / (p[3:6].prod() + q[3:6].prod() - shared)

    return _plainly(one, a, b)


def _turned(dtype: torch.dtype) -> Iterable[Sample]:
    def drawn(seed: int) -> torch.Tensor:
        centre, size = tensor((20, 2), dtype, 0.0, 3.0, seed), tensor((20, 2), dtype, 0.8, 2.0, seed + 1)
        return torch.cat((centre, size, tensor((20, 1), dtype, -3.0, 3.0, seed + 2)), -1)

    yield Sample((drawn(0), drawn(3)))
    # One within the other; sizes just below powers of two and a result above one lose little by rounding.
    inner, outer = [[0.1, 0.2, 0.995, 0.995, 0.3]], [[0.0, 0.0, 1.98, 1.98, 0.0]]
    yield Sample((torch.tensor(inner, dtype=dtype), torch.tensor(outer, dtype=dtype)))


def _standing(dtype: torch.dtype) -> Iterable[Sample]:
    def drawn(seed: int) -> torch.Tensor:
        centre, size = tensor((12, 3), dtype, 0.0, 2.0, seed), tensor((12, 3), dtype, 0.8, 2.0, seed + 1)
        return torch.cat((centre, size, tensor((12, 1), dtype, -3.0, 3.0, seed + 2)), -1)

    yield Sample((drawn(0), drawn(3)))
    # Side by side and level: edges that are upright in the frame of the other box.
    one, other = [[0.0, 0.0, 0.0, 1.98, 1.98, 1.98, 0.0]], [[0.64, 0.001, 0.001, 1.98, 1.985, 1.985, 0.0]]
    yield Sample((torch.tensor(one, dtype=dtype), torch.tensor(other, dtype=dtype)))


register_formulas("rotated_iou", "detection", rotated_iou, rotated_plain, _turned, [_ROTATED])
register_formulas("box_iou_3d", "detection", box_iou_3d, _upright_plain, _standing, [_BOXES])
