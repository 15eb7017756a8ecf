"""Neighbours in clouds of points: the nearest ones, those within a radius, and those farthest from each
other. Flows in: points (..., n, 3). Flows out: indices, and squared distances with gradients. In small
clouds every point is looked at: a program keeps the best of a query and reads the cloud in blocks. Large ones
are sorted into the cells of a grid first (`cells.py`, `cell_search.py`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES, Formula
from ..formulas.small import dot, minus
from ..registry import register
from . import cell_search
from .cells import KERNELS as CELL_KERNELS
from .cells import sorted_cells, winding_order

TILES = Tiles(simt={"block": 512, "queries": 32}, simd={"block": 256, "queries": 8})
LARGEST = 64
"""Neighbours that one call finds at most."""
LARGE = 1024
"""From so many points of a cloud on it is sorted into cells, where no more than `cell_search.LARGEST`
neighbours are asked for."""


# ---- kernels -----------------------------------------------------------------------------------------


@triton.jit
def _squares(points, first, at, mask, x, y, z):
    """Squared distances of points `first + at` to one point; infinite outside of the mask."""
    place = points + (first + at) * 3
    dx = tl.load(place, mask=mask, other=float("inf")) - x
    dy = tl.load(place + 1, mask=mask, other=0.0) - y
    dz = tl.load(place + 2, mask=mask, other=0.0) - z
    return dx * dx + dy * dy + dz * dz


@triton.jit
def nearest_kernel(
    which, points, queries, rows, count, K: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr
):
    """Indices (K) of the points nearest to one query, nearest first, and -1 beyond those whose distance is a
    finite number. A block is looked through again only
    for as long as it has a point nearer than the worst of those that are kept."""
    distinct(which, points)
    distinct(which, queries)
    row = tl.program_id(0).to(tl.int64)
    first = row // rows * count
    x = tl.load(queries + row * 3)
    y = tl.load(queries + row * 3 + 1)
    z = tl.load(queries + row * 3 + 2)
    FLOAT: tl.constexpr = points.dtype.element_ty
    slot = tl.arange(0, SLOTS)
    lane = tl.arange(0, BLOCK)
    # Slots beyond K are never the worst one.
    best = tl.where(slot < K, float("inf"), float("-inf")).to(FLOAT)
    chosen = tl.full((SLOTS,), -1, tl.int32)
    for start in range(0, count, BLOCK):
        at = start + lane
        square = _squares(points, first, at, at < count, x, y, z)
        square = tl.where(square == square, square, float("inf"))
        low = tl.min(square, 0)
        worst = tl.max(best, 0)
        while low < worst:
            place = tl.argmin(square, 0).to(tl.int32)
            given_up = tl.argmax(best, 0)
            chosen = tl.where(slot == given_up, start + place, chosen)
            best = tl.where(slot == given_up, low, best)
            square = tl.where(lane == place, float("inf"), square)
            low = tl.min(square, 0)
            worst = tl.max(best, 0)
    best = tl.where(slot < K, best, float("inf"))
    for rank in range(K):
        known = tl.min(best, 0) < float("inf")
        smallest = tl.argmin(best, 0)
        found = tl.sum(tl.where(slot == smallest, chosen, 0), 0)
        tl.store(which + row * K + rank, tl.where(known, found, -1).to(tl.int64))
        best = tl.where(slot == smallest, float("inf"), best)


@triton.jit
def within_kernel(
    which, found, points, queries, rows, count, ball, K: tl.constexpr, SLOTS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Indices of the first K points within a radius of one query, -1 where there are fewer; and how many
    there are."""
    distinct(which, points)
    distinct(which, queries)
    distinct(found, points)
    distinct(found, queries)
    distinct(which, found)
    row = tl.program_id(0).to(tl.int64)
    first = row // rows * count
    x = tl.load(queries + row * 3)
    y = tl.load(queries + row * 3 + 1)
    z = tl.load(queries + row * 3 + 2)
    limit = tl.load(ball)
    lane = tl.arange(0, BLOCK)
    total = 0
    for start in range(0, count, BLOCK):
        at = start + lane
        near = (_squares(points, first, at, at < count, x, y, z) <= limit).to(tl.int32)
        rank = total + tl.cumsum(near, 0) - 1
        tl.store(which + row * K + rank, at.to(tl.int64), mask=(near > 0) & (rank < K))
        total += tl.sum(near, 0)
    slot = tl.arange(0, SLOTS)
    tl.store(which + row * K + slot, tl.full((SLOTS,), -1, tl.int64), mask=(slot >= total) & (slot < K))
    tl.store(found + row, total.to(tl.int64))


