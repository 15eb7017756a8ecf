"""Attention: prefill, decode and backward, by the library's operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ...ops.attention.flash import attention, attention_backward
from ..case import Case, Work, moved, normal

FAMILY = "attention"
PREFILL, SMALL = (4, 8, 1024, 64), (1, 4, 128, 64)
CACHED_KEYS = 1024


def cases() -> Iterator[Case]:
    """Many queries with and without causality, one query to many keys, and gradients."""
    for dtype in (torch.float32, torch.bfloat16):
        for causal in (False, True):
            name = "attention_causal" if causal else "attention"
            for s in (PREFILL, SMALL):
                yield Case(name, FAMILY, s, dtype, lambda s=s, d=dtype, c=causal: _attention(s, s[2], d, c))
        for s in ((4, 8, 1, 64), (1, 8, 1, 64)):
            yield Case(
                "attention_decode",
                FAMILY,
                s,
                dtype,
                lambda s=s, d=dtype: _attention(s, CACHED_KEYS, d, False),
            )
        for causal in (False, True):
            name = "attention_causal_backward" if causal else "attention_backward"
            for s in ((2, 8, 512, 64), SMALL) if dtype == torch.float32 else ((2, 8, 512, 64),):
                yield Case(name, FAMILY, s, dtype, lambda s=s, d=dtype, c=causal: _backward(s, d, c))


def _attention(sizes: tuple[int, int, int, int], keys: int, dtype: torch.dtype, causal: bool) -> Work:
    batch, heads, queries, width = sizes
    q = normal(*sizes, dtype=dtype)
    k, v = (normal(batch, heads, keys, width, dtype=dtype, seed=s) for s in (1, 2))

    def jax(j: Any, n: Any, q: Any, k: Any, v: Any) -> Any:
        turned = (n.swapaxes(x, 1, 2) for x in (q, k, v))
        return n.swapaxes(j.nn.dot_product_attention(*turned, is_causal=causal), 1, 2)

    return Work(
        (q, k, v),
        lambda q, k, v: attention(q, k, v, 0.0, causal)[0],
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
        bytes=moved(q, k, v, q),
        flops=4.0 * batch * heads * queries * keys * width * (0.5 if causal else 1.0),
        jax=jax,
    )


def _backward(sizes: tuple[int, int, int, int], dtype: torch.dtype, causal: bool) -> Work:
    batch, heads, length, width = sizes
    q, k, v, gradient = (normal(*sizes, dtype=dtype, seed=s) for s in range(4))
    forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    pytorch = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default
    out, sums = forward(q, k, v, 0.0, causal)

    def reference(gradient: torch.Tensor, *operands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k, v = (x.detach().requires_grad_() for x in operands[:3])
        with torch.enable_grad():
            result = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
            return torch.autograd.grad(result, (q, k, v), gradient)

    return Work(
        (gradient, q, k, v, out, sums),
        lambda g, q, k, v, out, sums: attention_backward(g, q, k, v, out, sums, 0.0, causal),
        lambda *operands: pytorch(*operands, 0.0, causal),
        reference=reference,
        bytes=moved(gradient, q, k, v, out, q, k, v),
        flops=10.0 * batch * heads * length * length * width * (0.5 if causal else 1.0),
        terms=length,
        exportable=False,
    )
