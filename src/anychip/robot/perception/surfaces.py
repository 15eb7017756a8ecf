"""The surface where a volume has a level, as triangles (W. Lorensen, H. Cline, Marching cubes, 1987). Flows
in: values at the points of a grid. Flows out: vertices, one for each edge of the grid that the level cuts,
and triangles.

What is drawn in a cell is not looked up in a published table: it is found once for each of the 256 cases. On
each face of the cell the cut edges are joined so that corners below the level keep apart where a face could
be read in two ways; both cells of a face read it alike, so that a surface has no holes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES, Formula
from ..formulas.graph import Number, add, div, mul, select, sub
from ..registry import register

TILES = Tiles(simt={"cells": 128}, simd={"cells": 64})
LARGEST = (1 << 31) // 3 - 1
"""Points of a volume at most: edges have numbers of 31 bits."""
Corner = tuple[int, int, int]

CORNERS: tuple[Corner, ...] = tuple((k & 1, k >> 1 & 1, k >> 2 & 1) for k in range(8))
"""Corners of a cell: bit 0 of a number is the step along the first axis, bit 1 along the second."""
EDGES: tuple[tuple[int, int], ...] = tuple(
    (corner, corner | 1 << axis) for axis in range(3) for corner in range(8) if not corner >> axis & 1
)
"""Edges of a cell by their corners: four along each axis."""


# ---- what is drawn in each case ----------------------------------------------------------------------


def _faces() -> list[list[int]]:
    """The corners of each face, around it, counter-clockwise as seen from outside."""
    found = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for side in (0, 1):
            around = [0, 1 << u, 1 << u | 1 << v, 1 << v]
            corners = [side << axis | c for c in around]
            found.append(corners if side else corners[::-1])
    return found


def _segments(case: int, face: Sequence[int]) -> list[tuple[int, int]]:
    """Cut edges of a face, joined: from the one at which a walk around it comes to what is below the level to
    the one at which it leaves that."""
    below = [bool(case >> corner & 1) for corner in face]
    found = []
    for k in range(4):
        if below[k] and not below[k - 1]:
            end = k
            while below[(end + 1) % 4]:
                end += 1
            enter = _edge(face[k - 1], face[k])
            leave = _edge(face[end % 4], face[(end + 1) % 4])
            found.append((enter, leave))
    return found


def _edge(a: int, b: int) -> int:
    return EDGES.index((min(a, b), max(a, b)))


def _triangles(case: int) -> list[int]:
    """Edges of triangles, three each: each closed line of segments as a fan."""
    following = dict(segment for face in _faces() for segment in _segments(case, face))
    found = []
    while following:
        line = [min(following)]
        while (after := following.pop(line[-1])) != line[0]:
            line.append(after)
        for k in range(1, len(line) - 1):
            found += [line[0], line[k], line[k + 1]]
    return found


@functools.cache
def drawn() -> tuple[list[int], list[list[int]]]:
    """For each case how many triangles there are, and their edges, padded with 0 to one length."""
    cases = [_triangles(case) for case in range(256)]
    longest = max(map(len, cases))
    return [len(x) // 3 for x in cases], [x + [0] * (longest - len(x)) for x in cases]


# ---- kernels -----------------------------------------------------------------------------------------


@triton.jit
def _case(volume, level, i, j, k, ny, nz, mask):
    """The case of cells: a bit for each corner below the level."""
    case = tl.zeros(i.shape, tl.int32)
    for corner in tl.static_range(8):
        x = i + (corner & 1)
        y = j + (corner >> 1 & 1)
        z = k + (corner >> 2 & 1)
        value = tl.load(volume + (x * ny + y) * nz + z, mask=mask, other=0.0)
        case += tl.where(value < level, 1 << corner, 0)
    return case


@triton.jit
def count_kernel(counts, volume, table, level, ny, nz, cells, BLOCK: tl.constexpr):
    """Triangles of each cell."""
    distinct(counts, volume)
    distinct(counts, table)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < cells
    k = at % (nz - 1)
    j = at // (nz - 1) % (ny - 1)
    i = at // ((nz - 1) * (ny - 1))
    case = _case(volume, tl.load(level), i, j, k, ny, nz, mask)
    tl.store(counts + at, tl.load(table + case, mask=mask, other=0), mask=mask)


@triton.jit
def draw_kernel(
    edges, volume, table, ends, starts, counts, level, ny, nz, cells, LENGTH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The edges of the grid that triangles [triangles, 3] end on: three times the number of the edge's lower
    point and the axis. `starts`: the first triangle of each cell."""
    distinct(edges, volume)
    distinct(edges, table)
    distinct(edges, ends)
    distinct(edges, starts)
    distinct(edges, counts)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < cells
    k = at % (nz - 1)
    j = at // (nz - 1) % (ny - 1)
    i = at // ((nz - 1) * (ny - 1))
    case = _case(volume, tl.load(level), i, j, k, ny, nz, mask)
    start = tl.load(starts + at, mask=mask, other=0)
    count = tl.load(counts + at, mask=mask, other=0) * 3
    for place in range(tl.max(count, 0)):
        there = mask & (place < count)
        edge = tl.load(table + case * LENGTH + place, mask=there, other=0)
        corner = tl.load(ends + edge, mask=there, other=0)
        x = i + (corner & 1)
        y = j + (corner >> 1 & 1)
        z = k + (corner >> 2 & 1)
        number = ((x * ny + y) * nz + z) * 3 + edge // 4
        tl.store(edges + start * 3 + place, number, mask=there)


