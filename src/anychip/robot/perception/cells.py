"""Clouds sorted into the cells of a uniform grid, so that neighbours are looked for nearby only. Flows in:
clouds (clouds, n, 3). Flows out: `Cells`: points in the order of their cells, where each cell begins, and the
frame that places are counted in.

The grid covers where most points are: what is far outside lies in a cell of the edge, and what is no number
in none. Cells are made smaller where those that have points have many, as on a surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.launching import Tiles, cdiv, launch

TILES = Tiles(simt={"points": 256}, simd={"points": 64})
SAMPLE = 1024
"""Points that are looked at for where the grid should be."""
WANTED = 4.0
"""Points in a cell that has any."""
LARGEST_AXIS = 1 << 16
MOST_CELLS = 16
"""Cells for each point at most."""


@dataclass(frozen=True)
class Cells:
    """points [clouds, n, 3] in the order of cells, their indices [clouds, n], int32, the first place of each
    cell [clouds, cells + 2], int32, the grid's corner, the edge of its cells and its inverse [clouds, 5], and
    the cells along axes [clouds, 3], int32. The last cell has what is no number."""

    points: torch.Tensor
    index: torch.Tensor
    starts: torch.Tensor
    frame: torch.Tensor
    sizes: torch.Tensor
    cells: int


# ---- kernels -----------------------------------------------------------------------------------------


@triton.jit
def axis_cell(x, corner, inverse, size):
    """The cell along one axis: that of the edge for what is outside."""
    place = (x - corner) * inverse
    last = (size - 1).to(x.dtype)
    return tl.where(place > 0, tl.where(place < last, place, last), 0.0).to(tl.int32)


@triton.jit
def count_kernel(
    ranks, keys, counts, points, frame, sizes, n, cells, blocks, WINDING: tl.constexpr, BLOCK: tl.constexpr
):
    """Each point's cell, how many of that cell came before it, and how many a cell has. With `WINDING` cells
    are numbered so that neighbours in number are neighbours in space: every second line goes back."""
    cloud = (tl.program_id(0) // blocks).to(tl.int64)
    at = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    place = points + (cloud * n + at) * 3
    x = tl.load(place, mask=mask, other=0.0)
    y = tl.load(place + 1, mask=mask, other=0.0)
    z = tl.load(place + 2, mask=mask, other=0.0)
    inverse = tl.load(frame + cloud * 5 + 4)
    nx = tl.load(sizes + cloud * 3)
    ny = tl.load(sizes + cloud * 3 + 1)
    nz = tl.load(sizes + cloud * 3 + 2)
    i = axis_cell(x, tl.load(frame + cloud * 5), inverse, nx)
    j = axis_cell(y, tl.load(frame + cloud * 5 + 1), inverse, ny)
    k = axis_cell(z, tl.load(frame + cloud * 5 + 2), inverse, nz)
    if WINDING:
        j = tl.where(i % 2 == 1, ny - 1 - j, j)
        k = tl.where((i * ny + j) % 2 == 1, nz - 1 - k, k)
    # Infinite and undefined ones: none of their differences is 0.
    known = (x - x == 0) & (y - y == 0) & (z - z == 0)
    key = tl.where(known, (i * ny + j) * nz + k, cells)
    rank = tl.atomic_add(counts + cloud * (cells + 2) + key, 1, mask=mask)
    tl.store(keys + cloud * n + at, key, mask=mask)
    tl.store(ranks + cloud * n + at, rank, mask=mask)


@triton.jit
def starts_kernel(starts, filled, counts, length, BLOCK: tl.constexpr):
    """The sums [clouds, length] of all counts before; and how many counts are not 0."""
    distinct(starts, counts)
    distinct(filled, counts)
    cloud = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    total = 0
    some = 0
    for first in range(0, length, BLOCK):
        at = first + lane
        count = tl.load(counts + cloud * length + at, mask=at < length, other=0)
        tl.store(starts + cloud * length + at, total + tl.cumsum(count, 0) - count, mask=at < length)
        total += tl.sum(count, 0)
        some += tl.sum((count > 0).to(tl.int32), 0)
    tl.store(filled + cloud, some)


@triton.jit
def sort_kernel(
    index,
    sorted_points,
    points,
    keys,
    ranks,
    starts,
    n,
    cells,
    blocks,
    POINTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Indices in the order of cells, and with `POINTS` the points."""
    distinct(index, keys)
    distinct(index, ranks)
    distinct(index, starts)
    cloud = (tl.program_id(0) // blocks).to(tl.int64)
    at = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    key = tl.load(keys + cloud * n + at, mask=mask, other=0)
    to = tl.load(starts + cloud * (cells + 2) + key, mask=mask, other=0)
    to = cloud * n + to + tl.load(ranks + cloud * n + at, mask=mask, other=0)
    tl.store(index + to, at, mask=mask)
    if POINTS:
        for axis in tl.static_range(3):
            value = tl.load(points + (cloud * n + at) * 3 + axis, mask=mask, other=0.0)
            tl.store(sorted_points + to * 3 + axis, value, mask=mask)


KERNELS = (count_kernel, starts_kernel, sort_kernel)


# ---- functions ---------------------------------------------------------------------------------------


def _sort(
    points: torch.Tensor, frame: torch.Tensor, sizes: torch.Tensor, cells: int, winding: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Indices in the order of cells, points in it (none if winding), starts, how many cells have points."""
    clouds, n, _ = points.shape
    device = points.device
    whole: dict[str, torch.dtype | torch.device] = {"dtype": torch.int32, "device": device}
    ranks, keys, index = (torch.empty((clouds, n), **whole) for _ in range(3))  # type: ignore[call-overload]
    counts = torch.zeros((clouds, cells + 2), **whole)  # type: ignore[call-overload]
    starts, filled = torch.empty_like(counts), torch.empty(clouds, **whole)  # type: ignore[call-overload]
    block = TILES.on(device)["points"]
    blocks = cdiv(n, block)
    launch(
        count_kernel, clouds * blocks, ranks, keys, counts, points, frame, sizes, n, cells, blocks,
        WINDING=winding, BLOCK=block,
    )  # fmt: skip
    launch(starts_kernel, clouds, starts, filled, counts, cells + 2, BLOCK=TILES.on(device)["points"])
    placed = points if winding else torch.empty_like(points)
    launch(
        sort_kernel, clouds * blocks, index, placed, points, keys, ranks, starts, n, cells, blocks,
        POINTS=not winding, BLOCK=block,
    )  # fmt: skip
    return index, placed, starts, filled


def _range(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The corners (clouds, 3), float64, of where most points are, by every so manieth of them: what is
    farther beyond the hundredth from either end than these are from each other is left out."""
    taken = points[:, :: max(1, points.shape[1] // SAMPLE)].double()
    known = taken.isfinite().all(-1, keepdim=True)
    ordered = torch.where(known, taken, torch.inf).sort(1).values
    last = known.sum(1) - 1
    nothing = last < 0

    def at(part: float) -> torch.Tensor:
        place = torch.round(last.clamp(min=0) * part).to(torch.int64)
        return ordered.gather(1, place[:, None].expand(-1, 1, 3))[:, 0]

    low, high = at(0.01), at(0.99)
    span = high - low
    low, high = torch.maximum(at(0.0), low - span), torch.minimum(at(1.0), high + span)
    return low.masked_fill(nothing, 0.0), high.masked_fill(nothing, 0.0)


def _edge(span: torch.Tensor, cells: float) -> torch.Tensor:
    """The edge (clouds,) of cells of which about so many fill boxes of sizes (clouds, 3); flat ones have one
    layer."""
    ordered = span.sort(-1, descending=True).values
    edge = ordered[:, 0] / cells
    for axes in (2, 3):
        filled = (ordered[:, :axes] / cells ** (1 / axes)).log().mean(-1).exp()
        edge = torch.where(ordered[:, axes - 1] > filled, filled, edge)
    return torch.maximum(edge, ordered[:, 0] / LARGEST_AXIS)


def _frame(
    low: torch.Tensor, span: torch.Tensor, edge: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, int]:
    edge = torch.where((edge > 0) & edge.isfinite(), edge, 1.0).clamp(min=4 * torch.finfo(dtype).tiny)
    sizes = (span / edge[:, None]).clamp(max=float(LARGEST_AXIS)).to(torch.int32) + 1
    frame = torch.cat((low, edge[:, None], 1 / edge[:, None]), 1).to(dtype)
    return frame, sizes, int(sizes.prod(-1).amax())


def sorted_cells(points: torch.Tensor, least_edge: float = 0.0) -> Cells:
    """The grid of clouds (clouds, n, 3), contiguous; the edge of its cells is `least_edge` or more."""
    n = points.shape[1]
    low, high = _range(points)
    span = (high - low).clamp(max=torch.finfo(points.dtype).max / 4)
    cells = max(1.0, n / 2)
    while True:
        edge = _edge(span, cells).clamp(min=least_edge)
        frame, sizes, number = _frame(low, span, edge, points.dtype)
        index, placed, starts, filled = _sort(points, frame, sizes, number, False)
        crowd = n / max(1, int(filled.amax()))
        if crowd <= 2 * WANTED or cells >= MOST_CELLS * n or bool((edge <= least_edge).all()):
            return Cells(placed, index, starts, frame, sizes, number)
        cells = min(cells * crowd / WANTED * 2, MOST_CELLS * n)


def winding_order(queries: torch.Tensor, grid: Cells) -> torch.Tensor:
    """Indices (clouds, m), int32, of queries (clouds, m, 3) so that those that follow each other are near."""
    return _sort(queries, grid.frame, grid.sizes, grid.cells, True)[0]
