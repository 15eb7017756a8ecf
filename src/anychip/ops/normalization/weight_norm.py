"""Weight normalisation: a weight v scaled so that its norm over all dimensions but the first or the last
is g, and the gradients of both. Salimans and Kingma, arXiv:1602.07868."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Tiles, launch
from ..pointwise import Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduce.sums import plus
from ..reduction import TILES, Reduction, accumulator
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

ROW_TILES = Tiles(simt={"row": 1024}, simd={"row": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def square_of(value, parameter):
    return value * value


@triton.jit
def root_of(total, parameter, count):
    return tl.sqrt(total)


@triton.jit
def scaled(v, g, norm):
    return v * (g / norm)


@triton.jit
def product(a, b):
    return a * b


@triton.jit
def slope_of_direction(gradient, v, g, norm, along):
    return g / norm * (gradient - v * (along / (norm * norm)))


@triton.jit
def quotient(a, b):
    return a / b


@triton.jit
def rows_kernel(out, norms, v, g, width, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """Row r of [rows, width]: norms[r], and out[r] = v[r] g[r] / norms[r]."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), COMPUTE)
    for start in range(0, width, BLOCK):
        x = tl.load(v + row * width + start + lane, mask=start + lane < width, other=0).to(COMPUTE)
        total += x * x
    norm = tl.sqrt(tl.sum(total, 0)).to(norms.dtype.element_ty)
    tl.store(norms + row, norm)
    factor = tl.load(g + row).to(COMPUTE) / norm.to(COMPUTE)
    for start in range(0, width, BLOCK):
        mask = start + lane < width
        x = tl.load(v + row * width + start + lane, mask=mask, other=0).to(COMPUTE)
        tl.store(out + row * width + start + lane, (x * factor).to(out.dtype.element_ty), mask=mask)


