"""Attention over a paged cache whose pages hold keys transposed: neighbouring tokens lie side by side, so
that scores of a page are computed without sums across a vector's lanes. Flows in: new queries, keys and
values, pages. Flows out: pages written, with keys turned by their positions, and weighted values.

A cache is keys [pages, heads, width, page size] and values [pages, heads, page size, width]; page 0 belongs
to no sequence and takes what padding writes. One of int8 has scales of keys and of values besides, [pages,
heads, page size] float32: a head of a token is its numbers times its scale.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ..quantization.rounding import nearest_of_127

Scales = tuple[torch.Tensor, torch.Tensor]
"""Of keys and values in int8."""
QUERIES = 32
"""Queries that one program of a prompt's chunk has."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def turned(at, lane, half, cosine, sine):
    """Elements `lane` of a head, in pairs (i, i + half) turned by an angle; the rest beyond the pairs as it
    is."""
    paired = lane < 2 * half
    other = tl.where(lane < half, lane + half, lane - half)
    x = tl.load(at + lane).to(tl.float32)
    y = tl.load(at + tl.where(paired, other, lane)).to(tl.float32)
    c = tl.load(cosine + lane, mask=paired, other=1.0).to(tl.float32)
    s = tl.load(sine + lane, mask=paired, other=0.0).to(tl.float32)
    return x * c + tl.where(lane < half, -y, y) * s


@triton.jit
def rounded_to_bytes(value, scale_at):
    """round(127 value / largest), whose scale is stored."""
    largest = tl.max(tl.abs(value), 0)
    tl.store(scale_at, largest / 127.0)
    return nearest_of_127(value, tl.where(largest == 0.0, 1.0, largest))


