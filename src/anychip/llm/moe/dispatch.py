"""Bringing tokens to their experts and back: the order of (token, slot) pairs by expert, rows gathered in
that order, results weighted and added up again. Flows in: expert numbers [tokens, k] and hidden states.
Flows out: rows by expert, and hidden states again; both ways with gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})
SCAN = 256
"""Pairs that are ordered at a time."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def count_kernel(counts, ids, pairs, BLOCK: tl.constexpr):
    """How many pairs go to one expert."""
    expert = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.int32)
    for first in range(0, pairs, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        total += (tl.load(ids + lane, mask=lane < pairs, other=-1) == expert).to(tl.int32)
    tl.store(counts + expert, tl.sum(total, 0))


@triton.jit
def place_kernel(
    order,
    places,
    starts,
    block_experts,
    counts,
    ids,
    pairs,
    experts,
    align,
    EXPERTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One expert's pairs in their order, behind those of the experts before it, each expert's share padded
    to a multiple of `align`; what nobody fills keeps its value."""
    expert = tl.program_id(0)
    lane_e = tl.arange(0, EXPERTS)
    count = tl.load(counts + lane_e, mask=lane_e < experts, other=0)
    padded = (count + align - 1) // align * align
    start = tl.sum(tl.where(lane_e < expert, padded, 0), 0)
    share = tl.sum(tl.where(lane_e == expert, padded, 0), 0)
    tl.store(starts + expert, start)
    if expert == experts - 1:
        tl.store(starts + experts, start + share)
    if block_experts is not None:
        for one in range(share // align):
            tl.store(block_experts + start // align + one, expert)
    taken = start
    for first in range(0, pairs, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        hit = tl.load(ids + lane, mask=lane < pairs, other=-1) == expert
        ones = hit.to(tl.int32)
        at = taken + tl.cumsum(ones, 0) - 1
        tl.store(order + at, lane, mask=hit)
        if places is not None:
            tl.store(places + lane, at, mask=hit)
        taken += tl.sum(ones, 0)


@triton.jit
def gather_rows_kernel(out, x, order, width, sharing, BLOCK: tl.constexpr):
    """out[row] = x[order[row] / sharing] for one block of one row."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    source = (tl.load(order + row) // sharing).to(tl.int64)
    tl.store(out + row * width + lane, tl.load(x + source * width + lane, mask=mask), mask=mask)


@triton.jit
def combine_rows_kernel(out, rows, places, weights, width, k, BLOCK: tl.constexpr):
    """out[token] = sum over slots of weights[token, slot] rows[places[token, slot]]; weights None are 1, and
    places None the order of tokens and slots."""
    token = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    total = tl.zeros((BLOCK,), tl.float32)
    for slot in range(k):
        source = token * k + slot
        if places is not None:
            source = tl.load(places + source).to(tl.int64)
        value = tl.load(rows + source * width + lane, mask=mask, other=0.0).to(tl.float32)
        if weights is not None:
            value *= tl.load(weights + token * k + slot).to(tl.float32)
        total += value
    tl.store(out + token * width + lane, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def combine_backward_kernel(drows, dweights, dout, rows, places, weights, width, k, BLOCK: tl.constexpr):
    """Of one (token, slot): drows[place] = weight dout[token]; dweight = dout[token] . rows[place]."""
    pair = tl.program_id(0).to(tl.int64)
    source = tl.load(places + pair).to(tl.int64)
    weight = tl.load(weights + pair).to(tl.float32)
    token = pair // k
    inner = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, width, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < width
        d = tl.load(dout + token * width + lane, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(rows + source * width + lane, mask=mask, other=0.0).to(tl.float32)
        inner += d * x
        tl.store(drows + source * width + lane, (d * weight).to(drows.dtype.element_ty), mask=mask)
    tl.store(dweights + pair, tl.sum(inner, 0).to(dweights.dtype.element_ty))


# ---- forward, backward ----------------------------------------------------------------------------


def _grid(width: int, rows: int, device: torch.device) -> tuple[tuple[int, int], int]:
    block = min(TILES.on(device)["block"], power_of_two(width))
    return (cdiv(width, block), rows), block


def _ordered(
    ids: torch.Tensor,
    experts: int,
    align: int,
    order: torch.Tensor,
    places: torch.Tensor | None,
    block_experts: torch.Tensor | None,
) -> torch.Tensor:
    ids = ids.contiguous()
    counts = torch.empty(experts, dtype=torch.int32, device=ids.device)
    starts = torch.empty(experts + 1, dtype=torch.int32, device=ids.device)
    launch(count_kernel, experts, counts, ids, ids.numel(), BLOCK=SCAN)
    launch(
        place_kernel,
        experts,
        order,
        places,
        starts,
        block_experts,
        counts,
        ids,
        ids.numel(),
        experts,
        align,
        EXPERTS=power_of_two(experts),
        BLOCK=SCAN,
    )
    return starts


class Permute(torch.autograd.Function):
    """`order[row]` is the pair of a row, `places[pair]` the row of a pair."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, order: torch.Tensor, places: torch.Tensor, k: int) -> torch.Tensor:
        """Each token's row once for each of its `k` experts: x [tokens, width], result [tokens k, width]."""
        x = x.contiguous()
        width = x.shape[1]
        out = torch.empty((order.numel(), width), dtype=x.dtype, device=x.device)
        grid, block = _grid(width, order.numel(), x.device)
        launch(gather_rows_kernel, grid, out, x, order, width, k, BLOCK=block)
        ctx.save_for_backward(places)
        ctx.k = k
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of x: the sum over each token's rows."""
        gradient = grad_outputs[0].contiguous()
        (places,) = ctx.saved_tensors
        tokens, width = places.numel() // ctx.k, gradient.shape[1]
        out = torch.empty((tokens, width), dtype=gradient.dtype, device=gradient.device)
        grid, block = _grid(width, tokens, gradient.device)
        launch(combine_rows_kernel, grid, out, gradient, places, None, width, ctx.k, BLOCK=block)
        return out, None, None, None


class Unpermute(torch.autograd.Function):
    """Weighted sums of each token's rows."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The sum of each token's rows by its weights: rows [tokens k, width], result [tokens, width]."""
        rows, places, weights = rows.contiguous(), places.contiguous(), weights.contiguous()
        (tokens, k), width = places.shape, rows.shape[1]
        out = torch.empty((tokens, width), dtype=rows.dtype, device=rows.device)
        grid, block = _grid(width, tokens, rows.device)
        launch(combine_rows_kernel, grid, out, rows, places, weights, width, k, BLOCK=block)
        ctx.save_for_backward(rows, places, weights)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of rows and weights."""
        rows, places, weights = ctx.saved_tensors
        drows, dweights = torch.empty_like(rows), torch.empty_like(weights)
        width, k = rows.shape[1], places.shape[1]
        _, block = _grid(width, 1, rows.device)
        launch(
            combine_backward_kernel,
            places.numel(),
            drows,
            dweights,
            grad_outputs[0].contiguous(),
            rows,
            places,
            weights,
            width,
            k,
            BLOCK=block,
        )
        return drows, None, dweights


def moe_align_blocks(
    ids: torch.Tensor, experts: int, block: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The pairs (token, slot) by expert, each expert's share padded to a multiple of `block`, so that a
    block of rows belongs to one expert.

    ids [tokens, k] int32 or int64, all below `experts`. Gives the order [capacity], where padding holds the
    number of pairs; the expert of each block [capacity / block], -1 beyond the last; and the starts
    [experts + 1] of the experts' shares, all int32. Raises ArgumentError.
    """
    if ids.ndim != 2 or experts < 1 or block < 1:
        raise ArgumentError(f"moe_align_blocks: ids {tuple(ids.shape)}, {experts} experts, block {block}")
    pairs = ids.numel()
    blocks = cdiv(pairs + min(pairs, experts) * (block - 1), block)
    order = torch.full((blocks * block,), pairs, dtype=torch.int32, device=ids.device)
    block_experts = torch.full((blocks,), -1, dtype=torch.int32, device=ids.device)
    starts = _ordered(ids, experts, block, order, None, block_experts)
    return order, block_experts, starts


def moe_permute(
    x: torch.Tensor, ids: torch.Tensor, experts: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each token's row once for each of its experts, the rows of one expert after those of the other.

    x [tokens, width], ids [tokens, k] int32 or int64, all below `experts`; gives rows [tokens k, width],
    places [tokens, k] (which row a pair became) and starts [experts + 1], both int32. Differentiable in x.
    Raises ArgumentError.
    """
    if x.ndim != 2 or ids.ndim != 2 or x.shape[0] != ids.shape[0] or experts < 1:
        raise ArgumentError(
            f"moe_permute: x {tuple(x.shape)} and ids {tuple(ids.shape)} must be [tokens, width] and "
            f"[tokens, k]"
        )
    order = torch.empty(ids.numel(), dtype=torch.int32, device=x.device)
    places = torch.empty(ids.shape, dtype=torch.int32, device=x.device)
    starts = _ordered(ids, experts, 1, order, places, None)
    return Permute.apply(x, order, places, ids.shape[1]), places, starts


def moe_unpermute(rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """out[token] = sum over slots of weights[token, slot] rows[places[token, slot]].

    rows [tokens k, width], places [tokens, k] each row once, weights [tokens, k]; gives [tokens, width].
    Differentiable in rows and weights. Raises ArgumentError.
    """
    if rows.ndim != 2 or places.shape != weights.shape or rows.shape[0] != places.numel():
        raise ArgumentError(
            f"moe_unpermute: rows {tuple(rows.shape)}, places {tuple(places.shape)} and weights "
            f"{tuple(weights.shape)} must be [tokens k, width] and twice [tokens, k]"
        )
    return Unpermute.apply(rows, places, weights)


def moe_sum(rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The sum over a token's experts of [tokens, k, width], times weights [tokens, k] where there are any,
    added in float32. Gives [tokens, width]. Raises ArgumentError."""
    if rows.ndim != 3 or (weights is not None and weights.shape != rows.shape[:2]):
        raise ArgumentError(f"moe_sum: expected rows [tokens, k, width], got {tuple(rows.shape)}")
    tokens, k, width = rows.shape
    out = torch.empty((tokens, width), dtype=rows.dtype, device=rows.device)
    grid, block = _grid(width, tokens, rows.device)
    given = None if weights is None else weights.contiguous()
    launch(combine_rows_kernel, grid, out, rows.contiguous(), None, given, width, k, BLOCK=block)
    return out


# ---- records --------------------------------------------------------------------------------------


def routes(tokens: int, k: int, experts: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
    """Expert numbers for samples: k different ones a token."""
    generator = torch.Generator().manual_seed(tokens)
    return torch.rand((tokens, experts), generator=generator).argsort(-1)[:, :k].to(dtype)


def _align_reference(
    ids: torch.Tensor, experts: int, block: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    flat = ids.flatten().tolist()
    order: list[int] = []
    owners: list[int] = []
    starts = [0]
    for expert in range(experts):
        mine = [pair for pair, chosen in enumerate(flat) if chosen == expert]
        mine += [len(flat)] * (-len(mine) % block)
        order += mine
        owners += [expert] * (len(mine) // block)
        starts.append(len(order))
    blocks = -(-(len(flat) + min(len(flat), experts) * (block - 1)) // block)
    order += [len(flat)] * (blocks * block - len(order))
    owners += [-1] * (blocks - len(owners))
    return torch.tensor(order), torch.tensor(owners), torch.tensor(starts)


def _permute_reference(
    x: torch.Tensor, ids: torch.Tensor, experts: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    order = ids.flatten().argsort(stable=True)
    counts = torch.bincount(ids.flatten().long(), minlength=experts)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return x[order // ids.shape[1]], order.argsort().view(ids.shape), starts


def _unpermute_reference(rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (rows[places.long()] * weights[..., None]).sum(1)


def _sum_reference(rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    return (rows if weights is None else rows * weights[..., None]).sum(1)


def _sum_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 2, 7), dtype),))
    yield Sample((tensor((3, 20, 150), dtype).transpose(0, 1), tensor((20, 3), dtype, 0, 1)))


def _align_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((routes(5, 2, 4), 4, 4))
    yield Sample((routes(300, 2, 9, torch.int64), 9, 16))
    yield Sample((routes(2, 3, 8)[:, ::2], 8, 8))


def _permute_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), routes(5, 2, 4), 4))
    yield Sample((tensor((16, 150), dtype).t(), routes(150, 3, 8, torch.int64), 8))


def _unpermute_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for tokens, k, width in ((5, 2, 7), (20, 3, 150)):
        places = torch.randperm(tokens * k, generator=torch.Generator().manual_seed(k)).view(tokens, k).int()
        yield Sample((tensor((tokens * k, width), dtype), places, tensor((tokens, k), dtype, 0, 1)))


register(
    Fused(
        "moe_align_blocks",
        "moe",
        moe_align_blocks,
        _align_reference,
        _align_samples,
        (count_kernel, place_kernel),
        dtypes=(torch.float32,),
    )
)
register(Fused("moe_sum", "moe", moe_sum, _sum_reference, _sum_samples, (combine_rows_kernel,)))
register(
    Fused(
        "moe_permute",
        "moe",
        moe_permute,
        _permute_reference,
        _permute_samples,
        (count_kernel, place_kernel, gather_rows_kernel, combine_rows_kernel),
        differentiable=True,
    )
)
register(
    Fused(
        "moe_unpermute",
        "moe",
        moe_unpermute,
        _unpermute_reference,
        _unpermute_samples,
        (combine_rows_kernel, combine_backward_kernel),
        differentiable=True,
    )
)