@triton.jit
def farthest_kernel(which, nearest, points, count, kept, BLOCK: tl.constexpr):
    """Of one cloud: the first point, and then again and again the one farthest from all that were taken.
    `nearest` (count) is infinite, and room for squared distances to these."""
    distinct(which, points)
    distinct(nearest, points)
    distinct(which, nearest)
    cloud = tl.program_id(0).to(tl.int64)
    first = cloud * count
    lane = tl.arange(0, BLOCK)
    current = 0
    for step in range(kept):
        tl.store(which + cloud * kept + step, current.to(tl.int64))
        place = points + (first + current) * 3
        x = tl.load(place)
        y = tl.load(place + 1)
        z = tl.load(place + 2)
        largest = x * 0 - 1
        chosen = 0
        for start in range(0, count, BLOCK):
            at = start + lane
            mask = at < count
            square = _squares(points, first, at, mask, x, y, z)
            square = tl.minimum(square, tl.load(nearest + first + at, mask=mask, other=-1.0))
            tl.store(nearest + first + at, square, mask=mask)
            top = tl.max(square, 0)
            farther = top > largest
            chosen = tl.where(farther, start + tl.argmax(square, 0).to(tl.int32), chosen)
            largest = tl.where(farther, top, largest)
        current = chosen


# ---- operators ---------------------------------------------------------------------------------------


def _square(a: Any, b: Any) -> list[Any]:
    apart = minus(a, b)
    return [dot(apart, apart)]


_SQUARE = Formula("squared_distance", _square, [(3,), (3,)], [()])


