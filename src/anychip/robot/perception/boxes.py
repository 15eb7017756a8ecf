"""Boxes of detectors: which ones stay when those that overlap a better one go. Flows in: boxes (x1, y1,
x2, y2) and scores. Flows out: indices, best first."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES
from ..registry import register

LARGEST = 8192
"""Boxes of one call at most: a program keeps all of them."""


@triton.jit
def suppress_kernel(kept, boxes, count, threshold, BLOCK: tl.constexpr):
    """Which boxes stay, 1 or 0: each one that stays takes with it all later ones that overlap it too much."""
    distinct(kept, boxes)
    lane = tl.arange(0, BLOCK)
    mask = lane < count
    left = tl.load(boxes + lane * 4, mask=mask, other=0.0)
    top = tl.load(boxes + lane * 4 + 1, mask=mask, other=0.0)
    right = tl.load(boxes + lane * 4 + 2, mask=mask, other=0.0)
    bottom = tl.load(boxes + lane * 4 + 3, mask=mask, other=0.0)
    area = (right - left) * (bottom - top)
    limit = threshold.to(boxes.dtype.element_ty)
    alive = tl.where(mask, 1, 0)
    for best in range(count):
        if tl.sum(tl.where(lane == best, alive, 0), 0) > 0:
            a = tl.load(boxes + best * 4)
            b = tl.load(boxes + best * 4 + 1)
            c = tl.load(boxes + best * 4 + 2)
            d = tl.load(boxes + best * 4 + 3)
            width = tl.maximum(tl.minimum(right, c) - tl.maximum(left, a), 0.0)
            height = tl.maximum(tl.minimum(bottom, d) - tl.maximum(top, b), 0.0)
            shared = width * height
            union = area + (c - a) * (d - b) - shared
            alive = tl.where((lane > best) & (shared > limit * union), 0, alive)
    tl.store(kept + lane, alive, mask=mask)


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices (kept), int64, best first, of boxes (n, 4) as x1, y1, x2, y2 with scores (n): of boxes whose
    overlap, shared area by union, is above the threshold, the one of the higher score stays. Of equal
    scores the first one counts as higher. Up to 8,192 boxes."""
    if boxes.dim() != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1] or len(boxes) > LARGEST:
        raise ArgumentError(
            f"nms: boxes are {tuple(boxes.shape)}, scores {tuple(scores.shape)}; give (n, 4) and (n), of up "
            f"to {LARGEST} boxes"
        )
    if boxes.dtype not in DTYPES:
        raise UnsupportedDtype("nms", boxes.dtype)
    order = torch.sort(scores, descending=True, stable=True).indices
    kept = torch.empty(len(boxes), dtype=torch.int32, device=boxes.device)
    if len(boxes):
        launch(
            suppress_kernel,
            1,
            kept,
            boxes.detach()[order].contiguous(),
            len(boxes),
            float(threshold),
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


register(Fused("nms", "detection", nms, _plain, _detections, (suppress_kernel,), DTYPES))
