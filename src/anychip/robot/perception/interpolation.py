"""Images read between their pixels: one kernel for places of any kind (the maps of a lens, of a homography,
the samples of a region), and one for the gradients by images and places. Flows in: images (..., c, h, w),
places in pixels, (0, 0) the centre of the first one. Flows out: values, linear between four pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES, Formula
from ..formulas.graph import Number, add, div, mul, sub
from ..registry import register
from .camera import distorted

TILES = Tiles(simt={"places": 128}, simd={"places": 64})
ZEROS, EDGE, REGION = 0, 1, 2
"""What is outside: 0 for each pixel that is not there; the nearest pixel; the nearest pixel up to one beyond
the edge, and 0 from there on, as samples of regions are taken."""
OUTSIDE = {"zeros": ZEROS, "edge": EDGE}


# ---- kernels -----------------------------------------------------------------------------------------


@triton.jit
def _axis(place, size, OUTSIDE: tl.constexpr):
    """Along one axis: the pixel below a place, how far the place is beyond it, whether there are pixels below
    and above, and the derivative of the place that is read by the one that was asked for."""
    last = tl.zeros((), place.dtype) + (size - 1)
    slope = tl.full(place.shape, 1.0, place.dtype)
    inside = place == place
    if OUTSIDE == 2:
        inside = (place >= -1) & (place <= last + 1)
    if OUTSIDE != 0:
        slope = tl.where((place > 0) & (place < last), slope, 0.0)
        place = tl.where(place < 0, 0.0, tl.where(place > last, last, place))
    below = tl.floor(place)
    part = place - below
    has_below = inside & (below >= 0) & (below <= last)
    has_above = inside & (below >= -1) & (below < last)
    if OUTSIDE == 2:
        # What is far outside counts for nothing, also where it is not a number.
        part = tl.where(inside, part, 0.0)
        slope = tl.where(inside, slope, 0.0)
    return tl.where(has_below | has_above, below, 0.0).to(tl.int32), part, has_below, has_above, slope


@triton.jit
def read_kernel(
    out, images, places, which, channels, height, width, count, samples, blocks, OUTSIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """out [rows, channels, count]: means over `samples` places [rows, count, samples, 2] each (x, y) of the
    images [images, channels, height, width] that `which` [rows] names."""
    distinct(out, images)
    distinct(out, places)
    distinct(out, which)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    at = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    plane = height * width
    first = images + tl.load(which + row) * channels * plane
    share = 1.0 / (tl.zeros((), images.dtype.element_ty) + samples)
    for channel in range(channels):
        total = tl.zeros((BLOCK,), images.dtype.element_ty)
        source = first + channel * plane
        for sample in range(samples):
            where = places + ((row * count + at) * samples + sample) * 2
            x = tl.load(where, mask=mask, other=0.0)
            y = tl.load(where + 1, mask=mask, other=0.0)
            left, across, has_left, has_right, _ = _axis(x, width, OUTSIDE)
            top, down, has_top, has_bottom, _ = _axis(y, height, OUTSIDE)
            corner = source + (top * width + left)
            a = tl.load(corner, mask=mask & has_left & has_top, other=0.0)
            b = tl.load(corner + 1, mask=mask & has_right & has_top, other=0.0)
            c = tl.load(corner + width, mask=mask & has_left & has_bottom, other=0.0)
            d = tl.load(corner + width + 1, mask=mask & has_right & has_bottom, other=0.0)
            upper = a * (1 - across) + b * across
            total += upper * (1 - down) + (c * (1 - across) + d * across) * down
        tl.store(out + (row * channels + channel) * count + at, total * share, mask=mask)


@triton.jit
def read_gradient_kernel(
    image_gradient, place_gradient, gradient, images, places, which, channels, height, width, count, samples,
    blocks, OUTSIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradients of `read_kernel` by images, added to what is there, and by places; None: not wanted."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    at = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    plane = height * width
    first = tl.load(which + row) * channels * plane
    share = 1.0 / (tl.zeros((), images.dtype.element_ty) + samples)
    for sample in range(samples):
        offset = ((row * count + at) * samples + sample) * 2
        x = tl.load(places + offset, mask=mask, other=0.0)
        y = tl.load(places + offset + 1, mask=mask, other=0.0)
        left, across, has_left, has_right, x_slope = _axis(x, width, OUTSIDE)
        top, down, has_top, has_bottom, y_slope = _axis(y, height, OUTSIDE)
        in_a = mask & has_left & has_top
        in_b = mask & has_right & has_top
        in_c = mask & has_left & has_bottom
        in_d = mask & has_right & has_bottom
        x_total = tl.zeros((BLOCK,), images.dtype.element_ty)
        y_total = tl.zeros((BLOCK,), images.dtype.element_ty)
        for channel in range(channels):
            corner = first + channel * plane + (top * width + left)
            g = tl.load(gradient + (row * channels + channel) * count + at, mask=mask, other=0.0) * share
            if place_gradient is not None:
                a = tl.load(images + corner, mask=in_a, other=0.0)
                b = tl.load(images + corner + 1, mask=in_b, other=0.0)
                c = tl.load(images + corner + width, mask=in_c, other=0.0)
                d = tl.load(images + corner + width + 1, mask=in_d, other=0.0)
                x_total += g * ((b - a) * (1 - down) + (d - c) * down)
                y_total += g * ((c - a) * (1 - across) + (d - b) * across)
            if image_gradient is not None:
                tl.atomic_add(image_gradient + corner, g * (1 - across) * (1 - down), mask=in_a)
                tl.atomic_add(image_gradient + corner + 1, g * across * (1 - down), mask=in_b)
                tl.atomic_add(image_gradient + corner + width, g * (1 - across) * down, mask=in_c)
                tl.atomic_add(image_gradient + corner + width + 1, g * across * down, mask=in_d)
        if place_gradient is not None:
            tl.store(place_gradient + offset, x_total * x_slope, mask=mask)
            tl.store(place_gradient + offset + 1, y_total * y_slope, mask=mask)


# ---- forward, backward -------------------------------------------------------------------------------


class Read(torch.autograd.Function):
    """Means over `samples` places [rows, count, samples, 2] of images [images, channels, height, width];
    `which` [rows], int64, says of which image."""

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, places: torch.Tensor, which: torch.Tensor, outside: int
    ) -> torch.Tensor:
        """Values [rows, channels, count]."""
        images, places = images.contiguous(), places.contiguous()
        ctx.save_for_backward(images, places, which)
        ctx.outside = outside
        rows, count, samples, _ = places.shape
        out = images.new_empty((rows, images.shape[1], count))
        block = TILES.on(images)["places"]
        blocks = cdiv(count, block)
        if out.numel():
            launch(
                read_kernel,
                rows * blocks,
                out,
                images,
                places,
                which,
                *images.shape[1:],
                count,
                samples,
                blocks,
                OUTSIDE=outside,
                BLOCK=block,
            )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients of images and places."""
        images, places, which = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        rows, count, samples, _ = places.shape
        of_images = torch.zeros_like(images) if ctx.needs_input_grad[0] else None
        of_places = torch.empty_like(places) if ctx.needs_input_grad[1] else None
        block = TILES.on(images)["places"]
        blocks = cdiv(count, block)
        if gradient.numel():
            launch(
                read_gradient_kernel,
                rows * blocks,
                of_images,
                of_places,
                gradient,
                images,
                places,
                which,
                *images.shape[1:],
                count,
                samples,
                blocks,
                OUTSIDE=ctx.outside,
                BLOCK=block,
            )
        elif of_places is not None:
            of_places.zero_()
        return of_images, of_places, None, None


