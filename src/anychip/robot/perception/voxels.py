"""Clouds of points thinned to one point a cell of a grid. Flows in: points (n, 3). Flows out: the means of
cells, how many points they are of, and each point's cell."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.kernels.numbers import double
from ...ops.launching import Tiles, cdiv, launch, scalar_bits
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES, Formula
from ..formulas.small import divided
from ..registry import register

TILES = Tiles(simt={"block": 256}, simd={"block": 64})
HALF = 1 << 20
"""Cells on either side of the origin along an axis: three numbers of 21 bits make a key."""


@triton.jit
def cell_kernel(keys, points, count, size, HALF: tl.constexpr, BLOCK: tl.constexpr):
    """Each point's cell as one number, ordered by x, then y, then z."""
    distinct(keys, points)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    edge = double(size).to(points.dtype.element_ty)
    key = tl.zeros((BLOCK,), tl.int64)
    for axis in tl.static_range(3):
        x = tl.load(points + at * 3 + axis, mask=mask, other=0.0)
        key = key * (2 * HALF) + (tl.floor(x / edge).to(tl.int64) + HALF)
    tl.store(keys + at, key, mask=mask)


_MEAN = Formula("voxel_mean", lambda total, count: [divided(total, count)], [(3,), ()], [(3,)])


def voxel_downsample(points: torch.Tensor, size: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean (cells, 3) of the points (n, 3) of each cell of a grid through the origin, whose edges are
    `size` metres; how many points it is of (cells), int64; and the cell (n), int64, of each point. Cells
    are in the order of x, then y, then z. Means are differentiable."""
    if points.dim() != 2 or points.shape[1] != 3 or not size > 0:
        raise ArgumentError(
            f"voxel_downsample: points are {tuple(points.shape)}, size {size}; give (n, 3) and a size above 0"
        )
    if points.dtype not in DTYPES:
        raise UnsupportedDtype("voxel_downsample", points.dtype)
    if len(points) and not float(points.detach().abs().amax()) < size * (HALF - 1):
        raise ArgumentError(
            f"voxel_downsample: points are finite and within {HALF - 1} cells of the origin, which cells of "
            f"{size} do not reach; make them larger"
        )
    cloud = points.detach().contiguous()
    keys = torch.empty(len(cloud), dtype=torch.int64, device=cloud.device)
    block = TILES.on(cloud)["block"]
    if len(cloud):
        launch(
            cell_kernel,
            cdiv(len(cloud), block),
            keys,
            cloud,
            len(cloud),
            scalar_bits(size, True),
            HALF=HALF,
            BLOCK=block,
        )
    _, cell, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    total = points.new_zeros((len(counts), 3)).index_add(0, cell, points)
    return _MEAN(total, counts.to(points.dtype)), counts, cell


# ---- records -----------------------------------------------------------------------------------------


def _plain(points: torch.Tensor, size: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    cells = torch.floor(points.detach() / size)
    _, cell, counts = torch.unique(cells, dim=0, return_inverse=True, return_counts=True)
    shares = torch.nn.functional.one_hot(cell, len(counts)).to(points.dtype)
    return shares.T @ points / counts[:, None], counts, cell


def _clouds(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((300, 3), dtype), 1.1))


register(
    Fused(
        "voxel_downsample",
        "cloud",
        voxel_downsample,
        _plain,
        _clouds,
        (cell_kernel, *_MEAN.kernels),
        DTYPES,
        differentiable=True,
    )
)
