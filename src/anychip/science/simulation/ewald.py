"""The electrostatic energy of point charges in a periodic box, and forces: Ewald's sum (1921) of a part that
falls off fast over pairs, and of waves. Flows in: positions, charges, a box. Flows out: the energy, with
gradients in both."""

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
from ..registry import Fused, Sample, register
from .neighbour_lists import away, neighbours, point, sizes, store_point

BLOCK = 16

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n", "alpha", "cutoff", "lx", "ly", "lz"])
def near_charges_kernel(
    potential, force, place, charge, lists, counts, n,
    lx: tl.int64, ly: tl.int64, lz: tl.int64, cutoff: tl.int64, alpha: tl.int64, BLOCK: tl.constexpr,
):  # fmt: skip
    """potential [n] and force [3, n] by charges within the cut-off, screened by erfc(alpha r). A program
    takes BLOCK charges."""
    distinct(potential, place)
    distinct(force, place)
    TYPE: tl.constexpr = place.dtype.element_ty
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x, y, z = point(place, n, i, inside)
    mine = tl.load(charge + i, mask=inside, other=0)
    many = tl.load(counts + i, mask=inside, other=0)
    size_x = double(lx).to(TYPE)
    size_y = double(ly).to(TYPE)
    size_z = double(lz).to(TYPE)
    limit = double(cutoff).to(TYPE)
    a = double(alpha).to(TYPE)
    fx = tl.zeros((BLOCK,), TYPE)
    fy = tl.zeros((BLOCK,), TYPE)
    fz = tl.zeros((BLOCK,), TYPE)
    sums = tl.zeros((BLOCK,), TYPE)
    for k in range(tl.max(many, 0)):
        mask = k < many
        j = tl.load(lists + k.to(tl.int64) * n + i, mask=mask, other=0).to(tl.int64)
        dx, dy, dz, square = away(x, y, z, place, n, j, mask, size_x, size_y, size_z)
        near = mask & (square < limit * limit)
        square = tl.where(near, square, 1.0)
        r = tl.sqrt(square)
        other = tl.where(near, tl.load(charge + j, mask=mask, other=0), 0.0)
        screened = other * (1.0 - tl.erf(a * r)) / r
        sums += screened
        slope = (screened + other * 1.1283791670955126 * a * tl.exp(-a * a * square)) / square
        fx += mine * slope * dx
        fy += mine * slope * dy
        fz += mine * slope * dz
    tl.store(potential + i, sums, mask=inside)
    store_point(force, n, i, fx, fy, fz, inside)


@triton.jit(do_not_specialize=["n", "waves"])
def structure_kernel(out, place, charge, wave, n, waves, BLOCK: tl.constexpr):
    """out [2, waves] = the sums over charges of charge times cosine and sine of wave [3, waves] times place
    [3, n]. A program takes a wave."""
    distinct(out, place)
    k = tl.program_id(0).to(tl.int64)
    TYPE: tl.constexpr = place.dtype.element_ty
    kx = tl.load(wave + k)
    ky = tl.load(wave + waves + k)
    kz = tl.load(wave + 2 * waves + k)
    real = tl.zeros((BLOCK,), TYPE)
    imaginary = tl.zeros((BLOCK,), TYPE)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        mask = i < n
        phase = kx * tl.load(place + i, mask=mask, other=0)
        phase += ky * tl.load(place + n + i, mask=mask, other=0)
        phase += kz * tl.load(place + 2 * n + i, mask=mask, other=0)
        q = tl.load(charge + i, mask=mask, other=0)
        real += q * tl.cos(phase)
        imaginary += q * tl.sin(phase)
    tl.store(out + k, tl.sum(real, 0))
    tl.store(out + waves + k, tl.sum(imaginary, 0))