KERNELS = (read_kernel, read_gradient_kernel)


def remap(image: torch.Tensor, places: torch.Tensor, outside: str = "zeros") -> torch.Tensor:
    """Values (..., c, m, n) of images (..., c, h, w) at places (..., m, n, 2), x and y in pixels, (0, 0) the
    centre of the first one, linear between four pixels; pixels outside are 0, or with `outside="edge"` the
    nearest one of the edge. The batches are alike, or one of them is none. Differentiable by both."""
    if outside not in OUTSIDE:
        raise ArgumentError(f"remap: outside is {outside!r}; say one of {sorted(OUTSIDE)}")
    if image.dim() < 3 or places.dim() < 3 or places.shape[-1] != 2 or 0 in image.shape[-2:]:
        raise ArgumentError(
            f"remap: image is {tuple(image.shape)}, places {tuple(places.shape)}; give (..., c, h, w) of at "
            f"least a pixel and (..., m, n, 2)"
        )
    if image.dtype not in DTYPES or places.dtype != image.dtype:
        raise UnsupportedDtype("remap", places.dtype if image.dtype in DTYPES else image.dtype)
    own, asked = image.shape[:-3], places.shape[:-3]
    if own and asked and own != asked:
        raise ArgumentError(
            f"remap: batches are {tuple(own)} of images, {tuple(asked)} of places; give alike"
        )
    rows = math.prod(asked if asked else own)
    if asked or not own:
        which = torch.arange(rows, device=image.device) if own else _zeros(rows, image)
        read = Read.apply(
            image.reshape(-1, *image.shape[-3:]), places.reshape(rows, -1, 1, 2), which, OUTSIDE[outside]
        )
    else:  # one map for all images: their channels are those of one
        flat = image.reshape(1, -1, *image.shape[-2:])
        read = Read.apply(flat, places.reshape(1, -1, 1, 2), _zeros(1, image), OUTSIDE[outside])
    return read.reshape(*(asked or own), image.shape[-3], *places.shape[-3:-1])  # type: ignore[no-any-return]


