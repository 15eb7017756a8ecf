"""Flow in two dimensions on a lattice of nine velocities (D2Q9), with two relaxation times (Ginzburg,
Verhaeghe and d'Humieres, 2008). Flows in: a channel with obstacles. Flows out: density and velocity. A step
reads each population once where it comes from, and writes it once."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.kernels.numbers import double
from ...ops.launching import launch, scalar_bits
from ..errors import InvalidValue

VELOCITIES = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))
OPPOSITE = (0, 3, 4, 1, 2, 7, 8, 5, 6)
WEIGHTS = (4 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 36, 1 / 36, 1 / 36, 1 / 36)
MAGIC = 3 / 16
"""The product of both relaxation times, each less one half, at which a wall lies half-way between nodes."""
REST, STRAIGHT, SLANTED = tl.constexpr(4 / 9), tl.constexpr(1 / 9), tl.constexpr(1 / 36)
BLOCK = 64

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def populations(source, at, plane, mask):
    """The density and momentum of nodes."""
    f0 = tl.load(source + at, mask=mask, other=0)
    f1 = tl.load(source + plane + at, mask=mask, other=0)
    f2 = tl.load(source + 2 * plane + at, mask=mask, other=0)
    f3 = tl.load(source + 3 * plane + at, mask=mask, other=0)
    f4 = tl.load(source + 4 * plane + at, mask=mask, other=0)
    f5 = tl.load(source + 5 * plane + at, mask=mask, other=0)
    f6 = tl.load(source + 6 * plane + at, mask=mask, other=0)
    f7 = tl.load(source + 7 * plane + at, mask=mask, other=0)
    f8 = tl.load(source + 8 * plane + at, mask=mask, other=0)
    density = f0 + (f1 + f2 + f3 + f4) + (f5 + f6 + f7 + f8)
    return density, f1 - f3 + f5 - f6 - f7 + f8, f2 - f4 + f5 + f6 - f7 - f8


@triton.jit
def arriving(source, solid, speed, x, y, width, height, mask, u, v, I, O, CX, CY, WEIGHT):
    """What arrives at nodes (x, y) with velocity I: from the node behind, or turned back at a wall, with the
    inlet's momentum on the left, or with the density one of the outlet on the right."""
    plane = width * height
    from_x = x - CX
    from_y = y - CY
    rows = (from_y >= 0) & (from_y < height)
    inside = mask & rows & (from_x >= 0) & (from_x < width)
    behind = from_y * width + from_x
    free = inside & (tl.load(solid + behind, mask=inside, other=1) == 0)
    value = tl.load(source + I * plane + behind, mask=free, other=0)
    turned = tl.load(source + O * plane + y * width + x, mask=mask, other=0)
    other = turned
    if CX == 1:
        other = tl.where(from_x < 0, turned + 6.0 * WEIGHT * speed, turned)
    if CX == -1:
        along = CX * u + CY * v
        still = 2.0 * WEIGHT * (1.0 + 4.5 * along * along - 1.5 * (u * u + v * v))
        other = tl.where((from_x >= width) & rows, still - turned, turned)
    return tl.where(free, value, other)


@triton.jit
def relaxed(out, at, plane, mask, a, b, rho, along, square, even, odd, I, O, WEIGHT):
    """Store a pair of opposite populations after the collision."""
    level = WEIGHT * rho * (1.0 + 4.5 * along * along - 1.5 * square)
    slope = WEIGHT * rho * 3.0 * along
    symmetric = even * (0.5 * (a + b) - level)
    skew = odd * (0.5 * (a - b) - slope)
    tl.store(out + I * plane + at, a - symmetric - skew, mask=mask)
    tl.store(out + O * plane + at, b - symmetric + skew, mask=mask)