# ---- operator ----------------------------------------------------------------------------------------


def _vertex(
    low: Number, high: Number, level: Number, point: Sequence[Number], step: Sequence[Number]
) -> list[list[Number]]:
    gap = sub(high, low)
    apart: Any = gap < 0.0 if not isinstance(gap, float) else float(gap < 0.0)
    positive: Any = gap > 0.0
    safe = select(apart, gap, select(positive, gap, 1.0))
    part = div(sub(level, low), safe)
    return [[add(at, mul(part, way)) for at, way in zip(point, step, strict=True)]]


_VERTEX = Formula("surface_vertex", _vertex, [(), (), (), (3,), (3,)], [(3,)])


def marching_cubes(volume: torch.Tensor, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (v, 3) and triangles (t, 3), int64, of the surface where values (nx, ny, nz) at the points of
    a grid are `level` (), linear along its edges, in units of its spacing from its first point on. Each edge
    that is cut has one vertex; triangles turn counter-clockwise as seen from where values are larger. What is
    no number counts as above. Vertices are differentiable by both."""
    if volume.dim() != 3 or min(volume.shape) < 2 or volume.numel() > LARGEST or level.dim():
        raise ArgumentError(
            f"marching_cubes: volume is {tuple(volume.shape)}, level {tuple(level.shape)}; give (nx, ny, nz) "
            f"of 2 or more each and {LARGEST} points at most, and one number"
        )
    if volume.dtype not in DTYPES or level.dtype != volume.dtype:
        raise UnsupportedDtype("marching_cubes", level.dtype if volume.dtype in DTYPES else volume.dtype)
    values, device = volume.detach().contiguous(), volume.device
    _, ny, nz = volume.shape
    cells = (volume.shape[0] - 1) * (ny - 1) * (nz - 1)
    block = TILES.on(volume)["cells"]
    numbers, lists = (torch.tensor(x, dtype=torch.int32, device=device) for x in drawn())
    ends = torch.tensor([edge[0] for edge in EDGES], dtype=torch.int32, device=device)
    at = level.detach().contiguous()
    counts = torch.empty(cells, dtype=torch.int32, device=device)
    launch(count_kernel, cdiv(cells, block), counts, values, numbers, at, ny, nz, cells, BLOCK=block)
    after = counts.to(torch.int64).cumsum(0)
    edges = torch.empty((int(after[-1]), 3), dtype=torch.int64, device=device)
    if len(edges):
        launch(
            draw_kernel,
            cdiv(cells, block),
            edges,
            values,
            lists,
            ends,
            after - counts,
            counts,
            at,
            ny,
            nz,
            cells,
            LENGTH=lists.shape[1],
            BLOCK=block,
        )
    which, faces = torch.unique(edges, return_inverse=True)
    point, axis = which // 3, which % 3
    place = torch.stack((point // (ny * nz), point // nz % ny, point % nz), -1).to(volume.dtype)
    step = torch.eye(3, dtype=volume.dtype, device=device)[axis]
    strides = torch.tensor([ny * nz, nz, 1], device=device)
    flat = volume.reshape(-1)
    vertices = _VERTEX(flat[point], flat[point + strides[axis]], level, place, step)
    return vertices, faces.reshape(-1, 3)


# ---- records -----------------------------------------------------------------------------------------


def _plain(volume: torch.Tensor, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One cell after the other."""
    number: dict[tuple[int, ...], int] = {}
    faces = []
    below = volume.detach() < level.detach()
    for cell in torch.cartesian_prod(*(torch.arange(n - 1) for n in volume.shape)).tolist():
        corners = [tuple(a + b for a, b in zip(cell, corner, strict=True)) for corner in CORNERS]
        for edge in _triangles(sum(1 << k for k, corner in enumerate(corners) if below[corner])):
            name = (*corners[EDGES[edge][0]], edge // 4)
            faces.append(name)
            number[name] = 0
    ordered = sorted(number)
    number = {name: k for k, name in enumerate(ordered)}
    vertices = []
    for *low, axis in ordered:
        step = torch.eye(3, dtype=torch.int64)[axis]
        start = torch.tensor(low)
        a, b = volume[tuple(low)], volume[tuple((start + step).tolist())]
        vertices.append(start + step * ((level - a) / (b - a)))
    return torch.stack(vertices), torch.tensor([number[name] for name in faces]).reshape(-1, 3)


def _volumes(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5, 4), dtype, -1.0, 1.0), torch.tensor(0.1, dtype=dtype)))
    corner = torch.ones(2, 2, 2, dtype=dtype)
    corner[0, 0, 0] = -1.0
    yield Sample((corner, torch.tensor(0.0, dtype=dtype)))


register(
    Fused(
        "marching_cubes",
        "volume",
        marching_cubes,
        _plain,
        _volumes,
        (count_kernel, draw_kernel, *_VERTEX.kernels),
        DTYPES,
        differentiable=True,
    )
)