@triton.jit
def rows_backward_kernel(
    of_v, of_g, gradient, v, g, norms, width, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """Gradients of a row of v and of its g."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), COMPUTE)
    for start in range(0, width, BLOCK):
        mask = start + lane < width
        x = tl.load(v + row * width + start + lane, mask=mask, other=0).to(COMPUTE)
        total += x * tl.load(gradient + row * width + start + lane, mask=mask, other=0).to(COMPUTE)
    along = tl.sum(total, 0)
    norm = tl.load(norms + row).to(COMPUTE)
    tl.store(of_g + row, (along / norm).to(of_g.dtype.element_ty))
    factor = tl.load(g + row).to(COMPUTE) / norm
    share = along / (norm * norm)
    for start in range(0, width, BLOCK):
        mask = start + lane < width
        at = row * width + start + lane
        x = tl.load(v + at, mask=mask, other=0).to(COMPUTE)
        slope = factor * (tl.load(gradient + at, mask=mask, other=0).to(COMPUTE) - x * share)
        tl.store(of_v + at, slope.to(of_v.dtype.element_ty), mask=mask)


NORM = Reduction("norm", plus, 0, map=square_of, finish=root_of)
TOTAL = Reduction("sum", plus, 0)
SCALED, PRODUCT, QUOTIENT = Pointwise(scaled), Pointwise(product), Pointwise(quotient)
SLOPE_OF_DIRECTION = Pointwise(slope_of_direction)

# ---- forward, backward ----------------------------------------------------------------------------


def _others(v: torch.Tensor, dim: int) -> list[int]:
    """Every dimension but `dim`, which is the first or the last."""
    if v.dtype not in FLOATING:
        raise NotServed("_weight_norm_interface", f"dtype {v.dtype} is not served")
    if dim not in (0, v.ndim - 1):
        raise ArgumentError(f"fused kernels can only be applied for first or last dim, not {dim}")
    return [d for d in range(v.ndim) if d != dim]


def _by_rows(v: torch.Tensor, g: torch.Tensor, dim: int) -> bool:
    """Whether each row of the first dimension has a norm, as is usual."""
    return dim == 0 and v.ndim > 1 and v.numel() > 0 and g.numel() == v.shape[0]


def _row(v: torch.Tensor) -> dict[str, Any]:
    """The arguments of a row kernel after its tensors."""
    width = v[0].numel()
    block = min(power_of_two(width), ROW_TILES.on(v)["row"])
    return {"width": width, "COMPUTE": TRITON_DTYPES[accumulator(v.dtype)], "BLOCK": block}


def weight_norm(v: torch.Tensor, g: torch.Tensor, dim: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(v g / norm, norm), the norm being that of v over all dimensions but `dim`."""
    others = _others(v, dim)
    compute = accumulator(v.dtype)
    kept = torch.float32 if g.dtype.itemsize == 2 else g.dtype
    if _by_rows(v, g, dim):
        out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
        norm = torch.empty(g.shape, dtype=kept, device=v.device)
        launch(rows_kernel, v.shape[0], out, norm, v.contiguous(), g.contiguous(), **_row(v))
        return out, norm
    if others:
        norm = NORM(v, others, True, compute=compute, result=kept)
    else:
        norm = NORM(v.unsqueeze(1), [1], False, compute=compute, result=kept)
    return SCALED(v, g, norm, out=torch.empty_like(v)), norm


def weight_norm_backward(
    grad_w: torch.Tensor, saved_v: torch.Tensor, saved_g: torch.Tensor, saved_norms: torch.Tensor, dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of v and g."""
    others = _others(saved_v, dim)
    compute = accumulator(saved_v.dtype)
    if _by_rows(saved_v, saved_g, dim):
        of_v = torch.empty(saved_v.shape, dtype=saved_v.dtype, device=saved_v.device)
        of_g = torch.empty(saved_g.shape, dtype=saved_g.dtype, device=saved_g.device)
        launch(
            rows_backward_kernel,
            saved_v.shape[0],
            of_v,
            of_g,
            grad_w.contiguous(),
            saved_v.contiguous(),
            saved_g.contiguous(),
            saved_norms.contiguous(),
            **_row(saved_v),
        )
        return of_v, of_g
    along = PRODUCT(grad_w, saved_v, out=torch.empty(saved_v.shape, dtype=compute, device=saved_v.device))
    if others:
        along = TOTAL(along, others, True, compute=compute, result=compute)
    of_v = SLOPE_OF_DIRECTION(grad_w, saved_v, saved_g, saved_norms, along, out=torch.empty_like(saved_v))
    return of_v, QUOTIENT(along, saved_norms, out=torch.empty_like(saved_g))


# ---- record ---------------------------------------------------------------------------------------


def _cases(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor, int]]:
    for shape, dim in (((5, 7), 0), ((5, 7), 1), ((4, 3, 2, 2), 0)):
        kept = [size if d == dim else 1 for d, size in enumerate(shape)]
        yield tensor(shape, dtype), tensor(kept, dtype, 0.5, 2.0, seed=1), dim


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample(case) for case in _cases(dtype))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for v, g, dim in _cases(dtype):
        norm = v.double().square().sum([d for d in range(v.ndim) if d != dim], keepdim=True).sqrt()
        kept = torch.float32 if dtype.itemsize == 2 else dtype
        yield Sample((tensor(v.shape, dtype, seed=2), v, g, norm.to(kept), dim))


register(
    Operator(
        name="weight_norm",
        overloads=(
            Overload("_weight_norm_interface", weight_norm, _samples, takes_out=False),
            Overload("_weight_norm_interface_backward", weight_norm_backward, _gradients, takes_out=False),
        ),
        kernels=(rows_kernel, rows_backward_kernel, NORM.kernel, TOTAL.kernel, flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "_weight_norm_interface",
                lambda dtype: Sample((tensor((4096, 1024), dtype), tensor((4096, 1), dtype), 0)),
            ),
        ),
        tolerance=4.0,
    )
)
