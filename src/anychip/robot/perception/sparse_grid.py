"""Convolutions over voxels that are there (B. Graham and others, 3D semantic segmentation with submanifold
sparse convolutional networks, CVPR 2018). Flows in: the integer places of voxels, their features, weights.
Flows out: features of the same voxels. Neighbours are found by halving sorted keys; the products of all
taps are one kernel, which gathers its rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES
from ..registry import register

TILES = Tiles(
    simt={"rows": 32, "columns": 32, "inner": 16, "places": 128},
    simd={"rows": 16, "columns": 32, "inner": 16, "places": 64},
)
HALF = 1 << 17
"""Places on either side of 0 along an axis: three numbers of 18 bits, and a batch's of 9, make a key."""
BATCHES = 1 << 9


# ---- kernels -----------------------------------------------------------------------------------------


@triton.jit
def neighbour_kernel(found, keys, order, own, offsets, count, taps, steps, total, BLOCK: tl.constexpr):
    """For each voxel and tap [count, taps] the voxel whose key is the voxel's own and the tap's offset, -1
    where there is none: `keys` are sorted, `order` says whose they are."""
    distinct(found, keys)
    distinct(found, order)
    distinct(found, own)
    distinct(found, offsets)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    wanted = tl.load(own + at // taps, mask=mask, other=0) + tl.load(offsets + at % taps, mask=mask, other=0)
    low = tl.zeros((BLOCK,), tl.int64)
    high = low + count
    for _ in range(steps):
        middle = (low + high) // 2
        inside = mask & (low < high)
        less = tl.load(keys + middle, mask=inside, other=0) < wanted
        low = tl.where(inside & less, middle + 1, low)
        high = tl.where(inside & (less == 0), middle, high)
    there = mask & (low < count)
    hit = there & (tl.load(keys + low, mask=there, other=0) == wanted)
    tl.store(found + at, tl.where(hit, tl.load(order + low, mask=hit, other=0), -1).to(tl.int32), mask=mask)


@triton.jit
def gathered_product_kernel(
    out, source, neighbours, weight, bias, rows, inner, columns, taps, tap_stride, inner_stride,
    column_stride, last_tap, tap_step, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """out [rows, columns]: the sum over taps of the gathered source [., inner] times the tap's weight. Taps
    of neighbours are counted from `last_tap` on by `tap_step`."""
    distinct(out, source)
    distinct(out, neighbours)
    distinct(out, weight)
    FLOAT: tl.constexpr = out.dtype.element_ty
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_rows, in_columns = row < rows, column < columns
    total = tl.zeros((ROWS, COLUMNS), FLOAT)
    for tap in range(taps):
        at = neighbours + row * taps + (last_tap + tap * tap_step)
        which = tl.load(at, mask=in_rows, other=-1)
        if tl.max(which, 0) >= 0:
            for first in range(0, inner, INNER):
                k = first + tl.arange(0, INNER)
                in_inner = k < inner
                a_at = source + which[:, None].to(tl.int64) * inner + k[None, :]
                a = tl.load(a_at, mask=(which[:, None] >= 0) & in_inner[None, :], other=0.0)
                b_at = weight + tap * tap_stride + k[:, None] * inner_stride + column[None, :] * column_stride
                b = tl.load(b_at, mask=in_inner[:, None] & in_columns[None, :], other=0.0)
                total = tl.dot(a, b, total, input_precision="ieee", out_dtype=FLOAT)
    if bias is not None:
        total += tl.load(bias + column, mask=in_columns, other=0.0)[None, :]
    tl.store(
        out + row[:, None] * columns + column[None, :], total, mask=in_rows[:, None] & in_columns[None, :]
    )


@triton.jit
def weight_gradient_kernel(
    out, source, gradient, neighbours, rows, inner, columns, taps, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
):  # fmt: skip
    """out [taps, inner, columns]: for each tap the gathered source, turned, times the gradient."""
    distinct(out, source)
    distinct(out, gradient)
    distinct(out, neighbours)
    FLOAT: tl.constexpr = out.dtype.element_ty
    tap = tl.program_id(2)
    k = tl.program_id(0) * INNER + tl.arange(0, INNER)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_inner, in_columns = k < inner, column < columns
    total = tl.zeros((INNER, COLUMNS), FLOAT)
    for first in range(0, rows, ROWS):
        row = (first + tl.arange(0, ROWS)).to(tl.int64)
        which = tl.load(neighbours + row * taps + tap, mask=row < rows, other=-1)
        if tl.max(which, 0) >= 0:
            a_at = source + which[None, :].to(tl.int64) * inner + k[:, None]
            a = tl.load(a_at, mask=in_inner[:, None] & (which[None, :] >= 0), other=0.0)
            b_at = gradient + row[:, None] * columns + column[None, :]
            b = tl.load(b_at, mask=(row < rows)[:, None] & in_columns[None, :], other=0.0)
            total = tl.dot(a, b, total, input_precision="ieee", out_dtype=FLOAT)
    at = out + (tap.to(tl.int64) * inner + k[:, None]) * columns + column[None, :]
    tl.store(at, total, mask=in_inner[:, None] & in_columns[None, :])


# ---- forward, backward -------------------------------------------------------------------------------


def _product(
    source: torch.Tensor, neighbours: torch.Tensor, weight: torch.Tensor, bias: Any, back: bool
) -> torch.Tensor:
    """Gathered rows times weights [taps, in, out]; `back`: times turned weights, from the rows that the taps
    reach to the voxels they are reached from."""
    taps, inner, columns = weight.shape
    strides = weight.stride()
    if back:
        inner, columns = columns, inner
        strides = (strides[0], strides[2], strides[1])
    out = source.new_empty((len(neighbours), columns))
    tiles = TILES.on(source)
    if out.numel():
        launch(
            gathered_product_kernel,
            (cdiv(len(out), tiles["rows"]), cdiv(columns, tiles["columns"])),
            out,
            source,
            neighbours,
            weight,
            bias,
            len(out),
            inner,
            columns,
            taps,
            *strides,
            taps - 1 if back else 0,
            -1 if back else 1,
            ROWS=tiles["rows"],
            COLUMNS=tiles["columns"],
            INNER=tiles["inner"],
        )
    return out


class Sparse(torch.autograd.Function):
    """features [voxels, in], weights [taps, in, out], bias [out] or None, neighbours [voxels, taps]."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, bias: Any, neighbours: torch.Tensor
    ) -> torch.Tensor:
        """Features [voxels, out]."""
        features, weight = features.contiguous(), weight.contiguous()
        ctx.save_for_backward(features, weight, neighbours)
        return _product(features, neighbours, weight, None if bias is None else bias.contiguous(), False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients of features, weights and bias. Who reaches a voxel by a tap is reached by the
        opposite one."""
        features, weight, neighbours = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        of_features = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_features = _product(gradient, neighbours, weight, None, True)
        if ctx.needs_input_grad[1]:
            of_weight = torch.empty_like(weight)
            taps, inner, columns = weight.shape
            tiles = TILES.on(features)
            launch(
                weight_gradient_kernel,
                (cdiv(inner, tiles["inner"]), cdiv(columns, tiles["columns"]), taps),
                of_weight,
                features,
                gradient,
                neighbours,
                len(neighbours),
                inner,
                columns,
                taps,
                ROWS=tiles["rows"],
                COLUMNS=tiles["columns"],
                INNER=tiles["inner"],
            )
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return of_features, of_weight, of_bias, None


def _keys(places: torch.Tensor) -> torch.Tensor:
    scale = torch.tensor([1 << 54, 1 << 36, 1 << 18, 1], device=places.device)
    middle = torch.tensor([0, HALF, HALF, HALF], device=places.device)
    return ((places + middle) * scale).sum(-1)


def voxel_neighbours(places: torch.Tensor, size: int) -> torch.Tensor:
    """Which voxels lie around each voxel: indices (n, size^3), int32, -1 where there is none, of voxels at
    places (n, 4), int64, of batch, x, y and z, all different; taps go through x, then y, then z, the voxel
    itself in the middle; `size` is odd."""
    if places.dim() != 2 or places.shape[1] != 4 or places.dtype != torch.int64 or size < 1 or not size % 2:
        raise ArgumentError(
            f"voxel_neighbours: places are {tuple(places.shape)} of {places.dtype}, size {size}; give (n, 4) "
            f"of int64 and an odd size"
        )
    reach = size // 2
    taps = size**3
    found = torch.empty((len(places), taps), dtype=torch.int32, device=places.device)
    if not len(places):
        return found
    inside = (places[:, 1:].abs() < HALF - reach).all() & (places[:, 0] >= 0).all()
    if not bool(inside & (places[:, 0] < BATCHES).all()):
        raise ArgumentError(
            f"voxel_neighbours: places go beyond {HALF - reach - 1} along an axis, or batches beyond "
            f"{BATCHES - 1}; move them nearer to 0"
        )
    own = _keys(places)
    keys, order = torch.sort(own)
    if bool((keys[1:] == keys[:-1]).any()):
        raise ArgumentError("voxel_neighbours: two voxels are at one place; keep one of them")
    line = torch.arange(-reach, reach + 1, device=places.device)
    steps = torch.cartesian_prod(line, line, line).reshape(-1, 3)
    offsets = (steps * torch.tensor([1 << 36, 1 << 18, 1], device=places.device)).sum(-1)
    block = TILES.on(places)["places"]
    launch(
        neighbour_kernel,
        cdiv(found.numel(), block),
        found,
        keys,
        order,
        own,
        offsets,
        len(places),
        taps,
        power_of_two(len(places)).bit_length(),
        found.numel(),
        BLOCK=block,
    )
    return found


def sparse_convolution(
    features: torch.Tensor, places: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Features (n, out) of voxels at places (n, 4), int64, of batch, x, y and z, all different: the sum over
    voxels in a cube around each of their features (n, in) times the weight (k, k, k, in, out) of where they
    are in it, and a bias (out). What is not there counts as 0, and no voxel is added (submanifold). k is odd.
    Differentiable by features, weight and bias."""
    sizes = weight.shape[:3]
    if (
        features.dim() != 2
        or weight.dim() != 5
        or len(set(sizes)) != 1
        or weight.shape[3] != features.shape[1]
        or len(places) != len(features)
        or (bias is not None and bias.shape != weight.shape[4:])
    ):
        raise ArgumentError(
            f"sparse_convolution: features are {tuple(features.shape)}, places {tuple(places.shape)}, weight "
            f"{tuple(weight.shape)}; give (n, in), (n, 4), (k, k, k, in, out), and a bias (out) or none"
        )
    if features.dtype not in DTYPES or weight.dtype != features.dtype:
        wrong = weight.dtype if features.dtype in DTYPES else features.dtype
        raise UnsupportedDtype("sparse_convolution", wrong)
    found = voxel_neighbours(places, sizes[0])
    return Sparse.apply(features, weight.flatten(0, 2), bias, found)  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _plain(
    features: torch.Tensor, places: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """A dense convolution, looked at where voxels are."""
    low = places.amin(0)
    sizes = (places - low).amax(0) + 1
    batch, x, y, z = (places - low).unbind(-1)
    dense = features.new_zeros((*sizes.tolist(), features.shape[1]))
    dense = dense.index_put((batch, x, y, z), features)
    turned = weight.permute(4, 3, 0, 1, 2)
    out = torch.nn.functional.conv3d(dense.movedim(-1, 1), turned, bias, padding=weight.shape[0] // 2)
    return out.movedim(1, -1)[batch, x, y, z]


def _neighbours_plain(places: torch.Tensor, size: int) -> torch.Tensor:
    known = {tuple(place): k for k, place in enumerate(places.tolist())}
    line = range(-(size // 2), size // 2 + 1)
    rows = [
        [known.get((b, x + i, y + j, z + k), -1) for i, j, k in itertools.product(line, line, line)]
        for b, x, y, z in places.tolist()
    ]
    return torch.tensor(rows, dtype=torch.int32)


def _places(count: int) -> torch.Tensor:
    """Different places of two batches in a box of 5 x 4 x 6."""
    drawn = torch.randperm(240, generator=torch.Generator().manual_seed(3))[:count]
    return torch.stack((drawn // 120, drawn // 24 % 5 - 2, drawn // 6 % 4, drawn % 6 + 7), -1)


def _voxels(dtype: torch.dtype) -> Iterable[Sample]:
    weight = tensor((3, 3, 3, 5, 7), dtype, seed=1)
    yield Sample((tensor((90, 5), dtype), _places(90), weight, tensor((7,), dtype, seed=2)))
    yield Sample((torch.ones(1, 1, dtype=dtype), _places(1), torch.ones(1, 1, 1, 1, 1, dtype=dtype)))


KERNELS = (neighbour_kernel, gathered_product_kernel, weight_gradient_kernel)
register(
    Fused(
        "sparse_convolution",
        "volume",
        sparse_convolution,
        _plain,
        _voxels,
        KERNELS,
        DTYPES,
        differentiable=True,
    )
)
register(
    Fused(
        "voxel_neighbours",
        "volume",
        voxel_neighbours,
        _neighbours_plain,
        lambda _: [Sample((_places(90), 3)), Sample((_places(1), 1))],
        (neighbour_kernel,),
        (torch.float32,),
    )
)
