"""Regions of images as tensors of one size: means of samples (K. He and others, Mask R-CNN, 2017) and
largest pixels (R. Girshick, Fast R-CNN, 2015). Flows in: images and boxes in their pixels. Flows out: a grid
of bins for each box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.kernels.numbers import double
from ...ops.launching import Tiles, cdiv, launch, scalar_bits
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES, Formula
from ..formulas.graph import Number, add, div, maximum, mul, sub
from ..registry import register
from .interpolation import KERNELS, REGION, Read

TILES = Tiles(simt={"bins": 128}, simd={"bins": 32})


@triton.jit
def largest_kernel(
    out, which, images, boxes, owners, channels, height, width, scale, rows, columns, total,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """For each bin [boxes, channels, rows, columns] the largest pixel of its image's channel and its flat
    place; 0 and -1 for a bin without pixels. Bins go from the rounded edges of boxes, halves away from 0;
    their own edges are rounded outwards."""
    distinct(out, images)
    distinct(which, images)
    distinct(which, boxes)
    distinct(which, owners)
    FLOAT: tl.constexpr = images.dtype.element_ty
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    column = at % columns
    row = at // columns % rows
    channel = at // (columns * rows) % channels
    box = at // (columns * rows * channels)
    factor = double(scale).to(FLOAT)
    left = _rounded(tl.load(boxes + box * 4, mask=mask, other=0.0) * factor)
    top = _rounded(tl.load(boxes + box * 4 + 1, mask=mask, other=0.0) * factor)
    wide = tl.maximum(_rounded(tl.load(boxes + box * 4 + 2, mask=mask, other=0.0) * factor) - left + 1, 1.0)
    tall = tl.maximum(_rounded(tl.load(boxes + box * 4 + 3, mask=mask, other=0.0) * factor) - top + 1, 1.0)
    image = tl.load(owners + box, mask=mask, other=0)
    x_step = wide / columns
    y_step = tall / rows
    x0 = _inside(tl.floor(column.to(FLOAT) * x_step) + left, width)
    x1 = _inside(tl.ceil((column + 1).to(FLOAT) * x_step) + left, width)
    y0 = _inside(tl.floor(row.to(FLOAT) * y_step) + top, height)
    y1 = _inside(tl.ceil((row + 1).to(FLOAT) * y_step) + top, height)
    across = tl.max(tl.where(mask, x1 - x0, 0), 0)
    down = tl.max(tl.where(mask, y1 - y0, 0), 0)
    plane = images + (image * channels + channel) * height * width
    best = tl.full((BLOCK,), float("-inf"), FLOAT)
    found = tl.full((BLOCK,), -1, tl.int64)
    for v in range(down):
        for u in range(across):
            y = y0 + v
            x = x0 + u
            there = mask & (y < y1) & (x < x1)
            place = y * width + x
            pixel = tl.load(plane + place, mask=there, other=float("-inf"))
            # A number that is none is kept, as a largest one is not known then.
            better = there & ((pixel > best) | (found < 0) | ((pixel != pixel) & (best == best)))
            best = tl.where(better, pixel, best)
            found = tl.where(better, place.to(tl.int64), found)
    tl.store(which + at, found, mask=mask)
    tl.store(out + at, tl.where(found < 0, 0.0, best), mask=mask)


@triton.jit
def largest_gradient_kernel(
    image_gradient, gradient, which, owners, channels, plane, bins, total, BLOCK: tl.constexpr
):
    """The gradients of bins, added to the pixels that they are of."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    channel = at // bins % channels
    image = tl.load(owners + at // (bins * channels), mask=mask, other=0)
    place = tl.load(which + at, mask=mask, other=-1)
    g = tl.load(gradient + at, mask=mask, other=0.0)
    tl.atomic_add(image_gradient + (image * channels + channel) * plane + place, g, mask=mask & (place >= 0))


@triton.jit
def _rounded(x):
    """The nearest integer, halves away from 0."""
    away = tl.floor(tl.abs(x) + 0.5)
    return tl.where(x < 0, -away, away)


@triton.jit
def _inside(x, size):
    """A place brought into [0, size], as an integer; what is no number is 0."""
    limit = tl.zeros((), x.dtype) + size
    return tl.where(x > 0, tl.where(x < limit, x, limit), 0.0).to(tl.int32)


def _grid(
    box: Sequence[Number],
    scale: Number,
    shift: Number,
    least: Number,
    place: Sequence[Number],
    samples: Sequence[Number],
) -> list[list[Number]]:
    """The place of one sample: `place` counts samples from the box's corner, `samples` along its sides."""
    left, top, right, bottom = (sub(mul(x, scale), shift) for x in box)
    wide, tall = maximum(sub(right, left), least), maximum(sub(bottom, top), least)
    x, y = (div(add(at, 0.5), count) for at, count in zip(place, samples, strict=True))
    return [[add(left, mul(x, wide)), add(top, mul(y, tall))]]


_PLACES = Formula("roi_places", _grid, [(4,), (), (), (), (2,), (2,)], [(2,)])


def _checked(
    name: str,
    images: torch.Tensor,
    boxes: torch.Tensor,
    owners: torch.Tensor,
    size: tuple[int, int],
    samples: int = 1,
) -> None:
    if (
        images.dim() != 4
        or 0 in images.shape[1:]
        or boxes.dim() != 2
        or boxes.shape[1] != 4
        or owners.shape != boxes.shape[:1]
        or min(*size, samples) < 1
    ):
        raise ArgumentError(
            f"{name}: images are {tuple(images.shape)}, boxes {tuple(boxes.shape)}, owners "
            f"{tuple(owners.shape)}, size {size}; give (n, c, h, w), (k, 4), (k) and sizes of 1 or more"
        )
    if images.dtype not in DTYPES or boxes.dtype != images.dtype or owners.dtype != torch.int64:
        wrong = owners.dtype if boxes.dtype == images.dtype and images.dtype in DTYPES else boxes.dtype
        raise UnsupportedDtype(name, wrong)
    if len(owners) and not 0 <= int(owners.min()) <= int(owners.max()) < len(images):
        raise ArgumentError(f"{name}: owners name images from 0 to {len(images) - 1}")


def roi_align(
    images: torch.Tensor,
    boxes: torch.Tensor,
    owners: torch.Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
    samples: int = 2,
    aligned: bool = True,
) -> torch.Tensor:
    """Bins (k, c, *size) of boxes (k, 4), x1, y1, x2, y2 times `scale` in pixels of images (n, c, h, w), each
    box of the image that `owners` (k), int64, names: means of samples x samples values between pixels a bin.
    With `aligned` a pixel's centre is at a half, as in Detectron2; without, at its number, and boxes are at
    least a pixel wide. Differentiable by images and boxes."""
    _checked("roi_align", images, boxes, owners, size, samples)
    rows, columns = size
    like: dict[str, Any] = {"dtype": images.dtype, "device": images.device}
    counts = torch.tensor([float(columns * samples), float(rows * samples)], **like)
    line = [torch.arange(n * samples, **like).reshape(n, samples) for n in size]
    y, x = line[0][:, None, :, None], line[1][None, :, None, :]
    whole = (rows, columns, samples, samples)
    at = torch.stack((x.expand(whole), y.expand(whole)), -1).reshape(1, rows * columns, -1, 2)
    numbers = [torch.tensor(z, **like) for z in (scale, 0.5 if aligned else 0.0, 0.0 if aligned else 1.0)]
    places = _PLACES(boxes[:, None, None, :], *numbers, at, counts)
    return Read.apply(images, places, owners, REGION).unflatten(-1, size)  # type: ignore[no-any-return]


def roi_pool(
    images: torch.Tensor,
    boxes: torch.Tensor,
    owners: torch.Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
) -> torch.Tensor:
    """Largest pixels (k, c, *size) of bins of boxes (k, 4), x1, y1, x2, y2 times `scale` in pixels of images
    (n, c, h, w), rounded, each box of the image that `owners` (k), int64, names; 0 for bins without pixels.
    Differentiable by images."""
    _checked("roi_pool", images, boxes, owners, size)
    return Largest.apply(images, boxes.detach(), owners.contiguous(), size, float(scale))  # type: ignore[no-any-return]


class Largest(torch.autograd.Function):
    """`roi_pool` of arguments that were looked at."""

    @staticmethod
    def forward(
        ctx: Any,
        images: torch.Tensor,
        boxes: torch.Tensor,
        owners: torch.Tensor,
        size: tuple[int, int],
        scale: float,
    ) -> torch.Tensor:
        """Bins; which pixels they are is kept."""
        images = images.contiguous()
        which = torch.empty((len(boxes), images.shape[1], *size), dtype=torch.int64, device=images.device)
        out = images.new_empty(which.shape)
        block = TILES.on(images)["bins"]
        if which.numel():
            launch(
                largest_kernel,
                cdiv(which.numel(), block),
                out,
                which,
                images,
                boxes.contiguous(),
                owners,
                *images.shape[1:],
                scalar_bits(scale, True),
                *size,
                which.numel(),
                BLOCK=block,
            )
        ctx.save_for_backward(which, owners)
        ctx.like = images.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradient of images."""
        which, owners = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        found = gradient.new_zeros(ctx.like)
        block = TILES.on(gradient)["bins"]
        if gradient.numel():
            launch(
                largest_gradient_kernel,
                cdiv(gradient.numel(), block),
                found,
                gradient,
                which,
                owners,
                ctx.like[1],
                ctx.like[2] * ctx.like[3],
                which.shape[2] * which.shape[3],
                gradient.numel(),
                BLOCK=block,
            )
        return found, None, None, None, None


# ---- records -----------------------------------------------------------------------------------------


def _align_plain(
    images: torch.Tensor,
    boxes: torch.Tensor,
    owners: torch.Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
    samples: int = 2,
    aligned: bool = True,
) -> torch.Tensor:
    """Each sample's weights of rows and of columns as vectors: a hat around it, which the edge cuts."""
    height, width = images.shape[-2:]
    found = []
    for box, owner in zip(boxes, owners, strict=True):
        left, top, right, bottom = (box * scale - (0.5 if aligned else 0.0)).unbind()
        hats = []
        for start, end, bins, pixels in ((top, bottom, size[0], height), (left, right, size[1], width)):
            length = (end - start) if aligned else (end - start).clamp(min=1.0)
            length = length.clamp(min=0.0)
            steps = (torch.arange(bins * samples, dtype=box.dtype) + 0.5) / (bins * samples)
            at = start + length * steps
            inside = (at >= -1) & (at <= pixels)
            near = at.clamp(0, pixels - 1)[:, None] - torch.arange(pixels, dtype=box.dtype)
            hat = (1 - near.abs()).clamp(min=0) * inside[:, None]
            hats.append(hat.unflatten(0, (bins, samples)).mean(1))
        found.append(torch.einsum("ph,qw,chw->cpq", *hats, images[owner]))
    return torch.stack(found)


def _pool_plain(
    images: torch.Tensor,
    boxes: torch.Tensor,
    owners: torch.Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
) -> torch.Tensor:
    def rounded(x: float) -> int:
        return int(abs(x) + 0.5) * (1 if x >= 0 else -1)

    height, width = images.shape[-2:]
    found = []
    for box, owner in zip(boxes.detach().tolist(), owners, strict=True):
        left, top, right, bottom = (rounded(x * scale) for x in box)
        wide, tall = max(right - left + 1, 1), max(bottom - top + 1, 1)
        bins = []
        for row in range(size[0]):
            for column in range(size[1]):
                x0, x1 = left + column * wide // size[1], left - (-(column + 1) * wide // size[1])
                y0, y1 = top + row * tall // size[0], top - (-(row + 1) * tall // size[0])
                y0, y1 = (min(max(y, 0), height) for y in (y0, y1))
                x0, x1 = (min(max(x, 0), width) for x in (x0, x1))
                part = images[owner, :, y0:y1, x0:x1].flatten(-2)
                bins.append(part.amax(-1) if part.shape[-1] else images.new_zeros(images.shape[1]))
        found.append(torch.stack(bins, -1).unflatten(-1, size))
    return torch.stack(found)


def _boxes(dtype: torch.dtype) -> torch.Tensor:
    """Within, over an edge, outside, and less than a pixel."""
    rows = [[2.1, 3.3, 10.7, 12.9], [-6.2, 8.1, 5.3, 30.4], [40.2, 40.1, 44.3, 50.2], [5.1, 5.2, 5.9, 6.1]]
    return torch.tensor(rows, dtype=dtype)


def _regions(dtype: torch.dtype, *more: object) -> Iterable[Sample]:
    owners = torch.tensor([1, 0, 1, 0])
    yield Sample((tensor((2, 3, 9, 8), dtype, 0.5, 1.0), _boxes(dtype), owners, (2, 3), 0.53, *more))


def _one(image: torch.Tensor) -> Sample:
    return Sample((image, _boxes(image.dtype)[:1] / 8, torch.tensor([0]), (1, 1)))


def _aligned(dtype: torch.dtype) -> Iterable[Sample]:
    yield from _regions(dtype, 3, False)
    yield from _regions(dtype)
    # An even image: what is rounded of places moves nothing.
    yield _one(torch.ones(1, 1, 4, 4, dtype=dtype))


def _pooled(dtype: torch.dtype) -> Iterable[Sample]:
    yield from _regions(dtype)
    yield _one(torch.arange(16, dtype=dtype).reshape(1, 1, 4, 4))


register(
    Fused(
        "roi_align",
        "detection",
        roi_align,
        _align_plain,
        _aligned,
        (*KERNELS, *_PLACES.kernels),
        DTYPES,
        differentiable=True,
    )
)
register(
    Fused(
        "roi_pool",
        "detection",
        roi_pool,
        _pool_plain,
        _pooled,
        (largest_kernel, largest_gradient_kernel),
        DTYPES,
        differentiable=True,
    )
)
