"""Fourier transforms of values at places that are not even, under the names of FINUFFT: spread onto a grid
twice as fine by a kernel of small support, a transform, and a division (Barnett, Magland and af Klinteberg,
"A parallel nonuniform fast Fourier transform library", 2019). Every point of the grid collects from the
places near it, so that results do not depend on threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.kernels.numbers import double
from ...ops.launching import cdiv, launch, scalar_bits
from .. import fft
from ..arrays import COMPLEX, inexact, taken
from ..errors import InvalidValue
from .spectral import next_fast_len

BLOCK, WIDEST = 32, 16

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def bump(distance, width, beta):
    """exp(beta (sqrt(1 - z^2) - 1)) of distances in grid points, zero beyond half of `width`."""
    z = 2.0 * distance / width
    inside = 1.0 - z * z
    return tl.where(inside > 0, tl.exp(beta * (tl.sqrt(tl.maximum(inside, 0.0)) - 1.0)), 0.0)


@triton.jit(do_not_specialize=["size", "width"])
def spread_kernel(out, place, value, starts, size, width, beta: tl.int64, BLOCK: tl.constexpr):
    """out [size, 2] = at each grid point the sum of bumps about places [n], in grid points and sorted into
    the cells that begin at starts [size + 1], times value [n, 2]. A program takes BLOCK grid points."""
    distinct(out, place)
    distinct(out, value)
    TYPE: tl.constexpr = out.dtype.element_ty
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < size
    factor = double(beta).to(TYPE)
    real = tl.zeros((BLOCK,), TYPE)
    imaginary = tl.zeros((BLOCK,), TYPE)
    reach = width // 2 + 1
    for step in range(2 * reach + 1):
        shifted = at + step - reach
        cell = (shifted + size) % size
        first = tl.load(starts + cell, mask=mask, other=0)
        count = tl.load(starts + cell + 1, mask=mask, other=0) - first
        for k in range(tl.max(count, 0)):
            here = mask & (k < count)
            # where the cell is taken from the other end, its places are a period away
            moved = tl.load(place + first + k, mask=here, other=0) + (shifted - cell).to(TYPE)
            weight = bump(at.to(TYPE) - moved, width, factor)
            real += weight * tl.load(value + 2 * (first + k), mask=here, other=0)
            imaginary += weight * tl.load(value + 2 * (first + k) + 1, mask=here, other=0)
    tl.store(out + 2 * at, real, mask=mask)
    tl.store(out + 2 * at + 1, imaginary, mask=mask)


@triton.jit(do_not_specialize=["n", "size", "width"])
def collect_kernel(out, place, grid, n, size, width, beta: tl.int64, BLOCK: tl.constexpr):
    """out [n, 2] = the sum of grid [size, 2] under a bump about each place [n]. A program takes BLOCK
    places."""
    distinct(out, place)
    distinct(out, grid)
    TYPE: tl.constexpr = out.dtype.element_ty
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = k < n
    u = tl.load(place + k, mask=mask, other=0)
    first = tl.floor(u).to(tl.int64) - width // 2 - 1
    factor = double(beta).to(TYPE)
    real = tl.zeros((BLOCK,), TYPE)
    imaginary = tl.zeros((BLOCK,), TYPE)
    for step in range(width + 3):
        at = first + step
        weight = bump(at.to(TYPE) - u, width, factor)
        cell = (at + size) % size
        real += weight * tl.load(grid + 2 * cell, mask=mask, other=0)
        imaginary += weight * tl.load(grid + 2 * cell + 1, mask=mask, other=0)
    tl.store(out + 2 * k, real, mask=mask)
    tl.store(out + 2 * k + 1, imaginary, mask=mask)


# ---- forward and backward -------------------------------------------------------------------------


class Spread(torch.autograd.Function):
    """Values at places onto a grid."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, place: torch.Tensor, size: int, width: int) -> torch.Tensor:
        """[size], complex."""
        order = torch.argsort(place, stable=True)
        held = place[order].contiguous()
        edges = torch.arange(size + 1, dtype=place.dtype, device=place.device)
        starts = torch.searchsorted(held, edges)
        pairs = torch.view_as_real(value[order].contiguous().resolve_conj())
        out = held.new_empty((size, 2))
        beta = scalar_bits(2.3 * width, True)
        launch(spread_kernel, cdiv(size, BLOCK), out, held, pairs, starts, size, width, beta, BLOCK=BLOCK)
        ctx.save_for_backward(place)
        ctx.width = width
        return torch.view_as_complex(out)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient collected at the places."""
        return Collect.apply(grad_outputs[0], ctx.saved_tensors[0], ctx.width), None, None, None


class Collect(torch.autograd.Function):
    """A grid at places."""

    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, place: torch.Tensor, width: int) -> torch.Tensor:
        """[n], complex."""
        pairs = torch.view_as_real(grid.contiguous().resolve_conj())
        out = place.new_empty((len(place), 2))
        beta = scalar_bits(2.3 * width, True)
        sizes = len(place), len(grid), width, beta
        launch(collect_kernel, cdiv(len(place), BLOCK), out, place, pairs, *sizes, BLOCK=BLOCK)
        ctx.save_for_backward(place)
        ctx.sizes = len(grid), width
        return torch.view_as_complex(out)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient spread onto the grid."""
        return Spread.apply(grad_outputs[0], ctx.saved_tensors[0], *ctx.sizes), None, None