@triton.jit(do_not_specialize=["n", "waves"])
def far_charges_kernel(
    potential, force, place, charge, wave, weight, structure, n, waves, BLOCK: tl.constexpr
):
    """potential [n] and force [3, n] by waves of `weight` [waves] and structure [2, waves]. A program takes
    BLOCK charges."""
    distinct(potential, place)
    distinct(force, place)
    TYPE: tl.constexpr = place.dtype.element_ty
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x, y, z = point(place, n, i, inside)
    mine = tl.load(charge + i, mask=inside, other=0)
    fx = tl.zeros((BLOCK,), TYPE)
    fy = tl.zeros((BLOCK,), TYPE)
    fz = tl.zeros((BLOCK,), TYPE)
    sums = tl.zeros((BLOCK,), TYPE)
    for k in range(waves):
        kx = tl.load(wave + k)
        ky = tl.load(wave + waves + k)
        kz = tl.load(wave + 2 * waves + k)
        phase = kx * x + ky * y + kz * z
        factor = tl.load(weight + k)
        real = factor * tl.load(structure + k)
        imaginary = factor * tl.load(structure + waves + k)
        cosine = tl.cos(phase)
        sine = tl.sin(phase)
        sums += real * cosine + imaginary * sine
        slope = mine * (real * sine - imaginary * cosine)
        fx += slope * kx
        fy += slope * ky
        fz += slope * kz
    tl.store(potential + i, sums, mask=inside)
    store_point(force, n, i, fx, fy, fz, inside)


# ---- forward and backward -------------------------------------------------------------------------