@triton.jit
def turn_and_write_kernel(
    query_out,
    key_pages,
    value_pages,
    key_scales,
    value_scales,
    query,
    key,
    value,
    cosine,
    sine,
    slots,
    heads,
    shared,
    half,
    query_token,
    query_head,
    key_token,
    key_head,
    value_token,
    value_head,
    PAGE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One head of one token: queries are turned, keys turned and written to their slot, values written.
    query [tokens, heads, WIDTH], key and value [tokens, shared, WIDTH] by strides, cosine and sine [tokens,
    2 half]."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    lane = tl.arange(0, WIDTH)
    cosine += token * 2 * half
    sine += token * 2 * half
    if head < heads:
        result = turned(query + token * query_token + head * query_head, lane, half, cosine, sine)
        tl.store(query_out + (token * heads + head) * WIDTH + lane, result.to(query_out.dtype.element_ty))
    else:
        own = head - heads
        slot = tl.load(slots + token).to(tl.int64)
        page = slot // PAGE
        place = slot % PAGE
        result = turned(key + token * key_token + own * key_head, lane, half, cosine, sine)
        at = ((page * shared + own) * WIDTH + lane) * PAGE + place
        given = tl.load(value + token * value_token + own * value_head + lane)
        if key_scales is not None:
            scale_at = (page * shared + own) * PAGE + place
            result = rounded_to_bytes(result, key_scales + scale_at)
            given = rounded_to_bytes(given.to(tl.float32), value_scales + scale_at)
        tl.store(key_pages + at, result.to(key_pages.dtype.element_ty))
        at = ((page * shared + own) * PAGE + place) * WIDTH + lane
        tl.store(value_pages + at, given.to(value_pages.dtype.element_ty))


@triton.jit
def one_query_kernel(
    out,
    query,
    key_pages,
    value_pages,
    key_scales,
    value_scales,
    tables,
    lengths,
    sinks,
    heads,
    shared,
    most_pages,
    window,
    scale,
    soft_cap,
    CAPPED: tl.constexpr,
    PAGE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One head of the newest token of one sequence, over its pages from the first that is seen."""
    sequence = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    own = head // (heads // shared)
    lane = tl.arange(0, WIDTH)
    slot = tl.arange(0, PAGE)
    length = tl.load(lengths + sequence).to(tl.int32)
    oldest = tl.maximum(length - window, 0)
    q = tl.load(query + (sequence * heads + head) * WIDTH + lane).to(tl.float32) * scale
    largest = -1.0e30
    total = 0.0
    if sinks is not None:
        largest = tl.load(sinks + head).to(tl.float32)
        total = 1.0
    result = tl.zeros((WIDTH,), tl.float32)
    for k in range(oldest // PAGE, tl.cdiv(length, PAGE)):
        page = tl.load(tables + sequence * most_pages + k).to(tl.int64)
        k_at = key_pages + (page * shared + own) * WIDTH * PAGE
        keys = tl.load(k_at + lane[:, None] * PAGE + slot[None, :]).to(tl.float32)
        score = tl.sum(q[:, None] * keys, 0)
        if key_scales is not None:
            score *= tl.load(key_scales + (page * shared + own) * PAGE + slot)
        if CAPPED:
            score = soft_cap * (1.0 - 2.0 / (1.0 + tl.exp(2.0 * score / soft_cap)))
        token = k * PAGE + slot
        score = tl.where((token < length) & (token >= oldest), score, float("-inf"))
        new = tl.maximum(largest, tl.max(score, 0))
        decay = tl.exp(largest - new)
        share = tl.exp(score - new)
        total = total * decay + tl.sum(share, 0)
        v_at = value_pages + (page * shared + own) * WIDTH * PAGE
        values = tl.load(v_at + slot[:, None] * WIDTH + lane[None, :]).to(tl.float32)
        values = tl.where(token[:, None] < length, values, 0.0)
        if value_scales is not None:
            share *= tl.load(value_scales + (page * shared + own) * PAGE + slot)
        result = result * decay + tl.sum(share[:, None] * values, 0)
        largest = new
    result = result / tl.where(total == 0.0, 1.0, total)
    tl.store(out + (sequence * heads + head) * WIDTH + lane, result.to(out.dtype.element_ty))


@triton.jit
def chunk_kernel(
    out,
    query,
    key_pages,
    value_pages,
    key_scales,
    value_scales,
    tables,
    starts,
    lengths,
    sinks,
    tokens,
    heads,
    shared,
    most_pages,
    window,
    scale,
    soft_cap,
    CAPPED: tl.constexpr,
    PAGE: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """BLOCK queries of one head of a sequence's chunk: tokens starts[s] to lengths[s] - 1 of the sequence,
    whose keys are in its pages, each seeing itself and what is before it."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    own = head // (heads // shared)
    first = tl.program_id(0) * BLOCK
    lane = tl.arange(0, WIDTH)
    slot = tl.arange(0, PAGE)
    row = first + tl.arange(0, BLOCK)
    start = tl.load(starts + sequence).to(tl.int32)
    length = tl.load(lengths + sequence).to(tl.int32)
    place = start + row
    at = ((sequence * tokens + row)[:, None] * heads + head) * WIDTH + lane[None, :]
    inside = (row < tokens)[:, None]
    q = tl.load(query + at, mask=inside, other=0.0).to(tl.float32)
    largest = tl.full((BLOCK,), -1.0e30, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    if sinks is not None:
        largest = tl.load(sinks + head).to(tl.float32) + tl.zeros((BLOCK,), tl.float32)
        total += 1.0
    result = tl.zeros((BLOCK, WIDTH), tl.float32)
    oldest = tl.maximum(start + first + 1 - window, 0)
    for k in range(oldest // PAGE, tl.cdiv(tl.minimum(length, start + first + BLOCK), PAGE)):
        page = tl.load(tables + sequence * most_pages + k).to(tl.int64)
        k_at = key_pages + (page * shared + own) * WIDTH * PAGE
        keys = tl.load(k_at + lane[:, None] * PAGE + slot[None, :]).to(tl.float32)
        score = tl.dot(q, keys, input_precision="ieee") * scale
        if key_scales is not None:
            score *= tl.load(key_scales + (page * shared + own) * PAGE + slot)[None, :]
        if CAPPED:
            score = soft_cap * (1.0 - 2.0 / (1.0 + tl.exp(2.0 * score / soft_cap)))
        token = k * PAGE + slot
        seen = (token[None, :] <= place[:, None]) & (token[None, :] > place[:, None] - window)
        score = tl.where(seen, score, float("-inf"))
        new = tl.maximum(largest, tl.max(score, 1))
        decay = tl.exp(largest - new)
        share = tl.exp(score - new[:, None])
        total = total * decay + tl.sum(share, 1)
        v_at = value_pages + (page * shared + own) * WIDTH * PAGE
        values = tl.load(v_at + slot[:, None] * WIDTH + lane[None, :]).to(tl.float32)
        values = tl.where(token[:, None] < length, values, 0.0)
        if value_scales is not None:
            share *= tl.load(value_scales + (page * shared + own) * PAGE + slot)[None, :]
        result = tl.dot(share, values, result * decay[:, None], input_precision="ieee")
        largest = new
    result = result / tl.where(total == 0.0, 1.0, total)[:, None]
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside)


# ---- functions ------------------------------------------------------------------------------------


def _check(name: str, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
    heads, width = query.shape[-2:]
    pages, shared, key_width, page = keys.shape
    if key_width != width or width != power_of_two(width) or page != power_of_two(page) or heads % shared:
        raise ArgumentError(
            f"{name}: {heads} heads of width {width} do not fit pages of {shared} heads of width "
            f"{key_width}, {page} tokens each; widths and page sizes are powers of two"
        )
    if values.shape != (pages, shared, page, width) or not (keys.is_contiguous() and values.is_contiguous()):
        raise ArgumentError(
            f"{name}: keys {tuple(keys.shape)} need contiguous values {(pages, shared, page, width)}, got "
            f"{tuple(values.shape)}"
        )


def _check_scales(name: str, pages: torch.Tensor, scales: Scales | None) -> tuple[torch.Tensor | None, ...]:
    wanted = (*pages.shape[:2], pages.shape[3])
    if (pages.dtype == torch.int8) != (scales is not None) or any(
        x.shape != wanted or x.dtype != torch.float32 or not x.is_contiguous() for x in scales or ()
    ):
        raise ArgumentError(
            f"{name}: pages of {pages.dtype} {'have no' if pages.dtype != torch.int8 else 'need'} scales "
            f"{wanted} of float32, got {None if scales is None else [tuple(x.shape) for x in scales]}"
        )
    return (None, None) if scales is None else scales


def turn_and_write(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cosine: torch.Tensor,
    sine: torch.Tensor,
    slots: torch.Tensor,
    key_pages: torch.Tensor,
    value_pages: torch.Tensor,
    scales: Scales | None = None,
) -> torch.Tensor:
    """Turn queries and keys by their tokens' angles, and write keys and values into the cache.

    query [tokens, heads, width], key and value [tokens, shared heads, width] of any strides but 1 in the last
    dimension; cosine and sine [tokens, turned width] contiguous, each angle twice: pairs are (i, i + half).
    slots [tokens] integers: page * page size + place. In pages of int8 a head of a token is round(x / scale),
    ties to even, where scale = max|x| / 127. Gives the turned queries. Raises ArgumentError.
    """
    _check("turn_and_write", query, key_pages, value_pages)
    tokens, heads, width = query.shape
    shared = key_pages.shape[1]
    if any(x.stride(2) != 1 for x in (query, key, value)) or cosine.shape[1] > width or cosine.shape[1] % 2:
        raise ArgumentError(
            f"turn_and_write: heads must be contiguous and angles at most {width}, got strides "
            f"{query.stride()}, {key.stride()}, {value.stride()} and angles {tuple(cosine.shape)}"
        )
    out = torch.empty((tokens, heads, width), dtype=query.dtype, device=query.device)
    launch(
        turn_and_write_kernel,
        (tokens, heads + shared),
        out,
        key_pages,
        value_pages,
        *_check_scales("turn_and_write", key_pages, scales),
        query,
        key,
        value,
        cosine,
        sine,
        slots,
        heads,
        shared,
        cosine.shape[1] // 2,
        *query.stride()[:2],
        *key.stride()[:2],
        *value.stride()[:2],
        PAGE=key_pages.shape[3],
        WIDTH=width,
    )
    return out


EVERYTHING = 1 << 30
"""A window that nothing is outside of."""


def attention_of_newest(
    query: torch.Tensor,
    key_pages: torch.Tensor,
    value_pages: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
    window: int = EVERYTHING,
    soft_cap: float = 0.0,
    sinks: torch.Tensor | None = None,
    scales: Scales | None = None,
) -> torch.Tensor:
    """Attention of each sequence's newest token to the last `window` of its tokens, itself among them.

    query [sequences, heads, width] contiguous; tables [sequences, most pages] and lengths [sequences] of
    integers, each length at least 1; sinks [heads]: a score whose value is zero. Raises ArgumentError.
    """
    _check("attention_of_newest", query, key_pages, value_pages)
    sequences, heads, width = query.shape
    out = torch.empty_like(query)
    launch(
        one_query_kernel,
        (sequences, heads),
        out,
        query,
        key_pages,
        value_pages,
        *_check_scales("attention_of_newest", key_pages, scales),
        tables,
        lengths,
        sinks,
        heads,
        key_pages.shape[1],
        tables.shape[1],
        window,
        scale,
        soft_cap,
        CAPPED=soft_cap > 0.0,
        PAGE=key_pages.shape[3],
        WIDTH=width,
    )
    return out


def attention_of_chunk(
    query: torch.Tensor,
    key_pages: torch.Tensor,
    value_pages: torch.Tensor,
    tables: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
    window: int = EVERYTHING,
    soft_cap: float = 0.0,
    sinks: torch.Tensor | None = None,
    scales: Scales | None = None,
) -> torch.Tensor:
    """Causal attention of a chunk of each sequence: tokens starts[s] to lengths[s] - 1, in as many rows as
    the longest chunk has; rows behind lengths[s] give numbers without meaning.

    query [sequences, tokens, heads, width] contiguous, the rest as in `attention_of_newest`. Raises
    ArgumentError.
    """
    _check("attention_of_chunk", query, key_pages, value_pages)
    sequences, tokens, heads, width = query.shape
    out = torch.empty_like(query)
    block = max(16, min(QUERIES, power_of_two(tokens)))
    launch(
        chunk_kernel,
        (cdiv(tokens, block), heads, sequences),
        out,
        query,
        key_pages,
        value_pages,
        *_check_scales("attention_of_chunk", key_pages, scales),
        tables,
        starts,
        lengths,
        sinks,
        tokens,
        heads,
        key_pages.shape[1],
        tables.shape[1],
        window,
        scale,
        soft_cap,
        CAPPED=soft_cap > 0.0,
        PAGE=key_pages.shape[3],
        WIDTH=width,
        BLOCK=block,
    )
    return out