# ---- names ----------------------------------------------------------------------------------------


def _plan(x: torch.Tensor, modes: int, eps: float) -> tuple[torch.Tensor, int, int, torch.Tensor]:
    """Places in grid points [n], the grid's size, the bump's width, and by what modes [modes] are divided:
    the bump's own transform, by Gauss and Legendre's points."""
    if modes < 1 or not 0 < eps < 1:
        raise InvalidValue(f"there must be at least one mode, not {modes}, and eps within 0 and 1, not {eps}")
    width = min(WIDEST, max(2, math.ceil(-math.log10(eps)) + 2))
    size = next_fast_len(max(2 * modes, 2 * width + 4))
    turns = x / (2 * math.pi)
    place = (turns - torch.floor(turns)) * size
    place = torch.where(place >= size, 0.0, place)
    z, weights = np.polynomial.legendre.leggauss(80)
    k = np.arange(-(modes // 2), (modes + 1) // 2)
    values = np.exp(2.3 * width * (np.sqrt(1 - z * z) - 1)) * weights
    transform = 0.5 * width * (np.cos(np.outer(k, z) * (math.pi * width / size)) @ values)
    return place, size, width, torch.from_numpy(transform).to(x)


def _given(x: Any, values: Any, name: str) -> tuple[torch.Tensor, torch.Tensor, Any]:
    places, _ = taken(x, "x")
    held, restore = taken(values, name)
    if isinstance(x, torch.Tensor):
        restore = taken(x)[1]
    places, held = inexact(places).detach(), inexact(held)
    if places.ndim != 1 or held.ndim != 1 or places.is_complex():
        raise InvalidValue(
            f"x {tuple(places.shape)} must be a vector of real numbers, {name} {tuple(held.shape)} a vector"
        )
    real = torch.promote_types(places.dtype, held.real.dtype)
    return places.to(real), held.to(COMPLEX[real]), restore


def _sign(isign: int) -> bool:
    if isign not in (1, -1):
        raise InvalidValue(f"isign must be 1 or -1, not {isign}")
    return isign == 1


def nufft1d1(x: Any, c: Any, n_modes: int, eps: float = 1e-6, isign: int = 1) -> Any:
    """f [n_modes], the sums over j of c [n] times exp(isign i k x [n]) for k from -(n_modes // 2) on, to
    about eps of the sum of |c|: 1e-14 at best. Differentiable in c. complex64, complex128. Raises
    InvalidValue."""
    places, values, restore = _given(x, c, "c")
    if len(values) != len(places):
        raise InvalidValue(f"x and c must be of one length, not {len(places)} and {len(values)}")
    place, size, width, transform = _plan(places, n_modes, eps)
    grid = Spread.apply(values, place, size, width)
    whole = fft.ifft(grid, norm="forward") if _sign(isign) else fft.fft(grid)
    k = torch.arange(-(n_modes // 2), (n_modes + 1) // 2, device=place.device) % size
    return restore(whole[k] / transform)


def nufft1d2(x: Any, f: Any, eps: float = 1e-6, isign: int = -1) -> Any:
    """c [n], the sums over k from -(m // 2) on of f [m] times exp(isign i k x [n]), to about eps of the sum
    of |f|: 1e-14 at best. Differentiable in f. complex64, complex128. Raises InvalidValue."""
    places, values, restore = _given(x, f, "f")
    place, size, width, transform = _plan(places, len(values), eps)
    k = torch.arange(-(len(values) // 2), (len(values) + 1) // 2, device=place.device) % size
    grid = values.new_zeros(size).index_copy(0, k, values / transform)
    whole = fft.ifft(grid, norm="forward") if _sign(isign) else fft.fft(grid)
    return restore(Collect.apply(whole, place, width))
