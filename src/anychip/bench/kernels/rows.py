"""Softmax, log-softmax, layer norm and RMS norm over rows, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.registry import overloads
from ..case import Case, Work, moved, normal

FAMILY = "softmax and norms"
SIZES = ((4096, 1024), (256, 1024))
EPS = 1e-5

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def rms_norm_kernel(out, source, weight, length, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < length
    x = tl.load(source + row * length + at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, 0) / length + eps)
    y = x * scale * tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * length + at, y.to(out.dtype.element_ty), mask=inside)


@triton.jit
def rms_norm_backward_kernel(
    dx, partial, gradient, source, weight, rows, length, eps, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """dx of ROWS rows, and their share of the weight's gradient."""
    program = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < length
    w = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(program * ROWS, tl.minimum(program * ROWS + ROWS, rows)):
        x = tl.load(source + row * length + at, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(gradient + row * length + at, mask=inside, other=0.0).to(tl.float32)
        scale = tl.rsqrt(tl.sum(x * x, 0) / length + eps)
        g = dy * w
        dot = tl.sum(g * x, 0) / length
        tl.store(
            dx + row * length + at,
            (scale * (g - x * (scale * scale * dot))).to(dx.dtype.element_ty),
            mask=inside,
        )
        dw += dy * x * scale
    tl.store(partial + program * length + at, dw, mask=inside)


@triton.jit
def column_sum_kernel(out, partial, count, length, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < length
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(count):
        total += tl.load(partial + row * length + at, mask=inside, other=0.0)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


# ---- callables ------------------------------------------------------------------------------------


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """RMS norm of the rows of a contiguous matrix."""
    rows, length = x.shape
    out = torch.empty_like(x)
    rms_norm_kernel[(rows,)](out, x, weight, length, EPS, BLOCK=triton.next_power_of_2(length))
    return out


def rms_norm_backward(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the input and the weight of `rms_norm`."""
    rows, length = x.shape
    each = triton.cdiv(rows, 32)
    programs = triton.cdiv(rows, each)
    dx, dw = torch.empty_like(x), torch.empty_like(weight)
    partial = torch.empty((programs, length), dtype=torch.float32)
    block = triton.next_power_of_2(length)
    rms_norm_backward_kernel[(programs,)](
        dx, partial, gradient, x, weight, rows, length, EPS, ROWS=each, BLOCK=block
    )
    column_sum_kernel[(triton.cdiv(length, 256),)](dw, partial, programs, length, BLOCK=256)
    return dx, dw


def _pytorch_rms_norm_backward(g: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
    with torch.enable_grad():
        y = torch.nn.functional.rms_norm(x, (x.shape[-1],), w, EPS)
        return torch.autograd.grad(y, (x, w), g)


def _registered(overload: str) -> Callable[..., Any]:
    return overloads()[overload][1].implementation


def _softmax(name: str, sizes: tuple[int, ...], dtype: torch.dtype) -> Work:
    x = normal(*sizes, dtype=dtype)
    ours = _registered(f"_{name}")
    pytorch = getattr(torch, name)
    return Work(
        (x,),
        lambda t: ours(t, -1, False),
        lambda t: pytorch(t, -1),
        bytes=moved(x, x),
        flops=12.0 * x.numel(),
        jax=lambda j, n, t: getattr(j.nn, name)(t, axis=-1),
    )


def _softmax_backward(name: str, sizes: tuple[int, ...], dtype: torch.dtype) -> Work:
    y = getattr(torch, name)(normal(*sizes, dtype=torch.float32), -1).to(dtype)
    g = normal(*sizes, dtype=dtype, seed=1)
    ours = _registered(f"_{name}_backward_data")
    pytorch = getattr(torch.ops.aten, f"_{name}_backward_data").default
    return Work(
        (g, y),
        lambda a, b: ours(a, b, -1, dtype),
        lambda a, b: pytorch(a, b, -1, a.dtype),
        bytes=moved(g, y, y),
        flops=5.0 * y.numel(),
        exportable=False,
    )


def _layer_norm(sizes: tuple[int, ...], dtype: torch.dtype) -> Work:
    x, w, b = (normal(*s, dtype=dtype, seed=k) for k, s in enumerate((sizes, sizes[-1:], sizes[-1:])))
    ours = _registered("native_layer_norm")

    def jax(j: Any, n: Any, x: Any, w: Any, b: Any) -> Any:
        mean = n.mean(x, axis=-1, keepdims=True)
        return (x - mean) * j.lax.rsqrt(n.var(x, axis=-1, keepdims=True) + EPS) * w + b

    return Work(
        (x, w, b),
        lambda x, w, b: ours(x, sizes[-1:], w, b, EPS),
        lambda x, w, b: torch.nn.functional.layer_norm(x, sizes[-1:], w, b, EPS),
        bytes=moved(x, x, w, b),
        flops=8.0 * x.numel(),
        compared=lambda result: result[0] if isinstance(result, tuple) else result,
        jax=jax,
    )


def _layer_norm_backward(sizes: tuple[int, ...], dtype: torch.dtype) -> Work:
    g, x, w, b = (
        normal(*s, dtype=dtype, seed=k) for k, s in enumerate((sizes, sizes, sizes[-1:], sizes[-1:]))
    )
    _, mean, rstd = torch.native_layer_norm(x, sizes[-1:], w, b, EPS)
    ours = _registered("native_layer_norm_backward")
    pytorch = torch.ops.aten.native_layer_norm_backward.default
    return Work(
        (g, x, mean, rstd, w, b),
        lambda g, x, m, r, w, b: ours(g, x, sizes[-1:], m, r, w, b, [True, True, True]),
        lambda g, x, m, r, w, b: pytorch(g, x, sizes[-1:], m, r, w, b, [True, True, True]),
        bytes=moved(g, x, x, w, w, b),
        flops=14.0 * x.numel(),
        exportable=False,
    )


def _rms_norm(sizes: tuple[int, ...], dtype: torch.dtype) -> Work:
    x, w = normal(*sizes, dtype=dtype), normal(sizes[-1], dtype=dtype, seed=1)
    return Work(
        (x, w),
        rms_norm,
        lambda x, w: torch.nn.functional.rms_norm(x, (x.shape[-1],), w, EPS),
        bytes=moved(x, x, w),
        flops=5.0 * x.numel(),
        jax=lambda j, n, x, w: x * j.lax.rsqrt(n.mean(x * x, axis=-1, keepdims=True) + EPS) * w,
    )


def _rms_norm_backward(sizes: tuple[int, ...], dtype: torch.dtype) -> Work:
    g, x = normal(*sizes, dtype=dtype), normal(*sizes, dtype=dtype, seed=1)
    w = normal(sizes[-1], dtype=dtype, seed=2)
    return Work(
        (g, x, w),
        rms_norm_backward,
        _pytorch_rms_norm_backward,
        bytes=moved(g, x, x, w, w),
        flops=12.0 * x.numel(),
        exportable=False,
    )


MAKERS: dict[str, Callable[[tuple[int, ...], torch.dtype], Work]] = {
    "softmax": lambda s, d: _softmax("softmax", s, d),
    "log_softmax": lambda s, d: _softmax("log_softmax", s, d),
    "softmax_backward": lambda s, d: _softmax_backward("softmax", s, d),
    "log_softmax_backward": lambda s, d: _softmax_backward("log_softmax", s, d),
    "layer_norm": _layer_norm,
    "layer_norm_backward": _layer_norm_backward,
    "rms_norm": _rms_norm,
    "rms_norm_backward": _rms_norm_backward,
}


def cases() -> Iterator[Case]:
    """Forward in f32 and bf16, backward in f32; in and out of the caches."""
    for name, maker in MAKERS.items():
        dtypes = (torch.float32,) if name.endswith("backward") else (torch.float32, torch.bfloat16)
        for dtype in dtypes:
            for sizes in SIZES:
                yield Case(name, FAMILY, sizes, dtype, lambda m=maker, s=sizes, d=dtype: m(s, d))
