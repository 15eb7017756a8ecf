"""Which particles in a periodic box are near each other: cells a cut-off wide, then a list for each particle.
Flows in: positions, a box with right angles. Flows out: an order in which neighbours in space are neighbours
in memory, and for each particle those within the cut-off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.kernels.numbers import double
from ...ops.launching import launch, scalar_bits
from ..errors import InvalidValue

BLOCK = 16
ROOM = 1.3
"""Places in a list for each neighbour that a particle has where density is even."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def nearest_image(d, size):
    """A difference of coordinates to the nearest periodic image."""
    return d - size * tl.floor(d / size + 0.5)


@triton.jit
def point(place, n, at, mask):
    """The coordinates of particles `at`, of place [3, n]."""
    x = tl.load(place + at, mask=mask, other=0)
    y = tl.load(place + n + at, mask=mask, other=0)
    z = tl.load(place + 2 * n + at, mask=mask, other=0)
    return x, y, z


@triton.jit
def store_point(out, n, at, x, y, z, mask):
    """Three numbers of particles `at`, into out [3, n]."""
    tl.store(out + at, x, mask=mask)
    tl.store(out + n + at, y, mask=mask)
    tl.store(out + 2 * n + at, z, mask=mask)


@triton.jit
def away(x, y, z, place, n, at, mask, size_x, size_y, size_z):
    """From the nearest image of particles `at` to (x, y, z), and the square of the distance."""
    u, v, w = point(place, n, at, mask)
    dx = nearest_image(x - u, size_x)
    dy = nearest_image(y - v, size_y)
    dz = nearest_image(z - w, size_z)
    return dx, dy, dz, dx * dx + dy * dy + dz * dz


@triton.jit
def turn(i, cells, reach, step):
    """Cell `i` and the one `step` after it of those that one looks at, of `cells` around."""
    return (i - reach + step + cells) % cells


@triton.jit(do_not_specialize=["n", "room", "nx", "ny", "nz", "wx", "wy", "wz", "reach"])
def neighbours_kernel(
    lists, counts, place, starts, cell_of, n, room, nx, ny, nz, wx, wy, wz,
    lx: tl.int64, ly: tl.int64, lz: tl.int64, reach: tl.int64, BLOCK: tl.constexpr,
):  # fmt: skip
    """lists [room, n], counts [n] = the particles within `reach` of each, of place [3, n] in the order of
    cells, which begin at starts [nx ny nz + 1]; wx, wy, wz cells (1 to 3) are looked at along an axis. What
    finds no room is counted. A program takes a particle."""
    distinct(lists, starts)
    distinct(counts, starts)
    i = tl.program_id(0).to(tl.int64)
    TYPE: tl.constexpr = place.dtype.element_ty
    x = tl.load(place + i)
    y = tl.load(place + n + i)
    z = tl.load(place + 2 * n + i)
    size_x = double(lx).to(TYPE)
    size_y = double(ly).to(TYPE)
    size_z = double(lz).to(TYPE)
    limit = double(reach).to(TYPE)
    cell = tl.load(cell_of + i)
    cz = cell % nz
    cy = (cell // nz) % ny
    cx = cell // (nz * ny)
    found = tl.zeros((), tl.int64)
    for a in range(wx):
        for b in range(wy):
            for c in range(wz):
                row = turn(cx, nx, wx // 2, a) * ny + turn(cy, ny, wy // 2, b)
                at = row * nz + turn(cz, nz, wz // 2, c)
                stop = tl.load(starts + at + 1)
                for start in range(tl.load(starts + at), stop, BLOCK):
                    j = start + tl.arange(0, BLOCK).to(tl.int64)
                    mask = (j < stop) & (j != i)
                    _, _, _, square = away(x, y, z, place, n, j, mask, size_x, size_y, size_z)
                    near = mask & (square < limit * limit)
                    slot = found + tl.cumsum(near.to(tl.int64), 0) - 1
                    tl.store(lists + slot * n + i, j.to(tl.int32), mask=near & (slot < room))
                    found += tl.sum(near.to(tl.int64), 0)
    tl.store(counts + i, found.to(tl.int32))


# ---- names ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Neighbours:
    """`order` [n] is where particles were before they were sorted by cells; particle i of that order has the
    neighbours lists[: counts[i], i] of it, both ways of each pair."""

    order: torch.Tensor
    lists: torch.Tensor
    counts: torch.Tensor


def sizes(box: object) -> tuple[float, float, float]:
    """The lengths of a box. Raises InvalidValue."""
    found = torch.as_tensor(box, dtype=torch.float64).reshape(-1).tolist()
    found = found * 3 if len(found) == 1 else found
    if len(found) != 3 or not all(0 < one < math.inf for one in found):
        raise InvalidValue(f"box must be one length or three, above 0, not {found}")
    return found[0], found[1], found[2]


def neighbours(positions: torch.Tensor, box: object, reach: float) -> Neighbours:
    """The particles within `reach` of each, at most half of the box: positions [n, 3], float32 or float64, in
    any period; box: a length or three. Raises InvalidValue."""
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InvalidValue(f"positions must have the shape [n, 3], not {tuple(positions.shape)}")
    box = sizes(box)
    if not 0 < reach <= min(box) / 2:
        raise InvalidValue(f"the reach {reach} must be above 0 and at most half of the box {box}")
    n, device = len(positions), positions.device
    cells = [max(1, int(length / reach)) for length in box]
    length = torch.tensor(box, dtype=positions.dtype, device=device)
    inside = positions.detach() - length * torch.floor(positions.detach() / length)
    count = torch.tensor(cells, device=device)
    cell = torch.minimum((inside / length * count).to(torch.int64), count - 1)
    number = (cell[:, 0] * cells[1] + cell[:, 1]) * cells[2] + cell[:, 2]
    number, order = torch.sort(number, stable=True)
    starts = torch.searchsorted(number, torch.arange(math.prod(cells) + 1, device=device))
    place = inside[order].T.contiguous()
    even = n * 4 / 3 * math.pi * reach**3 / math.prod(box)
    room = min(n, max(16, int(ROOM * even) + 16))
    counts = torch.empty(n, dtype=torch.int32, device=device)
    while True:
        lists = torch.empty((room, n), dtype=torch.int32, device=device)
        launch(
            neighbours_kernel,
            n,
            lists,
            counts,
            place,
            starts,
            number,
            n,
            room,
            *cells,
            *(min(3, one) for one in cells),
            *(scalar_bits(one, True) for one in box),
            scalar_bits(reach, True),
            BLOCK=BLOCK,
        )
        most = int(counts.max()) if n else 0
        if most <= room:
            return Neighbours(order, lists, counts)
        room = most
