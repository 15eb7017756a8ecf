"""Attention over packed or dense sequences with everything language models ask of it: causality, sliding
windows, shared heads of keys, linear biases (ALiBi, Press et al., 2022), capped scores, and gradients.
Scores never reach memory (Dao et al., "FlashAttention-2", arXiv:2307.08691). Flows in: queries, keys, values.
Flows out: the weighted values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launch import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(
    simt={"rows": 64, "bytes": 1 << 14, "backward_rows": 32, "backward_bytes": 1 << 13},
    simd={"rows": 64, "bytes": 1 << 20, "backward_rows": 64, "backward_bytes": 1 << 20},
)
"""Rows of a tile of queries or keys, at most, and its bytes: a GPU keeps several in its shared memory."""
UNLIMITED = 1 << 29
"""A window's side that no sequence reaches."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def tanh(x):
    """2 / (1 + exp(-2 x)) - 1."""
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def seen_scores(
    q, k, row, column, queries, keys, left, right, scale, soft_cap, slope,
    CAPPED: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """scale q k^T, capped and biased, -inf where a query does not see a key; and the slope of the cap.
    Rows and columns count from their sequences' starts, whose ends are aligned."""
    score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    derivative = tl.full(score.shape, 1.0, tl.float32)
    if CAPPED:
        bent = tanh(score / soft_cap)
        score = soft_cap * bent
        derivative = 1.0 - bent * bent
    distance = column[None, :] - (row[:, None] + (keys - queries))
    if BIASED:
        score -= slope * tl.abs(distance).to(tl.float32)
    inside = (row < queries)[:, None] & (column < keys)[None, :]
    inside = inside & (distance <= right) & (distance >= -left)
    return tl.where(inside, score, float("-inf")), derivative


@triton.jit
def span(starts, sequence, length):
    """First row and number of rows of a sequence: from `starts`, or of `length` each."""
    if starts is None:
        return sequence * length, length
    else:
        first = tl.load(starts + sequence).to(tl.int64)
        return first, (tl.load(starts + sequence + 1).to(tl.int64) - first).to(tl.int32)


@triton.jit
def flash_kernel(
    out, logsumexp, query, key, value, query_starts, key_starts, slopes, queries, keys, heads, width,
    value_width, left, right, scale, soft_cap,
    SHARING: tl.constexpr, CAPPED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one head of one sequence. Tensors are contiguous [rows, heads, width]."""
    head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    q_first, queries = span(query_starts, sequence, queries)
    k_first, keys = span(key_starts, sequence, keys)
    row_0 = tl.program_id(0) * BLOCK_M
    if row_0 < queries:
        row = row_0 + tl.arange(0, BLOCK_M)
        lane_d = tl.arange(0, BLOCK_D)
        lane_v = tl.arange(0, BLOCK_V)
        in_m, in_d, in_v = row < queries, lane_d < width, lane_v < value_width
        row_at = (q_first + row) * heads + head
        q = tl.load(
            query + row_at[:, None] * width + lane_d[None, :], mask=in_m[:, None] & in_d[None, :], other=0.0
        )
        slope = 0.0
        if BIASED:
            slope = tl.load(slopes + head).to(tl.float32)
        shared = heads // SHARING
        largest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK_M,), tl.float32)
        result = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
        first = tl.maximum(row_0 + (keys - queries) - left, 0) // BLOCK_N * BLOCK_N
        last = tl.minimum(keys, row_0 + BLOCK_M + (keys - queries) + right)
        for start in range(first, last, BLOCK_N):
            column = start + tl.arange(0, BLOCK_N)
            column_at = ((k_first + column) * shared + head // SHARING)[:, None]
            in_n = (column < keys)[:, None]
            k = tl.load(key + column_at * width + lane_d[None, :], mask=in_n & in_d[None, :], other=0.0)
            score, _ = seen_scores(
                q, k, row, column, queries, keys, left, right, scale, soft_cap, slope, CAPPED, BIASED
            )
            update = tl.maximum(largest, tl.max(score, 1))
            safe = tl.where(update == float("-inf"), 0.0, update)
            probability = tl.exp(score - safe[:, None])
            decay = tl.exp(largest - safe)
            total = total * decay + tl.sum(probability, 1)
            v = tl.load(
                value + column_at * value_width + lane_v[None, :], mask=in_n & in_v[None, :], other=0.0
            )
            result = tl.dot(probability.to(v.dtype), v, result * decay[:, None], input_precision="ieee")
            largest = update
        nothing = total == 0.0
        safe_total = tl.where(nothing, 1.0, total)
        tl.store(
            out + row_at[:, None] * value_width + lane_v[None, :],
            (result / safe_total[:, None]).to(out.dtype.element_ty), mask=in_m[:, None] & in_v[None, :],
        )  # fmt: skip
        sums = tl.where(nothing, float("-inf"), largest + tl.log(safe_total))
        tl.store(logsumexp + row_at, sums, mask=in_m)


@triton.jit
def flash_delta_kernel(delta, out, gradient, width, BLOCK: tl.constexpr):
    """The sum of out times its gradient, of one row of one head."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    value = tl.load(out + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    slope = tl.load(gradient + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(delta + row, tl.sum(value * slope, 0))


@triton.jit
def score_gradients(
    q, k, v, do, lse, delta, row, column, queries, keys, left, right, scale, soft_cap, slope,
    CAPPED: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """Probabilities of one tile, and the gradient of q k^T."""
    score, derivative = seen_scores(
        q, k, row, column, queries, keys, left, right, scale, soft_cap, slope, CAPPED, BIASED
    )
    probability = tl.exp(score - tl.where(lse == float("-inf"), 0.0, lse)[:, None])
    dp = tl.dot(do, tl.trans(v), input_precision="ieee")
    return probability, probability * (dp - delta[:, None]) * derivative * scale


@triton.jit
def flash_query_gradient_kernel(
    dq, gradient, delta, logsumexp, query, key, value, query_starts, key_starts, slopes, queries, keys, heads,
    width, value_width, left, right, scale, soft_cap,
    SHARING: tl.constexpr, CAPPED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The gradient of one tile of queries of one head of one sequence."""
    head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    q_first, queries = span(query_starts, sequence, queries)
    k_first, keys = span(key_starts, sequence, keys)
    row_0 = tl.program_id(0) * BLOCK_M
    if row_0 < queries:
        row = row_0 + tl.arange(0, BLOCK_M)
        lane_d = tl.arange(0, BLOCK_D)
        lane_v = tl.arange(0, BLOCK_V)
        in_m, in_d, in_v = row < queries, lane_d < width, lane_v < value_width
        row_at = (q_first + row) * heads + head
        at_d = row_at[:, None] * width + lane_d[None, :]
        mask_d = in_m[:, None] & in_d[None, :]
        q = tl.load(query + at_d, mask=mask_d, other=0.0)
        do = tl.load(
            gradient + row_at[:, None] * value_width + lane_v[None, :],
            mask=in_m[:, None] & in_v[None, :], other=0.0,
        )  # fmt: skip
        lse = tl.load(logsumexp + row_at, mask=in_m, other=0.0)
        di = tl.load(delta + row_at, mask=in_m, other=0.0)
        slope = 0.0
        if BIASED:
            slope = tl.load(slopes + head).to(tl.float32)
        shared = heads // SHARING
        result = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
        first = tl.maximum(row_0 + (keys - queries) - left, 0) // BLOCK_N * BLOCK_N
        last = tl.minimum(keys, row_0 + BLOCK_M + (keys - queries) + right)
        for start in range(first, last, BLOCK_N):
            column = start + tl.arange(0, BLOCK_N)
            column_at = ((k_first + column) * shared + head // SHARING)[:, None]
            in_n = (column < keys)[:, None]
            k = tl.load(key + column_at * width + lane_d[None, :], mask=in_n & in_d[None, :], other=0.0)
            v = tl.load(
                value + column_at * value_width + lane_v[None, :], mask=in_n & in_v[None, :], other=0.0
            )
            _, ds = score_gradients(
                q, k, v, do, lse, di, row, column, queries, keys, left, right, scale, soft_cap, slope,
                CAPPED, BIASED,
            )  # fmt: skip
            result = tl.dot(ds.to(k.dtype), k, result, input_precision="ieee")
        tl.store(dq + at_d, result.to(dq.dtype.element_ty), mask=mask_d)


@triton.jit
def flash_key_gradient_kernel(
    dk, dv, gradient, delta, logsumexp, query, key, value, query_starts, key_starts, slopes, queries, keys,
    heads, width, value_width, left, right, scale, soft_cap,
    SHARING: tl.constexpr, CAPPED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The gradients of one tile of keys and values of one of their heads, from all heads that share it."""
    shared_head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    q_first, queries = span(query_starts, sequence, queries)
    k_first, keys = span(key_starts, sequence, keys)
    column_0 = tl.program_id(0) * BLOCK_N
    if column_0 < keys:
        column = column_0 + tl.arange(0, BLOCK_N)
        lane_d = tl.arange(0, BLOCK_D)
        lane_v = tl.arange(0, BLOCK_V)
        in_d, in_v = (lane_d < width)[None, :], (lane_v < value_width)[None, :]
        in_n = (column < keys)[:, None]
        column_at = ((k_first + column) * (heads // SHARING) + shared_head)[:, None]
        k = tl.load(key + column_at * width + lane_d[None, :], mask=in_n & in_d, other=0.0)
        v = tl.load(value + column_at * value_width + lane_v[None, :], mask=in_n & in_v, other=0.0)
        result_k = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
        result_v = tl.zeros((BLOCK_N, BLOCK_V), tl.float32)
        first = tl.maximum(column_0 - (keys - queries) - right, 0) // BLOCK_M * BLOCK_M
        last = tl.minimum(queries, column_0 + BLOCK_N - (keys - queries) + left)
        for one in range(SHARING):
            head = shared_head * SHARING + one
            slope = 0.0
            if BIASED:
                slope = tl.load(slopes + head).to(tl.float32)
            for start in range(first, last, BLOCK_M):
                row = start + tl.arange(0, BLOCK_M)
                row_at = (q_first + row) * heads + head
                in_m = row < queries
                q = tl.load(
                    query + row_at[:, None] * width + lane_d[None, :], mask=in_m[:, None] & in_d, other=0.0
                )
                do = tl.load(
                    gradient + row_at[:, None] * value_width + lane_v[None, :],
                    mask=in_m[:, None] & in_v, other=0.0,
                )  # fmt: skip
                lse = tl.load(logsumexp + row_at, mask=in_m, other=0.0)
                di = tl.load(delta + row_at, mask=in_m, other=0.0)
                p, ds = score_gradients(
                    q, k, v, do, lse, di, row, column, queries, keys, left, right, scale, soft_cap, slope,
                    CAPPED, BIASED,
                )  # fmt: skip
                result_v = tl.dot(tl.trans(p.to(do.dtype)), do, result_v, input_precision="ieee")
                result_k = tl.dot(tl.trans(ds.to(q.dtype)), q, result_k, input_precision="ieee")
        at_k = dk + column_at * width + lane_d[None, :]
        tl.store(at_k, result_k.to(dk.dtype.element_ty), mask=in_n & in_d)
        at_v = dv + column_at * value_width + lane_v[None, :]
        tl.store(at_v, result_v.to(dv.dtype.element_ty), mask=in_n & in_v)


# ---- forward, backward ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """What attention of tensors [rows, heads, width] depends on besides them. Without starts there are
    `batch` sequences of the longest length."""

    batch: int
    longest_query: int
    longest_key: int
    left: int
    right: int
    scale: float
    soft_cap: float

    def sizes(self, query: torch.Tensor, value: torch.Tensor) -> tuple[Any, ...]:
        return (
            self.longest_query, self.longest_key, query.shape[1], query.shape[2], value.shape[2],
            min(self.left, UNLIMITED), min(self.right, UNLIMITED), self.scale, self.soft_cap,
        )  # fmt: skip


def _blocks(form: Form, query: torch.Tensor, value: torch.Tensor, direction: str = "") -> dict[str, Any]:
    tiles = TILES.on(query.device)
    width, value_width = (max(16, power_of_two(x.shape[2])) for x in (query, value))
    fitting = tiles[direction + "bytes"] // (max(width, value_width) * query.element_size())
    rows = min(tiles[direction + "rows"], fitting)
    return {
        "BLOCK_M": max(16, min(rows, power_of_two(form.longest_query))),
        "BLOCK_N": max(16, min(rows, power_of_two(form.longest_key))),
        "BLOCK_D": width,
        "BLOCK_V": value_width,
    }


class Flash(torch.autograd.Function):
    """Tensors are [rows, heads, width], the rows of one sequence after those of the other."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
        query_starts: torch.Tensor | None, key_starts: torch.Tensor | None, slopes: torch.Tensor | None,
        form: Form,
    ) -> torch.Tensor:  # fmt: skip
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        rows, heads, _ = query.shape
        out = torch.empty((rows, heads, value.shape[2]), dtype=query.dtype, device=query.device)
        sums = torch.empty((rows, heads), dtype=torch.float32, device=query.device)
        blocks = _blocks(form, query, value)
        constants: dict[str, Any] = {
            "SHARING": heads // max(1, key.shape[1]),
            "CAPPED": form.soft_cap > 0.0,
            "BIASED": slopes is not None,
        }
        grid = (cdiv(form.longest_query, blocks["BLOCK_M"]), heads, form.batch)
        launch(
            flash_kernel, grid, out, sums, query, key, value, query_starts, key_starts, slopes,
            *form.sizes(query, value), **constants, **blocks,
        )  # fmt: skip
        ctx.save_for_backward(query, key, value, out, sums, query_starts, key_starts, slopes)
        ctx.form, ctx.constants = form, constants
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        gradient = grad_outputs[0].contiguous()
        query, key, value, out, sums, *shared = ctx.saved_tensors
        form = ctx.form
        blocks = _blocks(form, query, value, "backward_")
        dq, dk, dv = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        delta = torch.empty_like(sums)
        launch(
            flash_delta_kernel, sums.numel(), delta, out, gradient, out.shape[2],
            BLOCK=power_of_two(out.shape[2]),
        )  # fmt: skip
        given = (gradient, delta, sums, query, key, value, *shared, *form.sizes(query, value))
        grid = (cdiv(form.longest_query, blocks["BLOCK_M"]), query.shape[1], form.batch)
        launch(flash_query_gradient_kernel, grid, dq, *given, **ctx.constants, **blocks)
        grid = (cdiv(form.longest_key, blocks["BLOCK_N"]), key.shape[1], form.batch)
        launch(flash_key_gradient_kernel, grid, dk, dv, *given, **ctx.constants, **blocks)
        return dq, dk, dv, None, None, None, None


def _checked(
    name: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rank: int,
    slopes: torch.Tensor | None,
) -> None:  # fmt: skip
    if not query.ndim == key.ndim == value.ndim == rank:
        raise ArgumentError(
            f"{name}: expected tensors of {rank} dimensions, got {tuple(query.shape)}, {tuple(key.shape)}, "
            f"{tuple(value.shape)}"
        )
    heads, shared = query.shape[-2], key.shape[-2]
    if (
        query.shape[-1] != key.shape[-1]
        or key.shape[:-1] != value.shape[:-1]
        or shared == 0
        or heads % shared
    ):
        raise ArgumentError(
            f"{name}: queries {tuple(query.shape)} do not fit keys {tuple(key.shape)} and values "
            f"{tuple(value.shape)}; queries and keys need one width, and queries a multiple of their heads"
        )
    if slopes is not None and slopes.shape != (heads,):
        raise ArgumentError(f"{name}: expected {heads} slopes, one a head, got shape {tuple(slopes.shape)}")


def _window(causal: bool, window: tuple[int, int]) -> tuple[int, int]:
    left, right = (UNLIMITED if side < 0 else side for side in window)
    return left, 0 if causal else right


def flash_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool = False,
    window: tuple[int, int] = (-1, -1), slopes: torch.Tensor | None = None, soft_cap: float = 0.0,
    scale: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """softmax(f(scale q k^T)) v of dense sequences, laid out tokens first.

    query [batch, m, heads, width], key [batch, n, key heads, width], value [batch, n, key heads, value
    width], heads a multiple of key heads; gives [batch, m, heads, value width]. The last query stands at the
    last key: query i is at p = i + n - m. Keys p - left to p + right are seen for `window` (left, right), -1
    for no limit; `causal` makes right 0. `soft_cap` c > 0 turns a score s into c tanh(s / c); `slopes`
    [heads] then subtract slope |p - j|. A query that sees no key gives zeros. `scale` None is
    1 / sqrt(width). Differentiable in query, key and value. Raises ArgumentError.
    """
    _checked("flash_attention", query, key, value, 4, slopes)
    if query.shape[0] != key.shape[0]:
        raise ArgumentError(f"flash_attention: {query.shape[0]} sequences of queries, {key.shape[0]} of keys")
    form = Form(
        query.shape[0], query.shape[1], key.shape[1], *_window(causal, window),
        1.0 / math.sqrt(query.shape[-1]) if scale is None else scale, soft_cap,
    )  # fmt: skip
    packed = (x.flatten(0, 1) for x in (query, key, value))
    out = Flash.apply(*packed, None, None, slopes, form)
    return out.view(query.shape[0], query.shape[1], *out.shape[1:])


def flash_attention_packed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, query_starts: torch.Tensor,
    key_starts: torch.Tensor, longest_query: int, longest_key: int, causal: bool = False,
    window: tuple[int, int] = (-1, -1), slopes: torch.Tensor | None = None, soft_cap: float = 0.0,
    scale: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """`flash_attention` of sequences of various lengths, one after the other without padding.

    query [rows, heads, width], key and value [rows of keys, key heads, width]; sequence i has rows
    starts[i] to starts[i + 1] - 1, starts [sequences + 1] integers from 0; `longest_query` and
    `longest_key` are at least the largest lengths. Differentiable in query, key and value.
    Raises ArgumentError.
    """
    _checked("flash_attention_packed", query, key, value, 3, slopes)
    if query_starts.ndim != 1 or query_starts.shape != key_starts.shape or not query_starts.numel():
        raise ArgumentError(
            f"flash_attention_packed: expected starts of both kinds [sequences + 1], got "
            f"{tuple(query_starts.shape)} and {tuple(key_starts.shape)}"
        )
    form = Form(
        query_starts.numel() - 1, longest_query, longest_key, *_window(causal, window),
        1.0 / math.sqrt(query.shape[-1]) if scale is None else scale, soft_cap,
    )  # fmt: skip
    return Flash.apply(query, key, value, query_starts.contiguous(), key_starts.contiguous(), slopes, form)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool = False,
    window: tuple[int, int] = (-1, -1), slopes: torch.Tensor | None = None, soft_cap: float = 0.0,
    scale: float | None = None,
) -> torch.Tensor:  # fmt: skip
    m, n, sharing = query.shape[1], key.shape[1], query.shape[2] // key.shape[2]
    key, value = (x.repeat_interleave(sharing, 2) for x in (key, value))
    score = torch.einsum("bmhd,bnhd->bhmn", query, key)
    score = score / math.sqrt(query.shape[-1]) if scale is None else score * scale
    if soft_cap:
        score = soft_cap * torch.tanh(score / soft_cap)
    distance = torch.arange(n) - (torch.arange(m)[:, None] + n - m)
    if slopes is not None:
        score = score - slopes.detach().double()[:, None, None] * distance.abs()
    seen = torch.ones(m, n, dtype=torch.bool)
    if window[0] >= 0:
        seen &= distance >= -window[0]
    if window[1] >= 0:
        seen &= distance <= window[1]
    if causal:
        seen &= distance <= 0
    score = score.masked_fill(~seen, -1e30)
    weight = score.softmax(-1) * seen.any(-1)[:, None]
    return torch.einsum("bhmn,bnhd->bmhd", weight, value)


def _packed_reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, query_starts: torch.Tensor,
    key_starts: torch.Tensor, longest_query: int, longest_key: int, *arguments: Any, **keywords: Any,
) -> torch.Tensor:  # fmt: skip
    parts = []
    q, k = query_starts.tolist(), key_starts.tolist()
    for i in range(len(q) - 1):
        rows, columns = slice(q[i], q[i + 1]), slice(k[i], k[i + 1])
        given = query[None, rows], key[None, columns], value[None, columns]
        parts.append(_reference(*given, *arguments, **keywords)[0])
    return torch.cat(parts)


def _operands(
    dtype: torch.dtype, lead: int, m: int, n: int, heads: int, shared: int, width: int, value_width: int
) -> tuple[torch.Tensor, ...]:
    shapes = ((lead, m, heads, width), (lead, n, shared, width), (lead, n, shared, value_width))
    return tuple(tensor(s, dtype, -1, 1, seed=i) for i, s in enumerate(shapes))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample(_operands(dtype, 2, 7, 9, 3, 3, 8, 5), {"scale": 0.4})
    yield Sample((*_operands(dtype, 1, 70, 70, 4, 2, 16, 16), True))
    slopes = torch.tensor([0.5, 0.25, 0.125], dtype=torch.float64)
    heads_first = (
        x.transpose(1, 2).contiguous().transpose(1, 2) for x in _operands(dtype, 2, 9, 5, 3, 1, 8, 8)
    )
    yield Sample((*heads_first, True), {"soft_cap": 2.0, "slopes": slopes})
    yield Sample((*_operands(dtype, 1, 90, 150, 2, 1, 32, 32), False, (20, 5)))


def _packed_samples(dtype: torch.dtype) -> Iterable[Sample]:
    q_starts, k_starts = torch.tensor([0, 3, 3, 20]).int(), torch.tensor([0, 6, 8, 90]).int()
    for keywords in ({"causal": True}, {"window": (4, 1), "soft_cap": 1.5}):
        q, k, v = _operands(dtype, 1, 20, 90, 4, 2, 24, 16)
        yield Sample((q[0], k[0], v[0], q_starts, k_starts, 17, 82), keywords)


_KERNELS = (flash_kernel, flash_delta_kernel, flash_query_gradient_kernel, flash_key_gradient_kernel)
register(
    Fused(
        "flash_attention", "attention", flash_attention, _reference, _samples, _KERNELS, differentiable=True
    )
)
register(
    Fused(
        "flash_attention_packed", "attention", flash_attention_packed, _packed_reference, _packed_samples,
        _KERNELS, differentiable=True,
    )
)  # fmt: skip