def _zeros(rows: int, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros(rows, dtype=torch.int64, device=like.device)


def _taken(matrix: Sequence[Sequence[Number]], pixel: Sequence[Number]) -> list[list[Number]]:
    x, y = pixel
    u, v, w = (add(add(mul(a, x), mul(b, y)), c) for a, b, c in matrix)
    return [[div(u, w), div(v, w)]]


def _shown(
    pixel: Sequence[Number], intrinsics: Sequence[Number], lens: Sequence[Number]
) -> list[list[Number]]:
    fx, fy, cx, cy = intrinsics
    x, y = distorted([div(sub(pixel[0], cx), fx), div(sub(pixel[1], cy), fy)], lens)
    return [[add(mul(fx, x), cx), add(mul(fy, y), cy)]]


_HOMOGRAPHY = Formula("homography_places", _taken, [(3, 3), (2,)], [(2,)])
_LENS = Formula("lens_places", _shown, [(2,), (4,), (5,)], [(2,)])


def _pixels(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """x and y of each pixel, (height, width, 2)."""
    rows, columns = (torch.arange(size, dtype=like.dtype, device=like.device) for size in (height, width))
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)


def warp_perspective(
    image: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int], outside: str = "zeros"
) -> torch.Tensor:
    """Images (..., c, *size) whose pixel (x, y) is that of images (..., c, h, w) at the place where the
    homographies `matrix` (..., 3, 3) take (x, y, 1): from the result to the source, as OpenCV has it with
    `WARP_INVERSE_MAP`. Linear between pixels; `outside` as for `remap`. Differentiable by both."""
    if matrix.shape[-2:] != (3, 3) or min(size) < 1:
        raise ArgumentError(
            f"warp_perspective: matrix is {tuple(matrix.shape)}, size {size}; give (..., 3, 3) and 1 or more"
        )
    places = _HOMOGRAPHY(matrix[..., None, None, :, :], _pixels(*size, image))
    return remap(image, places, outside)


def undistort_image(
    image: torch.Tensor, intrinsics: torch.Tensor, coefficients: torch.Tensor, outside: str = "zeros"
) -> torch.Tensor:
    """What a pinhole camera with the same intrinsics (..., 4), fx, fy, cx, cy, shows of what a lens after
    Brown (..., 5), k1, k2, p1, p2, k3, showed in images (..., c, h, w). `outside` as for `remap`.
    Differentiable."""
    if image.dim() < 3:
        raise ArgumentError(f"undistort_image: image is {tuple(image.shape)}; it must be (..., c, h, w)")
    pixels = _pixels(image.shape[-2], image.shape[-1], image)
    places = _LENS(pixels, intrinsics[..., None, None, :], coefficients[..., None, None, :])
    return remap(image, places, outside)


# ---- records -----------------------------------------------------------------------------------------


