"""Triton's tutorials 02, 03, 05 and 06 as published: the functions of the files, none of our own.

Flows in: a way to take a name out of a tutorial's file. Flows out: cases that time it against PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .case import Case, Work, moved, normal

FAMILY = "Triton's tutorials"
SOFTMAX, MATMUL, LAYER_NORM, ATTENTION = (
    "02-fused-softmax.py",
    "03-matrix-multiplication.py",
    "05-layer-norm.py",
    "06-fused-attention.py",
)
EPS = 1e-5

Load = Callable[[str, str], Any]
"""From a file's name and a name in it to what is bound to that."""


def cases(load: Load) -> list[Case]:
    """One or two sizes of each; the matrix product and attention in f16, as the tutorials have them."""
    found = [
        Case("tutorial_02_softmax", FAMILY, sizes, torch.float32, lambda s=sizes: _softmax(load, s))
        for sizes in ((4096, 1024), (1823, 781))
    ]
    found += [
        Case("tutorial_03_matmul", FAMILY, (size,) * 3, torch.float16, lambda s=size: _matmul(load, s))
        for size in (512,)
    ]
    for dtype in (torch.float32, torch.float16):
        found.append(
            Case(
                "tutorial_05_layer_norm",
                FAMILY,
                (4096, 1024),
                dtype,
                lambda d=dtype: _layer_norm(load, (4096, 1024), d),
            )
        )
    found += [
        Case(
            "tutorial_06_attention_causal" if causal else "tutorial_06_attention",
            FAMILY,
            (1, 8, 1024, 64),
            torch.float16,
            lambda c=causal: _attention(load, (1, 8, 1024, 64), c),
        )
        for causal in (False, True)
    ]
    return found


def _softmax(load: Load, sizes: tuple[int, int]) -> Work:
    x = normal(*sizes)
    return Work(
        (x,),
        load(SOFTMAX, "softmax"),
        lambda x: torch.softmax(x, 1),
        bytes=moved(x, x),
        flops=12.0 * x.numel(),
    )


def _matmul(load: Load, size: int) -> Work:
    a, b = normal(size, size, dtype=torch.float16), normal(size, size, dtype=torch.float16, seed=1)
    return Work(
        (a, b),
        load(MATMUL, "matmul"),
        torch.mm,
        bytes=moved(a, a, b),
        flops=2.0 * size**3,
        terms=size,
    )


def _layer_norm(load: Load, sizes: tuple[int, int], dtype: torch.dtype) -> Work:
    x, w, b = (normal(*s, dtype=dtype, seed=k) for k, s in enumerate((sizes, sizes[1:], sizes[1:])))
    ours = load(LAYER_NORM, "layer_norm")
    return Work(
        (x, w, b),
        lambda x, w, b: ours(x, sizes[1:], w, b, EPS),
        lambda x, w, b: torch.nn.functional.layer_norm(x, sizes[1:], w, b, EPS),
        bytes=moved(x, x, w, b),
        flops=8.0 * x.numel(),
    )


def _attention(load: Load, sizes: tuple[int, int, int, int], causal: bool) -> Work:
    q, k, v = (normal(*sizes, dtype=torch.float16, seed=s) for s in range(3))
    batch, heads, length, width = sizes
    ours = load(ATTENTION, "attention")
    return Work(
        (q, k, v),
        lambda q, k, v: ours(q, k, v, causal, width**-0.5, False),
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
        bytes=moved(q, k, v, q),
        flops=4.0 * batch * heads * length * length * width * (0.5 if causal else 1.0),
        terms=length,
    )
