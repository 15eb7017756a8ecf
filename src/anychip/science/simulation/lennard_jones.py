"""Particles in a periodic box that attract and repel each other as Lennard and Jones wrote (1924), in units
of the particles' size, of the depth of the potential and of their mass: energy with a gradient, and a
simulation by velocity Verlet with lists of neighbours. Every pair is computed from both sides, so that no two
programs write to one place and results do not depend on threads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.elementwise.arithmetic import mul
from ...ops.kernels.numbers import double
from ...ops.launching import cdiv, launch, scalar_bits
from ...ops.pointwise import flat_kernel, tiled_kernel
from ...ops.samples import tensor
from ..errors import InvalidValue
from ..registry import PRECISE, Fused, Sample, register
from .neighbour_lists import Neighbours, away, neighbours, neighbours_kernel, point, sizes, store_point

BLOCK = 16

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n", "cutoff", "lx", "ly", "lz"])
def pair_forces_kernel(
    force, energy, virial, place, lists, counts, n,
    lx: tl.int64, ly: tl.int64, lz: tl.int64, cutoff: tl.int64, BLOCK: tl.constexpr,
):  # fmt: skip
    """force [3, n] on particles at place [3, n], and of each its half of the energies and of the virials (r
    times force) of its pairs within the cut-off. A program takes BLOCK particles."""
    distinct(force, place)
    distinct(energy, place)
    distinct(virial, place)
    TYPE: tl.constexpr = place.dtype.element_ty
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x, y, z = point(place, n, i, inside)
    many = tl.load(counts + i, mask=inside, other=0)
    size_x = double(lx).to(TYPE)
    size_y = double(ly).to(TYPE)
    size_z = double(lz).to(TYPE)
    limit = double(cutoff).to(TYPE)
    fx = tl.zeros((BLOCK,), TYPE)
    fy = tl.zeros((BLOCK,), TYPE)
    fz = tl.zeros((BLOCK,), TYPE)
    e = tl.zeros((BLOCK,), TYPE)
    w = tl.zeros((BLOCK,), TYPE)
    for k in range(tl.max(many, 0)):
        mask = k < many
        j = tl.load(lists + k.to(tl.int64) * n + i, mask=mask, other=0).to(tl.int64)
        dx, dy, dz, square = away(x, y, z, place, n, j, mask, size_x, size_y, size_z)
        near = mask & (square < limit * limit)
        second = 1.0 / tl.where(near, square, 1.0)
        sixth = tl.where(near, second * second * second, 0.0)
        e += 2.0 * (sixth * sixth - sixth)
        pull = 24.0 * (2.0 * sixth * sixth - sixth)
        w += 0.5 * pull
        fx += pull * second * dx
        fy += pull * second * dy
        fz += pull * second * dz
    store_point(force, n, i, fx, fy, fz, inside)
    tl.store(energy + i, e, mask=inside)
    tl.store(virial + i, w, mask=inside)


# ---- forward and backward -------------------------------------------------------------------------


def pair_forces(
    place: torch.Tensor, near: Neighbours, box: tuple[float, float, float], cutoff: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(forces [3, n], energies [n], virials [n]) at place [3, n] in the order of `near`."""
    force, n = torch.empty_like(place), place.shape[1]
    energy, virial = (torch.empty(n, dtype=place.dtype, device=place.device) for _ in range(2))
    launch(
        pair_forces_kernel,
        cdiv(n, BLOCK),
        force,
        energy,
        virial,
        place,
        near.lists,
        near.counts,
        n,
        *(scalar_bits(one, True) for one in box),
        scalar_bits(cutoff, True),
        BLOCK=BLOCK,
    )
    return force, energy, virial