def read_plain(image: torch.Tensor, places: torch.Tensor, outside: str = "zeros") -> torch.Tensor:
    """`remap` as a composition: four pixels by their numbers, 0 where there is none."""
    batch = torch.broadcast_shapes(image.shape[:-3], places.shape[:-3])
    image, places = image.expand(*batch, *image.shape[-3:]), places.expand(*batch, *places.shape[-3:])
    height, width = image.shape[-2:]
    if outside == "edge":
        x, y = places[..., 0].clamp(0, width - 1), places[..., 1].clamp(0, height - 1)
    else:
        x, y = places.unbind(-1)
    left, top = x.detach().floor(), y.detach().floor()
    total = torch.zeros((), dtype=image.dtype)
    for down in (0, 1):
        for across in (0, 1):
            u, v = left + across, top + down
            there = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            at = (v.clamp(0, height - 1) * width + u.clamp(0, width - 1)).long()
            flat = at.flatten(-2)[..., None, :].expand(*at.shape[:-2], image.shape[-3], -1)
            pixel = image.flatten(-2).gather(-1, flat).unflatten(-1, at.shape[-2:])
            weight = (1 - (x - u).abs()) * (1 - (y - v).abs())
            total = total + (weight * there)[..., None, :, :] * pixel
    return total


def _warp_plain(
    image: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int], outside: str = "zeros"
) -> torch.Tensor:
    ones = torch.ones(*size, 1, dtype=image.dtype)
    there = torch.cat((_pixels(*size, image), ones), -1) @ matrix[..., None, :, :].mT
    return read_plain(image, there[..., :2] / there[..., 2:], outside)


def _undistort_plain(
    image: torch.Tensor, intrinsics: torch.Tensor, coefficients: torch.Tensor, outside: str = "zeros"
) -> torch.Tensor:
    rows, columns = image.shape[-2:]
    k1, k2, p1, p2, k3 = (x[..., None, None] for x in coefficients.unbind(-1))
    scale, centre = intrinsics[..., None, None, :2], intrinsics[..., None, None, 2:]
    x, y = ((_pixels(rows, columns, image) - centre) / scale).unbind(-1)
    r = x**2 + y**2
    radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
    u = x * radial + 2 * p1 * x * y + p2 * (r + 2 * x**2)
    v = y * radial + p1 * (r + 2 * y**2) + 2 * p2 * x * y
    return read_plain(image, torch.stack((u, v), -1) * scale + centre, outside)


def _maps(dtype: torch.dtype) -> Iterable[Sample]:
    image = tensor((2, 3, 6, 7), dtype, 0.5, 1.0)
    yield Sample((image, tensor((2, 5, 4, 2), dtype, -1.5, 7.5, seed=1)))
    yield Sample((image, tensor((5, 4, 2), dtype, -1.5, 7.5, seed=1), "edge"))
    yield Sample((image[0], tensor((2, 5, 4, 2), dtype, 0.0, 5.0, seed=1)))
    # An even image: what is rounded of places moves nothing.
    yield Sample((torch.ones(1, 2, 2, dtype=dtype), torch.full((1, 1, 2), 0.3, dtype=dtype)))


def _homographies(dtype: torch.dtype) -> Iterable[Sample]:
    matrix = torch.tensor(
        [[0.9317, 0.1173, 0.4337], [-0.0513, 1.0719, -0.3131], [0.0137, -0.0219, 1.0]], dtype=dtype
    )
    image = tensor((2, 6, 7), dtype, 0.5, 1.0)
    yield Sample((image, matrix, (5, 8), "edge"))
    yield Sample((image, matrix, (6, 7)))
    yield Sample((torch.ones(1, 2, 2, dtype=dtype), matrix, (1, 1), "edge"))


def _lenses(dtype: torch.dtype) -> Iterable[Sample]:
    lens = torch.tensor([-0.12, 0.03, 1e-3, -8e-4, -4e-3], dtype=dtype)
    intrinsics = torch.tensor([8.0, 8.0, 3.2, 2.7], dtype=dtype)
    yield Sample((tensor((2, 6, 7), dtype, 0.5, 1.0), intrinsics, lens, "edge"))


for _name, _function, _plain, _samples, _kernels in (
    ("remap", remap, read_plain, _maps, ()),
    ("warp_perspective", warp_perspective, _warp_plain, _homographies, _HOMOGRAPHY.kernels),
    ("undistort_image", undistort_image, _undistort_plain, _lenses, _LENS.kernels),
):
    register(
        Fused(
            _name,
            "image",
            _function,
            _plain,
            _samples,
            (*KERNELS, *_kernels),
            DTYPES,
            differentiable=True,
        )
    )