def at_indices(points: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """The points (..., m, k, 3) of clouds (..., n, 3) that indices (..., m, k) name."""
    flat = which.reshape(*which.shape[:-2], -1)
    picked = torch.gather(points, -2, flat[..., None].expand(*flat.shape, 3))
    return picked.reshape(*which.shape, 3)


def _checked(name: str, queries: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both, contiguous. Raises ArgumentError for clouds that are none, or not of one batch and type."""
    alike = queries.shape[:-2] == points.shape[:-2] and queries.dtype == points.dtype
    if queries.dim() < 2 or points.dim() < 2 or queries.shape[-1] != 3 or points.shape[-1] != 3 or not alike:
        raise ArgumentError(
            f"{name}: queries are {tuple(queries.shape)} of {queries.dtype}, points {tuple(points.shape)} of "
            f"{points.dtype}; give (..., m, 3) and (..., n, 3) of one batch and element type"
        )
    if points.dtype not in DTYPES:
        raise UnsupportedDtype(name, points.dtype)
    return queries.contiguous(), points.contiguous()


def _by_cells(
    what: str,
    cloud: torch.Tensor,
    queries: torch.Tensor,
    k: int,
    least_edge: float = 0.0,
    outputs: Sequence[torch.Tensor] = (),
    numbers: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """Indices (..., m, k) by the search through cells; `outputs` and `numbers` are what the kernel for `what`
    has besides."""
    n, m = cloud.shape[-2], queries.shape[-2]
    clouds = cloud.reshape(-1, n, 3)
    asked = queries.reshape(-1, m, 3)
    grid = sorted_cells(clouds, least_edge)
    which = torch.empty((*queries.shape[:-1], k), dtype=torch.int64, device=cloud.device)
    block = TILES.on(cloud)["queries"]
    blocks = cdiv(m, block)
    launch(
        cell_search.search_kernel(what, k),
        len(clouds) * blocks,
        which,
        *outputs,
        asked,
        winding_order(asked, grid),
        grid.points,
        grid.index,
        grid.starts,
        grid.frame,
        grid.sizes,
        m,
        n,
        grid.cells,
        blocks,
        *numbers,
        BLOCK=block,
    )
    return which


def nearest_neighbours(
    queries: torch.Tensor, points: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared distances (..., m, k) of queries (..., m, 3) to their k nearest points of (..., n, 3), nearest
    first, and int64 indices of these; infinite and -1 where fewer have a finite distance; of points as far
    away as each other any. k is at most 64. The distances are differentiable."""
    one, cloud = _checked("nearest_neighbours", queries, points)
    if not 1 <= k <= min(LARGEST, cloud.shape[-2]):
        raise ArgumentError(
            f"nearest_neighbours: k is {k}; it must be at least 1, and at most {LARGEST} and the "
            f"{cloud.shape[-2]} points"
        )
    if cloud.shape[-2] >= LARGE and k <= cell_search.LARGEST and one.numel():
        which = _by_cells("nearest", cloud.detach(), one.detach(), k)
    else:
        which = torch.empty((*one.shape[:-1], k), dtype=torch.int64, device=one.device)
        launch(
            nearest_kernel,
            one.numel() // 3,
            which,
            cloud.detach(),
            one.detach(),
            one.shape[-2],
            cloud.shape[-2],
            K=k,
            SLOTS=power_of_two(k),
            BLOCK=TILES.on(one)["block"],
        )
    squares = _SQUARE(queries[..., None, :], at_indices(points, which.clamp(min=0)))
    return torch.where(which < 0, torch.inf, squares), which


def ball_query(
    queries: torch.Tensor, points: torch.Tensor, radius: float, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices (..., m, k), int64, of the first k points of (..., n, 3) within a radius of queries (..., m,
    3), -1 where there are fewer; and how many there are (..., m). k is at most 64."""
    one, cloud = _checked("ball_query", queries, points)
    if not 1 <= k <= LARGEST or not (radius >= 0 and math.isfinite(radius)):
        raise ArgumentError(
            f"ball_query: k is {k}, the radius {radius}; k must be 1 to {LARGEST}, the radius not below 0"
        )
    found = torch.empty(one.shape[:-1], dtype=torch.int64, device=one.device)
    ball = torch.tensor([radius * radius, radius], dtype=torch.float64).to(cloud)
    if cloud.shape[-2] >= LARGE and k <= cell_search.LARGEST and one.numel():
        which = _by_cells("within", cloud.detach(), one.detach(), k, radius / 2, [found], [ball])
        return which, found
    which = torch.empty((*one.shape[:-1], k), dtype=torch.int64, device=one.device)
    launch(
        within_kernel,
        one.numel() // 3,
        which,
        found,
        cloud.detach(),
        one.detach(),
        one.shape[-2],
        cloud.shape[-2],
        ball,
        K=k,
        SLOTS=power_of_two(k),
        BLOCK=TILES.on(one)["block"],
    )
    return which, found


def farthest_points(points: torch.Tensor, k: int) -> torch.Tensor:
    """Indices (..., k), int64, of points of clouds (..., n, 3): the first one, and then each time the one
    farthest from all before."""
    _, cloud = _checked("farthest_points", points, points)
    if not 1 <= k <= cloud.shape[-2]:
        raise ArgumentError(f"farthest_points: k is {k}; it must be 1 to the {cloud.shape[-2]} points")
    which = torch.empty((*cloud.shape[:-2], k), dtype=torch.int64, device=cloud.device)
    nearest = torch.full(cloud.shape[:-1], math.inf, dtype=cloud.dtype, device=cloud.device)
    launch(
        farthest_kernel,
        which.numel() // k,
        which,
        nearest,
        cloud.detach(),
        cloud.shape[-2],
        k,
        BLOCK=TILES.on(cloud)["block"],
    )
    return which


# ---- records -----------------------------------------------------------------------------------------


def _nearest_plain(queries: torch.Tensor, points: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    squares = ((queries[..., :, None, :] - points[..., None, :, :]) ** 2).sum(-1)
    found = squares.topk(k, largest=False)
    return found.values, found.indices


def _ball_plain(
    queries: torch.Tensor, points: torch.Tensor, radius: float, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    inside = ((queries[..., :, None, :] - points[..., None, :, :]) ** 2).sum(-1) <= radius * radius
    first = torch.where(inside, torch.arange(points.shape[-2]), points.shape[-2]).sort(-1).values[..., :k]
    return torch.where(first < points.shape[-2], first, -1), inside.sum(-1)


def _farthest_plain(points: torch.Tensor, k: int) -> torch.Tensor:
    clouds = []
    for cloud in points.reshape(-1, *points.shape[-2:]):
        taken = [0]
        for _ in range(k - 1):
            squares = ((cloud[:, None] - cloud[taken]) ** 2).sum(-1)
            taken.append(int(squares.min(-1).values.argmax()))
        clouds.append(taken)
    return torch.tensor(clouds).reshape(*points.shape[:-2], k)


def _clouds(dtype: torch.dtype, *more: Any) -> Iterable[Sample]:
    yield Sample((tensor((2, 9, 3), dtype, seed=1), tensor((2, 300, 3), dtype), *more))
    yield Sample((tensor((2, 9, 3), dtype, seed=1), tensor((2, LARGE + 3, 3), dtype), *more))


register(
    Fused(
        "nearest_neighbours",
        "cloud",
        nearest_neighbours,
        _nearest_plain,
        lambda dtype: _clouds(dtype, 5),
        (nearest_kernel, *CELL_KERNELS, *_SQUARE.kernels),
        DTYPES,
        differentiable=True,
    )
)
register(
    Fused(
        "ball_query",
        "cloud",
        ball_query,
        _ball_plain,
        lambda dtype: _clouds(dtype, 1.25, 6),
        (within_kernel, *CELL_KERNELS),
        DTYPES,
    )
)
register(
    Fused(
        "farthest_points",
        "cloud",
        farthest_points,
        _farthest_plain,
        lambda dtype: [Sample((tensor((2, 300, 3), dtype), 7))],
        (farthest_kernel,),
        DTYPES,
    )
)