class Energy(torch.autograd.Function):
    """The energy of all pairs within a cut-off."""

    @staticmethod
    def forward(
        ctx: Any, positions: torch.Tensor, box: tuple[float, float, float], cutoff: float
    ) -> torch.Tensor:
        """0-d."""
        near = neighbours(positions, box, cutoff)
        force, energy, _ = pair_forces(positions[near.order].T.contiguous(), near, box, cutoff)
        back = torch.empty_like(positions)
        back[near.order] = force.T
        ctx.save_for_backward(back)
        return energy.sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The forces, turned round."""
        (force,) = ctx.saved_tensors
        return mul(force, -grad_outputs[0]), None, None


# ---- names ----------------------------------------------------------------------------------------


def lennard_jones_energy(positions: torch.Tensor, box: Any, cutoff: float = 2.5) -> torch.Tensor:
    """The energy of pairs of particles at positions [n, 3] that are nearer than `cutoff`, at most half of the
    periodic `box`, a length or three. Differentiable once. float32, float64. Raises InvalidValue."""
    return Energy.apply(positions, sizes(box), float(cutoff))


class LennardJones:
    """A fluid in a periodic box, of n particles. positions and velocities [n, 3], float32 or float64; box: a
    length or three; energies are cut off, not shifted, and `energy` and `pressure` add what a fluid without
    order beyond the cut-off would. `skin`: how much farther than the cut-off lists of neighbours reach; they
    are made anew before a particle has gone half of it. Raises InvalidValue."""

    def __init__(
        self,
        positions: torch.Tensor,
        velocities: torch.Tensor,
        box: Any,
        cutoff: float = 2.5,
        skin: float = 0.3,
    ):
        self.box, self.cutoff, self.skin = sizes(box), float(cutoff), float(skin)
        if positions.shape != velocities.shape or not skin > 0:
            raise InvalidValue(
                f"positions {tuple(positions.shape)} and velocities {tuple(velocities.shape)} must have one "
                f"shape, and skin {skin} must be above 0"
            )
        self._place, self._speed = positions.detach().T.contiguous(), velocities.detach().T.contiguous()
        self.lists_made = 0
        self._order = torch.arange(len(positions), device=positions.device)
        self._sorted()

    def _sorted(self) -> None:
        """New lists, and particles in their order."""
        self._near = neighbours(self._place.T, self.box, self.cutoff + self.skin)
        order = self._near.order
        self._place = self._place[:, order].contiguous()
        self._speed = self._speed[:, order].contiguous()
        self._order, self._listed = self._order[order], self._place.clone()
        self.lists_made += 1
        self._force, self._energy, self._virial = pair_forces(self._place, self._near, self.box, self.cutoff)

    def step(self, dt: float, count: int = 1) -> None:
        """Go on by `count` steps of `dt`."""
        for _ in range(count):
            self._speed += 0.5 * dt * self._force
            self._place += dt * self._speed
            if float(((self._place - self._listed) ** 2).sum(0).max()) > (0.5 * self.skin) ** 2:
                self._sorted()
            else:
                self._force, self._energy, self._virial = pair_forces(
                    self._place, self._near, self.box, self.cutoff
                )
            self._speed += 0.5 * dt * self._force

    def _back(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        out[:, self._order] = x
        return out.T

    @property
    def positions(self) -> torch.Tensor:
        """[n, 3], in the order in which they were given; not folded into the box."""
        return self._back(self._place)

    @property
    def velocities(self) -> torch.Tensor:
        """[n, 3]."""
        return self._back(self._speed)

    @property
    def density(self) -> float:
        """Particles in a unit of volume."""
        return self._place.shape[1] / math.prod(self.box)

    def temperature(self) -> float:
        """Two thirds of the kinetic energy of a particle, of which the centre's motion is none."""
        n = self._place.shape[1]
        return float((self._speed**2).sum()) / (3 * n - 3)

    def rescale(self, temperature: float) -> None:
        """Make velocities those of a temperature, and the centre of mass rest."""
        self._speed -= self._speed.mean(1, keepdim=True)
        self._speed *= math.sqrt(temperature / self.temperature())

    def energy(self, tail: bool = True) -> float:
        """The potential energy of a particle; with `tail`, of pairs beyond the cut-off too."""
        found = float(self._energy.sum()) / self._place.shape[1]
        third = self.cutoff**-3
        return found + (8 / 3 * math.pi * self.density * (third**3 / 3 - third) if tail else 0.0)

    def pressure(self, tail: bool = True) -> float:
        """By the virial; with `tail`, of pairs beyond the cut-off too."""
        found = self.density * self.temperature() + float(self._virial.sum()) / 3 / math.prod(self.box)
        third = self.cutoff**-3
        return found + (16 / 3 * math.pi * self.density**2 * (2 / 3 * third**3 - third) if tail else 0.0)


def radial_distribution(
    positions: torch.Tensor, box: Any, reach: float, bins: int = 100
) -> tuple[torch.Tensor, torch.Tensor]:
    """(distances [bins], how many times as many pairs are at them as if there were no order [bins]), up to
    `reach`, at most half of the box. float32, float64. Raises InvalidValue."""
    box = sizes(box)
    near = neighbours(positions, box, reach)
    place = positions[near.order]
    slot = torch.arange(len(near.lists), device=positions.device)[:, None]
    k, i = torch.nonzero(slot < near.counts, as_tuple=True)
    d = place[i] - place[near.lists[k, i].to(torch.int64)]
    length = torch.tensor(box, dtype=d.dtype, device=d.device)
    r = (d - length * torch.floor(d / length + 0.5)).square().sum(1).sqrt()
    found = torch.histc(r, bins, 0.0, reach).to(torch.float64)
    edges = torch.linspace(0, reach, bins + 1, dtype=torch.float64, device=found.device)
    shells = 4 / 3 * math.pi * (edges[1:] ** 3 - edges[:-1] ** 3)
    even = len(positions) * (len(positions) - 1) / math.prod(box) * shells
    return 0.5 * (edges[1:] + edges[:-1]), found / even


# ---- records --------------------------------------------------------------------------------------


def _all_pairs(positions: torch.Tensor, box: float, cutoff: float) -> torch.Tensor:
    d = positions[:, None] - positions
    d = d - box * torch.floor(d.detach() / box + 0.5)
    square = d.square().sum(-1)
    near = (square < cutoff**2) & ~torch.eye(len(positions), dtype=torch.bool)
    sixth = torch.where(near, 1 / torch.where(near, square, 1.0), 0.0) ** 3
    return 2 * (sixth**2 - sixth).sum()


def _fluids(dtype: torch.dtype) -> Iterable[Sample]:
    grid = torch.cartesian_prod(*[torch.arange(3, dtype=torch.float64)] * 3) * 1.25
    yield Sample(((grid + tensor((27, 3), torch.float64, -0.1, 0.1)).to(dtype), 3.75, 1.8))
    yield Sample((torch.tensor([[0.0, 0.0, 0.0], [1.25, 0.0, 0.0]], dtype=dtype), 6.0, 2.5))


register(
    Fused(
        "lennard_jones_energy",
        "particles",
        lennard_jones_energy,
        _all_pairs,
        _fluids,
        (pair_forces_kernel, neighbours_kernel, flat_kernel, tiled_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
