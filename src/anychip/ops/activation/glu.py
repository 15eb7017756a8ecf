"""The gated linear unit: one half of a tensor times the sigmoid of the other half, with its backward
operator and the forward derivatives of both. Dauphin et al., arXiv:1612.08083."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..pointwise import TILES, Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, tensor

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def gated(a, b):
    return a / (1.0 + tl.exp(-b))


@triton.jit
def slope_of_gate(gradient, a, b):
    share = 1.0 / (1.0 + tl.exp(-b))
    return gradient * a * share * (1.0 - share)


@triton.jit
def tangent(output, b, da, db):
    share = 1.0 / (1.0 + tl.exp(-b))
    return da * share + output * (1.0 - share) * db


@triton.jit
def tangent_of_value(gradient, b, dgradient, db):
    share = 1.0 / (1.0 + tl.exp(-b))
    return dgradient * share + gradient * share * (1.0 - share) * db


@triton.jit
def sum_of_products(a, b, c, d):
    return a * b + c * d


@triton.jit
def tangent_of_gate(mixed, gradient, a, b, db):
    share = 1.0 / (1.0 + tl.exp(-b))
    return share * (1.0 - share) * (mixed + gradient * a * (1.0 - 2.0 * share) * db)


GATED, SLOPE_OF_GATE, TANGENT = Pointwise(gated), Pointwise(slope_of_gate), Pointwise(tangent)
TANGENT_OF_VALUE, SUM_OF_PRODUCTS = Pointwise(tangent_of_value), Pointwise(sum_of_products)
TANGENT_OF_GATE = Pointwise(tangent_of_gate)

# ---- forward, backward ----------------------------------------------------------------------------


def _halves(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The two halves along `dim`."""
    if not x.ndim:
        raise ArgumentError("glu does not support 0-dimensional tensors")
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], but got {dim})"
        )
    size = x.shape[dim]
    if size % 2:
        raise ArgumentError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    return x.narrow(dim, 0, size // 2), x.narrow(dim, size // 2, size // 2)


def glu(self: torch.Tensor, dim: int = -1, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """First half times sigmoid(second half) along `dim`."""
    first, second = _halves(self, dim)
    if out is None:
        out = torch.empty(first.shape, dtype=self.dtype, device=self.device)
    return GATED(first, second, out=out)


def glu_backward(
    grad_output: torch.Tensor, self: torch.Tensor, dim: int, *, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Gradient of `self`."""
    first, second = _halves(self, dim)
    if out is None:
        out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    elif out.shape != self.shape:
        out.resize_(self.shape)
    of_first, of_second = _halves(out, dim)
    GATED(grad_output, second, out=of_first)
    SLOPE_OF_GATE(grad_output, first, second, out=of_second)
    return out


def glu_jvp(glu: torch.Tensor, x: torch.Tensor, dx: torch.Tensor, dim: int) -> torch.Tensor:
    """Change of glu(x), given its value, where x changes by dx."""
    return TANGENT(glu, _halves(x, dim)[1], *_halves(dx, dim))


def glu_backward_jvp(
    grad_x: torch.Tensor,
    grad_glu: torch.Tensor,
    x: torch.Tensor,
    dgrad_glu: torch.Tensor,
    dx: torch.Tensor,
    dim: int,
) -> torch.Tensor:
    """Change of the gradient of x, where x and the result's gradient change."""
    (first, second), (of_first, of_second) = _halves(x, dim), _halves(dx, dim)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    to_first, to_second = _halves(out, dim)
    TANGENT_OF_VALUE(grad_glu, second, dgrad_glu, of_second, out=to_first)
    mixed = SUM_OF_PRODUCTS(dgrad_glu, first, grad_glu, of_first)
    TANGENT_OF_GATE(mixed, grad_glu, first, second, of_second, out=to_second)
    return out


# ---- record ---------------------------------------------------------------------------------------


def _inputs(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, int]]:
    yield tensor((3, 8), dtype), -1
    yield tensor((3, 4, 5), dtype), 1
    yield next(layouts(tensor((4, 5), dtype))), 0
    yield tensor((0, 4), dtype), 1


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample(case) for case in _inputs(dtype))


def _half(x: torch.Tensor, dim: int, seed: int) -> torch.Tensor:
    shape = list(x.shape)
    shape[dim] //= 2
    return tensor(shape, x.dtype, seed=seed)


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample((_half(x, dim, 1), x, dim)) for x, dim in _inputs(dtype))


def _tangents(dtype: torch.dtype) -> Iterable[Sample]:
    for x, dim in _inputs(dtype):
        yield Sample((_half(x, dim, 1), x, tensor(x.shape, dtype, seed=2), dim))


def _second_tangents(dtype: torch.dtype) -> Iterable[Sample]:
    for x, dim in _inputs(dtype):
        moved, gradient = tensor(x.shape, dtype, seed=2), _half(x, dim, 1)
        of_x = torch.ops.aten.glu_backward(gradient.double(), x.double(), dim).to(dtype)
        yield Sample((of_x, gradient, x, _half(x, dim, 4), moved, dim))


register(
    Operator(
        name="glu",
        overloads=(
            Overload("glu", glu, _samples),
            Overload("glu_backward", glu_backward, _gradients),
            Overload("glu_jvp", glu_jvp, _tangents, takes_out=False),
            Overload("glu_backward_jvp", glu_backward_jvp, _second_tangents, takes_out=False),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("glu", lambda dtype: Sample((tensor((4096, 2048), dtype), -1))),),
        tolerance=2.0,
    )
)