@triton.jit(do_not_specialize=["even", "odd"])
def lattice_kernel(
    out, source, solid, inlet, width, height, even: tl.int64, odd: tl.int64, BLOCK: tl.constexpr
):
    """out [9, height, width] = one step of source: streaming with what happens at walls, inlet and outlet,
    and collision. solid [height, width] is not zero in walls; inlet [height] the velocity on the left. A
    program takes a row."""
    distinct(out, source)
    distinct(out, solid)
    distinct(out, inlet)
    TYPE: tl.constexpr = out.dtype.element_ty
    y = tl.program_id(0)
    plane = width * height
    speed = tl.load(inlet + y)
    e = double(even).to(TYPE)
    o = double(odd).to(TYPE)
    for start in range(0, width, BLOCK):
        x = start + tl.arange(0, BLOCK)
        mask = x < width
        at = y * width + x
        density, p, q = populations(source, at, plane, mask)
        density = tl.where(mask, density, 1.0)
        u = p / density
        v = q / density
        f0 = tl.load(source + at, mask=mask, other=0)
        f1 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 1, 3, 1, 0, STRAIGHT)
        f2 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 2, 4, 0, 1, STRAIGHT)
        f3 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 3, 1, -1, 0, STRAIGHT)
        f4 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 4, 2, 0, -1, STRAIGHT)
        f5 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 5, 7, 1, 1, SLANTED)
        f6 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 6, 8, -1, 1, SLANTED)
        f7 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 7, 5, -1, -1, SLANTED)
        f8 = arriving(source, solid, speed, x, y, width, height, mask, u, v, 8, 6, 1, -1, SLANTED)
        rho = f0 + (f1 + f2 + f3 + f4) + (f5 + f6 + f7 + f8)
        rho = tl.where(mask, rho, 1.0)
        u = (f1 - f3 + f5 - f6 - f7 + f8) / rho
        v = (f2 - f4 + f5 + f6 - f7 - f8) / rho
        square = u * u + v * v
        tl.store(out + at, f0 - e * (f0 - REST * rho * (1.0 - 1.5 * square)), mask=mask)
        relaxed(out, at, plane, mask, f1, f3, rho, u, square, e, o, 1, 3, STRAIGHT)
        relaxed(out, at, plane, mask, f2, f4, rho, v, square, e, o, 2, 4, STRAIGHT)
        relaxed(out, at, plane, mask, f5, f7, rho, u + v, square, e, o, 5, 7, SLANTED)
        relaxed(out, at, plane, mask, f6, f8, rho, v - u, square, e, o, 6, 8, SLANTED)


# ---- names ----------------------------------------------------------------------------------------


class LatticeBoltzmann:
    """Flow through a channel between walls above and below, from the left with a given velocity to the right,
    where the density is one. Lengths are in nodes, times in steps.

    solid [height, width]: true in obstacles; inlet [height]: the velocity along x on the left; `viscosity`
    above 0. Raises InvalidValue."""

    def __init__(
        self,
        solid: torch.Tensor,
        inlet: torch.Tensor,
        viscosity: float,
        dtype: torch.dtype = torch.float64,
    ):
        if solid.ndim != 2 or inlet.shape != solid.shape[:1]:
            raise InvalidValue(
                f"solid {tuple(solid.shape)} must have two dimensions, and inlet {tuple(inlet.shape)} "
                "the height of it"
            )
        if viscosity <= 0:
            raise InvalidValue(f"viscosity must be above 0, not {viscosity}")
        self.solid = solid.to(torch.int8).contiguous()
        self.inlet = inlet.to(dtype).contiguous()
        slow = 3 * viscosity
        self.even, self.odd = 1 / (slow + 0.5), 1 / (MAGIC / slow + 0.5)
        weights = torch.tensor(WEIGHTS, dtype=dtype, device=solid.device)
        self.f = weights[:, None, None].expand(9, *solid.shape).contiguous()
        self._other = torch.empty_like(self.f)

    def step(self, count: int = 1) -> None:
        """Go on by `count` steps."""
        height, width = self.solid.shape
        bits = scalar_bits(self.even, True), scalar_bits(self.odd, True)
        for _ in range(count):
            arguments: tuple[Any, ...] = (self._other, self.f, self.solid, self.inlet, width, height, *bits)
            launch(lattice_kernel, height, *arguments, BLOCK=BLOCK)
            self.f, self._other = self._other, self.f

    def density(self) -> torch.Tensor:
        """[height, width]."""
        return self.f.sum(0)

    def velocity(self) -> torch.Tensor:
        """[2, height, width]: along x and y; zero in obstacles."""
        c = torch.tensor(VELOCITIES, dtype=self.f.dtype, device=self.f.device)
        momentum = torch.tensordot(c.mT, self.f, 1)
        return torch.where(self.solid == 0, momentum / self.density(), 0.0)
