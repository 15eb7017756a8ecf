"""Bodies that attract each other by gravity, all pairs. Flows in: positions and masses. Flows out: their
energy, with gradients in both; the gradient in positions is minus the forces."""

from __future__ import annotations

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
from .neighbour_lists import point, store_point

BLOCK = 16

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n", "softening"])
def gravity_kernel(potential, field, place, mass, n, softening: tl.int64, BLOCK: tl.constexpr):
    """potential [n] and field [3, n] of masses [n] at place [3, n]. A program takes BLOCK bodies."""
    distinct(potential, place)
    distinct(field, place)
    TYPE: tl.constexpr = place.dtype.element_ty
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x, y, z = point(place, n, i, inside)
    soft = double(softening).to(TYPE)
    fx = tl.zeros((BLOCK,), TYPE)
    fy = tl.zeros((BLOCK,), TYPE)
    fz = tl.zeros((BLOCK,), TYPE)
    sums = tl.zeros((BLOCK,), TYPE)
    for j in range(n):
        dx = tl.load(place + j) - x
        dy = tl.load(place + n + j) - y
        dz = tl.load(place + 2 * n + j) - z
        other = i != j
        square = tl.where(other, dx * dx + dy * dy + dz * dz + soft * soft, 1.0)
        share = tl.where(other, tl.load(mass + j) / tl.sqrt(square), 0.0)
        sums -= share
        pull = share / square
        fx += pull * dx
        fy += pull * dy
        fz += pull * dz
    tl.store(potential + i, sums, mask=inside)
    store_point(field, n, i, fx, fy, fz, inside)


# ---- forward and backward -------------------------------------------------------------------------


class Gravity(torch.autograd.Function):
    """The energy of all pairs."""

    @staticmethod
    def forward(ctx: Any, positions: torch.Tensor, masses: torch.Tensor, softening: float) -> torch.Tensor:
        """0-d."""
        place, mass = positions.T.contiguous(), masses.contiguous()
        potential, field = torch.empty_like(mass), torch.empty_like(place)
        bits = scalar_bits(softening, True)
        launch(
            gravity_kernel,
            cdiv(len(mass), BLOCK),
            potential,
            field,
            place,
            mass,
            len(mass),
            bits,
            BLOCK=BLOCK,
        )
        ctx.save_for_backward(field.T * mass[:, None], potential)
        return 0.5 * (mass * potential).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The forces, turned round, and the potentials."""
        force, potential = ctx.saved_tensors
        g = grad_outputs[0]
        return mul(force, -g), mul(potential, g), None


# ---- names ----------------------------------------------------------------------------------------


def gravity_energy(positions: torch.Tensor, masses: torch.Tensor, softening: float = 0.0) -> torch.Tensor:
    """The energy, minus the sum over pairs of m_i m_j / sqrt(r^2 + softening^2), of masses [n] at positions
    [n, 3]; minus charges squared make it Coulomb's. Differentiable once. float32, float64. Raises
    InvalidValue."""
    if positions.ndim != 2 or positions.shape[1] != 3 or masses.shape != positions.shape[:1]:
        raise InvalidValue(
            f"positions must have the shape [n, 3] and masses [n], not {tuple(positions.shape)} and "
            f"{tuple(masses.shape)}"
        )
    if masses.dtype != positions.dtype or softening < 0:
        raise InvalidValue(
            f"positions and masses must be of one type, not {positions.dtype} and {masses.dtype}, and "
            f"softening {softening} not negative"
        )
    return Gravity.apply(positions, masses, float(softening))


# ---- records --------------------------------------------------------------------------------------


def _all_pairs(positions: torch.Tensor, masses: torch.Tensor, softening: float) -> torch.Tensor:
    square = (positions[:, None] - positions).square().sum(-1) + softening**2
    itself = torch.eye(len(masses), dtype=torch.bool)
    inverse = torch.where(itself, 0.0, torch.where(itself, 1.0, square).rsqrt())
    return -0.5 * (masses[:, None] * masses * inverse).sum()


def _bodies(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((20, 3), dtype), tensor((20,), dtype, 0.5, 1.5), 0.25))
    yield Sample(
        (torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=dtype), torch.ones(2, dtype=dtype), 0.0)
    )


register(
    Fused(
        "gravity_energy",
        "particles",
        gravity_energy,
        _all_pairs,
        _bodies,
        (gravity_kernel, flat_kernel, tiled_kernel),
        PRECISE,
        True,
    )
)
