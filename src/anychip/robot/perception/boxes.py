"""Boxes of detectors: which ones stay when those that overlap a better one go (or lose of their score: N.
Bodla and others, Soft-NMS, ICCV 2017). Flows in: boxes (x1, y1, x2, y2), or turned ones, and scores. Flows
out: indices, best first."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.iteration import power_of_two
from ...ops.kernels.numbers import double
from ...ops.launching import launch, scalar_bits
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES
from ..registry import register
from .overlap import rotated_iou, rotated_plain

LARGEST = 8192
"""Boxes of one call at most: a program keeps all of them."""
DECAYS = ("gaussian", "linear")


@triton.jit
def corners(boxes, at, mask):
    """x1, y1, x2, y2 of boxes `at`."""
    left = tl.load(boxes + at * 4, mask=mask, other=0.0)
    top = tl.load(boxes + at * 4 + 1, mask=mask, other=0.0)
    right = tl.load(boxes + at * 4 + 2, mask=mask, other=0.0)
    bottom = tl.load(boxes + at * 4 + 3, mask=mask, other=0.0)
    return left, top, right, bottom


@triton.jit
def shared_with(boxes, one, left, top, right, bottom):
    """The areas of box `one` and others together: what they share, and what they cover."""
    a = tl.load(boxes + one * 4)
    b = tl.load(boxes + one * 4 + 1)
    c = tl.load(boxes + one * 4 + 2)
    d = tl.load(boxes + one * 4 + 3)
    across = tl.maximum(tl.minimum(right, c) - tl.maximum(left, a), 0.0)
    down = tl.maximum(tl.minimum(bottom, d) - tl.maximum(top, b), 0.0)
    shared = across * down
    return shared, (right - left) * (bottom - top) + (c - a) * (d - b) - shared


@triton.jit
def suppress_kernel(kept, boxes, groups, count, threshold, BLOCK: tl.constexpr):
    """Which boxes stay, 1 or 0: each one that stays takes with it all later ones that overlap it too much, of
    its group where there are groups."""
    distinct(kept, boxes)
    lane = tl.arange(0, BLOCK)
    mask = lane < count
    left, top, right, bottom = corners(boxes, lane, mask)
    limit = double(threshold).to(boxes.dtype.element_ty)
    alive = tl.where(mask, 1, 0)
    group = lane
    if groups is not None:
        distinct(kept, groups)
        group = tl.load(groups + lane, mask=mask, other=-1)
    for best in range(count):
        if tl.sum(tl.where(lane == best, alive, 0), 0) > 0:
            shared, union = shared_with(boxes, best, left, top, right, bottom)
            beaten = (lane > best) & (shared > limit * union)
            if groups is not None:
                beaten = beaten & (group == tl.load(groups + best))
            alive = tl.where(beaten, 0, alive)
    tl.store(kept + lane, alive, mask=mask)


@triton.jit
def suppress_overlaps_kernel(kept, overlaps, count, threshold, BLOCK: tl.constexpr):
    """The same by a matrix of overlaps [count, count], best box first."""
    distinct(kept, overlaps)
    lane = tl.arange(0, BLOCK)
    mask = lane < count
    limit = double(threshold).to(overlaps.dtype.element_ty)
    alive = tl.where(mask, 1, 0)
    for best in range(count):
        if tl.sum(tl.where(lane == best, alive, 0), 0) > 0:
            overlap = tl.load(overlaps + best.to(tl.int64) * count + lane, mask=mask, other=0.0)
            alive = tl.where((lane > best) & (overlap > limit), 0, alive)
    tl.store(kept + lane, alive, mask=mask)


@triton.jit
def soften_kernel(
    order, left_scores, boxes, scores, count, width, least, LINEAR: tl.constexpr, BLOCK: tl.constexpr
):
    """Boxes in the order of what is left of their scores, and these; -1 where none is left above `least`."""
    distinct(order, boxes)
    distinct(order, scores)
    distinct(left_scores, boxes)
    distinct(left_scores, scores)
    distinct(order, left_scores)
    FLOAT: tl.constexpr = boxes.dtype.element_ty
    lane = tl.arange(0, BLOCK)
    mask = lane < count
    left, top, right, bottom = corners(boxes, lane, mask)
    score = tl.load(scores + lane, mask=mask, other=float("-inf"))
    wide = double(width).to(FLOAT)
    floor = double(least).to(FLOAT)
    for rank in range(count):
        high = tl.max(score, 0)
        best = tl.argmax(score, 0)
        there = high >= floor
        tl.store(order + rank, tl.where(there, best, -1).to(tl.int64))
        tl.store(left_scores + rank, tl.where(there, high, 0.0))
        if there:
            shared, union = shared_with(boxes, best, left, top, right, bottom)
            overlap = shared / tl.where(union > 0, union, 1.0)
            if LINEAR:
                factor = tl.where(overlap > wide, 1 - overlap, 1.0)
            else:
                factor = tl.exp(-overlap * overlap / wide)
            score = tl.where(lane == best, float("-inf"), score * factor)


def _checked(name: str, boxes: torch.Tensor, scores: torch.Tensor, numbers: int = 4) -> None:
    if (
        boxes.dim() != 2
        or boxes.shape[1] != numbers
        or scores.shape != boxes.shape[:1]
        or len(boxes) > LARGEST
    ):
        raise ArgumentError(
            f"{name}: boxes are {tuple(boxes.shape)}, scores {tuple(scores.shape)}; give (n, {numbers}) and "
            f"(n), of up to {LARGEST} boxes"
        )
    if boxes.dtype not in DTYPES:
        raise UnsupportedDtype(name, boxes.dtype)


def _suppressed(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor | None, threshold: float
) -> torch.Tensor:
    order = torch.sort(scores, descending=True, stable=True).indices
    kept = torch.empty(len(boxes), dtype=torch.int32, device=boxes.device)
    if len(boxes):
        launch(
            suppress_kernel,
            1,
            kept,
            boxes.detach()[order].contiguous(),
            None if groups is None else groups[order].contiguous(),
            len(boxes),
            scalar_bits(threshold, True),
            BLOCK=power_of_two(len(boxes)),
        )
    return order[kept > 0]


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices (kept), int64, best first, of boxes (n, 4) as x1, y1, x2, y2 with scores (n): of boxes whose
    overlap, shared area by union, is above the threshold, the one of the higher score stays. Of equal
    scores the first one counts as higher. Up to 8,192 boxes."""
    _checked("nms", boxes, scores)
    return _suppressed(boxes, scores, None, threshold)


def batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float
) -> torch.Tensor:
    """As `nms`, where only boxes of one group (n), int64, such as a class or an image, are compared."""
    _checked("batched_nms", boxes, scores)
    if groups.shape != scores.shape or groups.dtype != torch.int64:
        raise ArgumentError(
            f"batched_nms: groups are {tuple(groups.shape)} of {groups.dtype}; give {tuple(scores.shape)} of "
            f"int64"
        )
    return _suppressed(boxes, scores, groups, threshold)


def soft_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    width: float,
    least: float = 0.001,
    decay: str = "gaussian",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices (kept), int64, of boxes (n, 4) as x1, y1, x2, y2 with scores (n), and what is left of their
    scores (kept): again and again the best one is taken, and others lose by their overlap o with it, a factor
    exp(-o^2 / width), or with `decay="linear"` 1 - o where o is above `width`. Those below `least` are
    dropped. Up to 8,192 boxes."""
    _checked("soft_nms", boxes, scores)
    if decay not in DECAYS or not width > 0 or not least >= 0 or scores.dtype != boxes.dtype:
        raise ArgumentError(
            f"soft_nms: decay is {decay!r}, width {width}, least {least}, scores of {scores.dtype}; say one "
            f"of {DECAYS}, a width above 0, a least score not below 0, and scores of {boxes.dtype}"
        )
    order = torch.empty(len(boxes), dtype=torch.int64, device=boxes.device)
    left = boxes.new_empty(len(boxes))
    if len(boxes):
        launch(
            soften_kernel,
            1,
            order,
            left,
            boxes.detach().contiguous(),
            scores.detach().contiguous(),
            len(boxes),
            scalar_bits(width, True),
            scalar_bits(least, True),
            LINEAR=decay == "linear",
            BLOCK=power_of_two(len(boxes)),
        )
    there = order >= 0
    return order[there], left[there]


def rotated_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """As `nms`, of turned boxes (n, 5): x and y of the centre, width, height, and the angle in radians from x
    to y."""
    _checked("rotated_nms", boxes, scores, 5)
    order = torch.sort(scores, descending=True, stable=True).indices
    kept = torch.empty(len(boxes), dtype=torch.int32, device=boxes.device)
    if len(boxes):
        best_first = boxes.detach()[order]
        launch(
            suppress_overlaps_kernel,
            1,
            kept,
            rotated_iou(best_first[:, None], best_first[None]),
            len(boxes),
            scalar_bits(threshold, True),
            BLOCK=power_of_two(len(boxes)),
        )
    return order[kept > 0]


# ---- records -----------------------------------------------------------------------------------------


def _plain(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    left = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    right = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (right - left).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    overlap = shared / (area[:, None] + area - shared)
    kept: list[int] = []
    for place in torch.sort(scores, descending=True, stable=True).indices.tolist():
        if not kept or not (overlap[place, kept] > threshold).any():
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


def _detections(dtype: torch.dtype) -> list[Sample]:
    corner, size = tensor((90, 2), dtype, 0.0, 4.0), tensor((90, 2), dtype, 0.5, 2.0, seed=1)
    # All of three stay, one of which overlaps another by a seventh: their order alone is the result.
    few = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [4.0, 0.0, 5.0, 2.0]], dtype=dtype)
    return [
        Sample((torch.cat((corner, corner + size), -1), tensor((90,), dtype, 0.0, 1.0), 0.4)),
        Sample((few, torch.tensor([0.5, 0.75, 0.25], dtype=dtype), 0.4)),
    ]


def _batched_plain(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float
) -> torch.Tensor:
    kept = []
    for group in groups.unique():
        mine = (groups == group).nonzero()[:, 0]
        kept.append(mine[_plain(boxes[mine], scores[mine], threshold)])
    found = torch.cat(kept).sort().values
    return found[torch.sort(scores[found], descending=True, stable=True).indices]


def _soft_plain(
    boxes: torch.Tensor, scores: torch.Tensor, width: float, least: float = 0.001, decay: str = "gaussian"
) -> tuple[torch.Tensor, torch.Tensor]:
    left, top, right, bottom = boxes.detach().unbind(-1)
    score, order, found = scores.detach().clone(), [], []
    while float(score.max()) >= least:
        best = int(score.argmax())
        order.append(best)
        found.append(score[best].clone())
        across = (torch.minimum(right, right[best]) - torch.maximum(left, left[best])).clamp(min=0)
        shared = across * (torch.minimum(bottom, bottom[best]) - torch.maximum(top, top[best])).clamp(min=0)
        areas = (right - left) * (bottom - top)
        overlap = shared / (areas + areas[best] - shared)
        linear = torch.where(overlap > width, 1 - overlap, 1.0)
        score = score * (linear if decay == "linear" else torch.exp(-(overlap**2) / width))
        score[best] = -1.0
    return torch.tensor(order, dtype=torch.int64), torch.stack(found)


def _rotated_plain(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    kept: list[int] = []
    for place in torch.sort(scores, descending=True, stable=True).indices.tolist():
        if all(float(rotated_plain(boxes[place], boxes[k])) <= threshold for k in kept):
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


def _grouped(dtype: torch.dtype) -> list[Sample]:
    found = []
    for sample in _detections(dtype):
        boxes, scores, threshold = sample.arguments
        found.append(Sample((boxes, scores, torch.arange(len(boxes)) % 3, threshold)))
    return found


def _softened(dtype: torch.dtype) -> list[Sample]:
    many, few = (sample.arguments[:2] for sample in _detections(dtype))
    alone = torch.tensor([[0.0, 0.0, 2.0, 2.0]], dtype=dtype), torch.tensor([0.75], dtype=dtype)
    return [Sample((*many, 0.5)), Sample((*few, 0.1, 0.01, "linear")), Sample((*alone, 0.5))]


def _turned(dtype: torch.dtype) -> list[Sample]:
    centre, size = tensor((24, 2), dtype, 0.0, 4.0), tensor((24, 2), dtype, 0.5, 2.0, seed=1)
    boxes = torch.cat((centre, size, tensor((24, 1), dtype, -3.0, 3.0, seed=2)), -1)
    few = torch.tensor([[1.0, 1, 2, 2, 0], [2.0, 2, 2, 2, 0.1], [5.0, 1, 1, 2, 0.2]], dtype=dtype)
    return [
        Sample((boxes, tensor((24,), dtype, 0.0, 1.0), 0.3)),
        Sample((few, torch.tensor([0.5, 0.75, 0.25], dtype=dtype), 0.95)),
    ]


register(Fused("nms", "detection", nms, _plain, _detections, (suppress_kernel,), DTYPES))
register(Fused("batched_nms", "detection", batched_nms, _batched_plain, _grouped, (suppress_kernel,), DTYPES))
register(Fused("soft_nms", "detection", soft_nms, _soft_plain, _softened, (soften_kernel,), DTYPES))
register(
    Fused(
        "rotated_nms",
        "detection",
        rotated_nms,
        _rotated_plain,
        _turned,
        (suppress_overlaps_kernel,),
        DTYPES,
    )
)
