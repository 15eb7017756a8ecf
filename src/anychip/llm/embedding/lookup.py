"""Token embeddings times a number, as Gemma's first layer has them, with the gradient of the table. Flows in:
token numbers of any shape and a table [vocabulary, width]. Flows out: rows [..., width]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def embedding_kernel(out, table, tokens, vocabulary, width, scale, BLOCK: tl.constexpr):
    """out[row] = scale table[tokens[row]] of one block of one row; zeros for a token outside of the table."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    token = tl.load(tokens + row).to(tl.int64)
    inside = (token >= 0) & (token < vocabulary)
    value = tl.load(table + token * width + lane, mask=mask & inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + lane, (value * scale).to(out.dtype.element_ty), mask=mask)


@triton.jit
def embedding_backward_kernel(dtable, dout, tokens, vocabulary, width, scale, ignored, BLOCK: tl.constexpr):
    """dtable[tokens[row]] += scale dout[row], in float32, for one block of one row."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    token = tl.load(tokens + row).to(tl.int64)
    mask = (lane < width) & (token >= 0) & (token < vocabulary) & (token != ignored)
    value = tl.load(dout + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    tl.atomic_add(dtable + token * width + lane, value * scale, mask=mask, sem="relaxed")


@triton.jit
def convert_kernel(out, x, count, BLOCK: tl.constexpr):
    """out = x in the type of out."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    tl.store(out + at, tl.load(x + at, mask=mask, other=0.0).to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class Embedding(torch.autograd.Function):
    """Rows of one token are added up in float32, by atomic additions: their order is not settled."""

    @staticmethod
    def forward(
        ctx: Any, table: torch.Tensor, tokens: torch.Tensor, scale: float, ignored: int
    ) -> torch.Tensor:
        """scale table[tokens]; zeros for the token `ignored`."""
        table, tokens = table.contiguous(), tokens.contiguous()
        vocabulary, width = table.shape
        out = torch.empty((*tokens.shape, width), dtype=table.dtype, device=table.device)
        block = min(TILES.on(table)["block"], power_of_two(width))
        grid = (tokens.numel(), cdiv(width, block))
        launch(embedding_kernel, grid, out, table, tokens, vocabulary, width, scale, BLOCK=block)
        ctx.save_for_backward(tokens)
        ctx.settings = table.shape, table.dtype, scale, ignored, grid, block
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of the table."""
        (tokens,) = ctx.saved_tensors
        (vocabulary, width), dtype, scale, ignored, grid, block = ctx.settings
        gradient = grad_outputs[0].contiguous()
        total = torch.zeros((vocabulary, width), dtype=torch.float32, device=gradient.device)
        launch(
            embedding_backward_kernel,
            grid,
            total,
            gradient,
            tokens,
            vocabulary,
            width,
            scale,
            ignored,
            BLOCK=block,
        )
        if dtype == torch.float32:
            return total, None, None, None
        result = torch.empty((vocabulary, width), dtype=dtype, device=gradient.device)
        launch(convert_kernel, cdiv(total.numel(), 1024), result, total, total.numel(), BLOCK=1024)
        return result, None, None, None


def scaled_embedding(
    table: torch.Tensor, tokens: torch.Tensor, scale: float = 1.0, padding: int = -1
) -> torch.Tensor:
    """scale table[tokens].

    table [vocabulary, width] floating, tokens of any shape, int32 or int64; a token outside of the table
    (below 0, as shards of a vocabulary have them) gives zeros. Rows of `padding` get no gradient.
    Differentiable in the table. Raises ArgumentError.
    """
    if table.ndim != 2 or tokens.dtype not in (torch.int32, torch.int64):
        raise ArgumentError(
            f"scaled_embedding: expected a table [vocabulary, width] and tokens of int32 or int64, got "
            f"{tuple(table.shape)} and {tokens.dtype}"
        )
    return Embedding.apply(table, tokens, scale, padding)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    table: torch.Tensor, tokens: torch.Tensor, scale: float = 1.0, padding: int = -1
) -> torch.Tensor:
    inside = (tokens >= 0) & (tokens < len(table))
    rows = F.embedding(torch.where(inside, tokens, 0).long(), table)
    if padding >= 0:
        rows = torch.where((tokens == padding)[..., None], rows.detach(), rows)
    return rows * scale * inside[..., None]


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((9, 7), dtype), torch.tensor([[3, 8, 3], [0, -1, 9]]), 2.5))
    yield Sample((tensor((40, 300), dtype), tensor((30,), torch.int32, 0, 12, seed=1), 0.5, 3))


register(
    Fused(
        "scaled_embedding",
        "embedding",
        scaled_embedding,
        _reference,
        _samples,
        (embedding_kernel, embedding_backward_kernel, convert_kernel),
        differentiable=True,
    )
)
