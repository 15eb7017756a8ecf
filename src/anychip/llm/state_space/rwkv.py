"""Two pieces of RWKV-7 (Peng et al., arXiv:2503.14456): the key's removal and replacement parts in one pass,
with keys of unit length by head; and the product of a row with many zeros with a matrix, which skips what the
zeros would meet. Flows in: keys, strengths, rows, a matrix. Flows out: keys, or rows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"columns": 128, "inner": 32}, simd={"columns": 256, "inner": 16})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def key_strength_kernel(
    out, removal, replacement, key, mix, strength, strength_mix, heads, width, eps, BLOCK: tl.constexpr
):
    """One head of one token: k (1 + (a - 1) m), the unit key (negated), and the unit key times a."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    at = row * width + lane
    parameter = row % heads * width + lane
    k = tl.load(key + at, mask=mask, other=0.0).to(tl.float32)
    a = tl.load(strength + at, mask=mask, other=0.0).to(tl.float32)
    unit = k * tl.load(mix + parameter, mask=mask, other=0.0).to(tl.float32)
    unit = unit / tl.maximum(tl.sqrt(tl.sum(unit * unit, 0)), eps)
    m = tl.load(strength_mix + parameter, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, (k * (1.0 + (a - 1.0) * m)).to(out.dtype.element_ty), mask=mask)
    tl.store(removal + at, (-unit).to(removal.dtype.element_ty), mask=mask)
    tl.store(replacement + at, (unit * a).to(replacement.dtype.element_ty), mask=mask)


@triton.jit
def sparse_row_kernel(out, x, weight, inner, columns, BLOCK_K: tl.constexpr, BLOCK_N: tl.constexpr):
    """One block of columns of one row: blocks of the row that are all zeros are skipped."""
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_N,), tl.float32)
    for first in range(0, inner, BLOCK_K):
        k = (first + tl.arange(0, BLOCK_K)).to(tl.int64)
        value = tl.load(x + row * inner + k, mask=k < inner, other=0.0).to(tl.float32)
        if tl.max((value != 0.0).to(tl.int32), 0) > 0:
            w = tl.load(
                weight + k[:, None] * columns + column[None, :],
                mask=((k < inner) & (value != 0.0))[:, None] & (column < columns)[None, :],
                other=0.0,
            )
            total += tl.sum(w.to(tl.float32) * value[:, None], 0)
    tl.store(out + row * columns + column, total.to(out.dtype.element_ty), mask=column < columns)


# ---- functions ------------------------------------------------------------------------------------


def rwkv_key_strength(
    key: torch.Tensor,
    mix: torch.Tensor,
    strength: torch.Tensor,
    strength_mix: torch.Tensor,
    eps: float = 1e-12,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """key (1 + (strength - 1) strength_mix), - unit(key mix), and unit(key mix) strength.

    key and strength [..., heads, width], mix and strength_mix [heads, width]; unit divides each head by its
    length, at least `eps`. All three like key. Raises ArgumentError.
    """
    shape = key.shape[-2:]
    if key.ndim < 2 or strength.shape != key.shape or mix.shape != shape or strength_mix.shape != shape:
        raise ArgumentError(
            f"rwkv_key_strength: key {tuple(key.shape)}, strength {tuple(strength.shape)} and the mixes "
            f"{tuple(mix.shape)} and {tuple(strength_mix.shape)} must be [..., heads, width] and [heads, "
            f"width]"
        )
    key = key.contiguous()
    outs = torch.empty_like(key), torch.empty_like(key), torch.empty_like(key)
    launch(
        key_strength_kernel,
        key.shape[:-1].numel(),
        *outs,
        key,
        mix.contiguous(),
        strength.contiguous(),
        strength_mix.contiguous(),
        *shape,
        eps,
        BLOCK=power_of_two(shape[1]),
    )
    return outs


def sparse_row_matmul(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x weight of rows most of whose elements are zero (squared ReLU); weights that zeros meet stay unread.

    x [..., inner], weight [inner, out] of the same dtype. Gives [..., out]. Raises ArgumentError.
    """
    if not x.ndim or weight.ndim != 2 or x.shape[-1] != weight.shape[0] or x.dtype != weight.dtype:
        raise ArgumentError(
            f"sparse_row_matmul: x {tuple(x.shape)} {x.dtype} and weight {tuple(weight.shape)} "
            f"{weight.dtype} must be [..., inner] and [inner, out]"
        )
    inner, columns = weight.shape
    out = torch.empty((*x.shape[:-1], columns), dtype=x.dtype, device=x.device)
    tiles = TILES.on(x)
    block = min(tiles["columns"], power_of_two(columns))
    launch(
        sparse_row_kernel,
        (cdiv(columns, block), x.shape[:-1].numel()),
        out,
        x.contiguous(),
        weight.contiguous(),
        inner,
        columns,
        BLOCK_K=tiles["inner"],
        BLOCK_N=block,
    )
    return out


# ---- records --------------------------------------------------------------------------------------


def _strength_reference(
    key: torch.Tensor,
    mix: torch.Tensor,
    strength: torch.Tensor,
    strength_mix: torch.Tensor,
    eps: float = 1e-12,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    unit = F.normalize(key * mix, dim=-1, eps=eps)
    return key * (1 + (strength - 1) * strength_mix), -unit, unit * strength


def _strength_samples(dtype: torch.dtype) -> Iterable[Sample]:
    def drawn(tokens: int, heads: int, width: int) -> Sample:
        shapes = (tokens, heads, width), (heads, width), (tokens, heads, width), (heads, width)
        return Sample(tuple(tensor(shape, dtype, seed=k) for k, shape in enumerate(shapes)))

    yield drawn(5, 3, 7)
    # At full strength the key is left as it is, and a small mix adds little to its own rounding.
    rows = [[[8.0, 1.0, -2.0]]], [[1.0, 0.5, 1.0]], [[[1.0, 0.5, 0.75]]], [[0.125, 0.5, 0.25]]
    yield Sample(tuple(torch.tensor(row, dtype=dtype) for row in rows))
    yield drawn(9, 2, 64)


def _sparse_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, inner, columns in ((3, 7, 5), (2, 300, 400)):
        x = torch.relu(tensor((rows, inner), dtype, -3, 0.2))
        yield Sample((x, tensor((inner, columns), dtype, seed=1)))


register(
    Fused(
        "rwkv_key_strength",
        "state_space",
        rwkv_key_strength,
        _strength_reference,
        _strength_samples,
        (key_strength_kernel,),
    )
)
register(
    Fused(
        "sparse_row_matmul",
        "state_space",
        sparse_row_matmul,
        lambda x, w: x @ w,
        _sparse_samples,
        (sparse_row_kernel,),
    )
)