def _waves(
    box: tuple[float, float, float], alpha: float, accuracy: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Half of the waves [3, m] of the box that are not too short, and their weights [m]."""
    largest = 2 * alpha * math.sqrt(-math.log(accuracy))
    numbers = [
        torch.arange(-int(largest * size / (2 * math.pi)), int(largest * size / (2 * math.pi)) + 1)
        for size in box
    ]
    grid = torch.cartesian_prod(*numbers)
    wave = grid * (2 * math.pi / torch.tensor(box, dtype=torch.float64))
    square = wave.square().sum(1)
    first = (grid[:, 0] > 0) | (
        (grid[:, 0] == 0) & ((grid[:, 1] > 0) | ((grid[:, 1] == 0) & (grid[:, 2] > 0)))
    )
    kept = first & (square <= largest**2)
    wave, square = wave[kept], square[kept]
    weight = 8 * math.pi / math.prod(box) * torch.exp(-square / (4 * alpha**2)) / square
    return wave.T.contiguous(), weight


class Coulomb(torch.autograd.Function):
    """Ewald's sum."""

    @staticmethod
    def forward(
        ctx: Any, positions: torch.Tensor, charges: torch.Tensor, box: tuple[float, float, float],
        cutoff: float, accuracy: float,
    ) -> torch.Tensor:  # fmt: skip
        """0-d."""
        alpha, n = math.sqrt(-math.log(accuracy)) / cutoff, len(positions)
        near = neighbours(positions, box, cutoff)
        order = near.order
        place, charge = positions[order].T.contiguous(), charges[order].contiguous()
        potential, far = torch.empty_like(charge), torch.empty_like(charge)
        force, far_force = torch.empty_like(place), torch.empty_like(place)
        bits = [scalar_bits(one, True) for one in (*box, cutoff, alpha)]
        launch(
            near_charges_kernel, cdiv(n, BLOCK), potential, force, place, charge, near.lists, near.counts, n,
            *bits, BLOCK=BLOCK,
        )  # fmt: skip
        wave, weight = (one.to(place) for one in _waves(box, alpha, accuracy))
        structure = torch.empty((2, len(weight)), dtype=place.dtype, device=place.device)
        launch(structure_kernel, len(weight), structure, place, charge, wave, n, len(weight), BLOCK=BLOCK)
        launch(
            far_charges_kernel, cdiv(n, BLOCK), far, far_force, place, charge, wave, weight, structure, n,
            len(weight), BLOCK=BLOCK,
        )  # fmt: skip
        # a charge's own cloud, and the even background that makes the whole neutral
        total = potential + far - 2 * alpha / math.sqrt(math.pi) * charge
        total = total - math.pi / (math.prod(box) * alpha**2) * charge.sum()
        back, slopes = torch.empty_like(positions), torch.empty_like(charges)
        back[order], slopes[order] = (force + far_force).T, total
        ctx.save_for_backward(back, slopes)
        return 0.5 * (charge * total).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The forces, turned round, and the potentials."""
        force, potential = ctx.saved_tensors
        g = grad_outputs[0]
        return mul(force, -g), mul(potential, g), None, None, None


# ---- names ----------------------------------------------------------------------------------------


def ewald_energy(
    positions: torch.Tensor, charges: torch.Tensor, box: Any, cutoff: float | None = None,
    accuracy: float = 1e-9,
) -> torch.Tensor:  # fmt: skip
    """The energy, sum of q_i q_j / r_ij over all pairs and periods, of charges [n] at positions [n, 3] in a
    periodic box (a length or three) inside a conductor; an even background makes up for what is not neutral.
    `cutoff` of the sum over pairs, at most half of the box, which it is by default; `accuracy`: what both
    sums leave out, beside the largest of their terms. Differentiable once. float32, float64. Raises
    InvalidValue."""
    lengths = sizes(box)
    cutoff = min(lengths) / 2 if cutoff is None else float(cutoff)
    if charges.shape != positions.shape[:1] or charges.dtype != positions.dtype:
        raise InvalidValue(
            f"charges {tuple(charges.shape)}, {charges.dtype} must be one for each of the positions "
            f"{tuple(positions.shape)}, {positions.dtype}"
        )
    if not 0 < accuracy < 1:
        raise InvalidValue(f"accuracy must be within 0 and 1, not {accuracy}")
    # in double precision, as both sums are larger than what is left of them
    found = Coulomb.apply(positions.double(), charges.double(), lengths, cutoff, accuracy)
    return found.to(positions.dtype)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    positions: torch.Tensor, charges: torch.Tensor, box: float, cutoff: None, accuracy: float
) -> torch.Tensor:
    """Ewald's sum with another split, over images of pairs and all waves."""
    alpha = 6.0 / box
    shifts = torch.cartesian_prod(*[torch.arange(-2.0, 3.0)] * 3).to(positions) * box
    d = positions[:, None] - positions
    r = (d[..., None, :] + shifts).square().sum(-1)
    itself = r < 1e-9
    r = torch.where(itself, 1.0, r).sqrt()
    near = torch.where(itself, 0.0, torch.erfc(alpha * r) / r).sum(-1)
    wave = torch.cartesian_prod(*[torch.arange(-13.0, 14.0)] * 3).to(positions) * (2 * math.pi / box)
    square = wave.square().sum(-1)
    wave, square = wave[square > 0], square[square > 0]
    weight = 4 * math.pi / box**3 * torch.exp(-square / (4 * alpha**2)) / square
    far = (weight * torch.cos(d @ wave.mT)).sum(-1)
    pairs = near + far - math.pi / (box**3 * alpha**2)
    own = 2 * alpha / math.sqrt(math.pi) * charges.square().sum()
    return 0.5 * ((charges @ pairs) @ charges - own)


def _salts(dtype: torch.dtype) -> Iterable[Sample]:
    charges = torch.tensor([1.0, -1.0, 1.0, -0.5], dtype=dtype)
    yield Sample((tensor((4, 3), dtype, 0, 3), charges, 3.0, None, 1e-17))
    yield Sample((torch.zeros((1, 3), dtype=dtype), charges[:1], 2.0, None, 1e-17))


# In double precision the sums, which cancel in part, are right to 1e-12: tests compare them with constants.
register(
    Fused(
        "ewald_energy",
        "particles",
        ewald_energy,
        _reference,
        _salts,
        (near_charges_kernel, structure_kernel, far_charges_kernel, flat_kernel, tiled_kernel),
        dtypes=(torch.float32,),
        differentiable=True,
    )
)
