"""Small Triton kernels that the tests of this folder share.

Without postponed annotations: Triton reads a parameter's type from the annotation's value.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


@triton.jit
def scalars(out_ptr, i, u, f, h: "fp16", b: "bf16", d: "fp64", flag, nothing):  # noqa: F821  # pyright: ignore
    tl.store(out_ptr + 0, i.to(tl.float64))
    tl.store(out_ptr + 1, (u >> 32).to(tl.float64))
    tl.store(out_ptr + 2, f.to(tl.float64))
    tl.store(out_ptr + 3, h.to(tl.float64))
    tl.store(out_ptr + 4, b.to(tl.float64))
    tl.store(out_ptr + 5, d)
    tl.store(out_ptr + 6, flag.to(tl.float64))
    if nothing is None:
        tl.store(out_ptr + 7, 1.0)


BIAS = tl.constexpr(3)


@triton.jit
def square(x):
    return x * x


@triton.jit
def applied_with_bias(x, FUNCTION: tl.constexpr):
    return FUNCTION(x) + BIAS


@triton.jit
def affine(scale, shift, next_scale, next_shift):
    """x -> scale x + shift, and then the next of this form: the combination of a linear recurrence."""
    return scale * next_scale, shift * next_scale + next_shift


def add(x: torch.Tensor, y: torch.Tensor, block: int = 1024, **options) -> torch.Tensor:
    """x + y by `add_kernel`."""
    out = torch.full_like(x, float("nan"))
    add_kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), BLOCK=block, **options)
    return out
