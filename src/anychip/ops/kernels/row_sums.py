"""Sums of what groups of rows give to a parameter's gradient: a kernel that goes over the rows of a group
keeps its share in f32, and the shares are added here. Flows in: shares [groups, ...]. Flows out: their
sum."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..launching import cdiv, launch


@triton.jit
def group_sum_kernel(out, partial, groups, length, BLOCK: tl.constexpr):
    """out[k] = sum over groups of partial[g, k]: 64 of them at a time, so that rounding does not grow with
    every one."""
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = column < length
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, groups, 64):
        part = tl.zeros((BLOCK,), tl.float32)
        for group in range(first, tl.minimum(first + 64, groups)):
            part += tl.load(partial + group.to(tl.int64) * length + column, mask=mask, other=0.0)
        total += part
    tl.store(out + column, total.to(out.dtype.element_ty), mask=mask)


def sum_groups(out: torch.Tensor, partial: torch.Tensor, groups: int, block: int = 256) -> None:
    """Write the sum of the `groups` shares in `partial` [groups, *out.shape], contiguous f32, into `out`,
    which is contiguous, of any floating dtype."""
    length = out.numel()
    launch(group_sum_kernel, cdiv(length, block), out, partial, groups, length, BLOCK=block)
