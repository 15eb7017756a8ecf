"""Elementwise chains: activations, gated activations, a residual connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.activation.gelu import gelu
from ...ops.elementwise.exponential import exp
from ...ops.elementwise.special import erf
from ..case import Case, Work, moved, normal

FAMILY = "elementwise chains"
SIZES = ((4096, 1024), (256, 1024))
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def silu_mul_kernel(out, gate, up, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(gate + at, mask=inside).to(tl.float32)
    y = tl.load(up + at, mask=inside).to(tl.float32)
    tl.store(out + at, (x * tl.sigmoid(x) * y).to(out.dtype.element_ty), mask=inside)


@triton.jit
def residual_kernel(out, x, residual, scale, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    branch = tl.load(x + at, mask=inside).to(tl.float32)
    kept = tl.load(residual + at, mask=inside).to(tl.float32)
    tl.store(out + at, (kept + scale * branch).to(out.dtype.element_ty), mask=inside)


BLOCK = 1024

# ---- callables ------------------------------------------------------------------------------------


def silu_mul(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up for contiguous tensors of one shape."""
    out = torch.empty_like(gate)
    silu_mul_kernel[(triton.cdiv(out.numel(), BLOCK),)](out, gate, up, out.numel(), BLOCK=BLOCK)
    return out


def residual(x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """kept + x / 2 for contiguous tensors of one shape."""
    out = torch.empty_like(x)
    residual_kernel[(triton.cdiv(out.numel(), BLOCK),)](out, x, kept, 0.5, out.numel(), BLOCK=BLOCK)
    return out


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any], int, float, Callable[..., Any]]] = {
    "gelu": (gelu, torch.nn.functional.gelu, 1, 20, lambda j, n, x: j.nn.gelu(x, approximate=False)),
    "gelu_tanh": (
        lambda x: gelu(x, approximate="tanh"),
        lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        1,
        20,
        lambda j, n, x: j.nn.gelu(x, approximate=True),
    ),
    "exp": (exp, torch.exp, 1, 10, lambda j, n, x: n.exp(x)),
    "erf": (erf, torch.erf, 1, 20, lambda j, n, x: j.lax.erf(x)),
    "silu_mul": (
        silu_mul,
        lambda x, y: torch.nn.functional.silu(x) * y,
        2,
        14,
        lambda j, n, x, y: j.nn.silu(x) * y,
    ),
    "residual": (residual, lambda x, y: torch.add(y, x, alpha=0.5), 2, 2, lambda j, n, x, y: y + 0.5 * x),
}
"""Name -> ours, PyTorch's, number of inputs, operations an element, JAX's."""


def cases() -> Iterator[Case]:
    """Every function in three dtypes, in and out of the caches."""
    for name, row in FUNCTIONS.items():
        for dtype in DTYPES:
            for sizes in SIZES:
                yield Case(name, FAMILY, sizes, dtype, lambda r=row, d=dtype, s=sizes: _work(r, d, s))


def _work(row: tuple[Any, ...], dtype: torch.dtype, sizes: tuple[int, ...]) -> Work:
    ours, pytorch, inputs, operations, jax = row
    arguments = tuple(normal(*sizes, dtype=dtype, seed=k) for k in range(inputs))
    count = arguments[0].numel()
    return Work(
        arguments,
        ours,
        pytorch,
        bytes=moved(*arguments, arguments[0]),
        flops=float(operations * count),
        jax=jax,
    )
