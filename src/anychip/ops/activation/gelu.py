"""GELU, exact (by erf) and by its tanh approximation, and their derivatives.
Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError
from ..pointwise import TILES, Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, special, tensor

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def gelu_erf(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def gelu_tanh(x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + libdevice.tanh(inner))


@triton.jit
def gelu_erf_backward(gradient, x):
    probability = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
    return gradient * (probability + x * density)


@triton.jit
def gelu_tanh_backward(gradient, x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    slope = 0.7978845608028654 * (1.0 + 0.134145 * x * x)
    bend = libdevice.tanh(inner)
    return gradient * (0.5 * (1.0 + bend) + 0.5 * x * (1.0 - bend * bend) * slope)


# ---- forward, backward ----------------------------------------------------------------------------

FORWARD = {"none": Pointwise(gelu_erf), "tanh": Pointwise(gelu_tanh)}
BACKWARD = {"none": Pointwise(gelu_erf_backward), "tanh": Pointwise(gelu_tanh_backward)}


def _chosen(table: dict[str, Pointwise], approximate: str) -> Pointwise:
    if approximate not in table:
        raise ArgumentError(f"approximate argument must be either none or tanh, not {approximate!r}")
    return table[approximate]


def gelu(self: torch.Tensor, *, approximate: str = "none", out: Any = None) -> torch.Tensor:
    """x * P(X <= x) for a standard normal X; any shape, floating dtypes."""
    return _chosen(FORWARD, approximate)(self, out=out)


def gelu_backward(
    grad_output: torch.Tensor, self: torch.Tensor, *, approximate: str = "none", out: Any = None
) -> torch.Tensor:
    """Gradient of `gelu` at `self`, times `grad_output`."""
    return _chosen(BACKWARD, approximate)(grad_output, self, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for approximate in FORWARD:
        for shape in ((3, 5), (2500,), (0, 2)):
            yield Sample((tensor(shape, dtype),), {"approximate": approximate})
        yield Sample((next(layouts(tensor((3, 4, 5), dtype))),), {"approximate": approximate})
    yield Sample((special(dtype)[:3],))


def _backward_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _samples(dtype):
        x = sample.arguments[0]
        yield Sample((torch.ones_like(x), x), sample.keywords)


register(
    Operator(
        name="gelu",
        overloads=(
            Overload("gelu", gelu, _samples),
            Overload("gelu_backward", gelu_backward, _backward_samples),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("gelu", lambda dtype: Sample((tensor((4096, 1024), dtype),))),
            Benchmark("gelu", lambda dtype: Sample((tensor((4096, 1024), dtype),), {"approximate": "tanh"})),
        ),
    )
)
