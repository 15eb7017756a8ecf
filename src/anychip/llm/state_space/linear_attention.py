"""Attention without a softmax, whose memory is one matrix a head: linear attention (Katharopoulos et al.,
2020), retention (Sun et al., 2023) and Mamba-2's scan (Dao and Gu, 2024) as one recurrence
S_t = exp(g_t) S_{t-1} + k_t v_t^T, o_t = S_t^T q_t, token by token or in chunks. Flows in: queries, keys,
values [batch, tokens, heads, width], decays. Flows out: values, and the last state."""

from __future__ import annotations

from collections.abc import Iterable
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

TILES = Tiles(simt={"chunk": 32, "values": 64}, simd={"chunk": 64, "values": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def recurrent_kernel(
    out, last, query, key, value, decay, initial, tokens, heads, sharing, width, value_width, decay_token,
    decay_head, scale, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One block of values of one head of one sequence, token by token."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_d, in_v = d < width, v < value_width
    inside = in_d[:, None] & in_v[None, :]
    at_state = ((sequence * heads + head) * width + d[:, None]) * value_width + v[None, :]
    state = tl.zeros((BLOCK_D, BLOCK_V), tl.float32)
    if initial is not None:
        state = tl.load(initial + at_state, mask=inside, other=0.0).to(tl.float32)
    for token in range(tokens):
        row = sequence * tokens + token
        at_q = (row * (heads // sharing) + head // sharing) * width + d
        at_v = (row * heads + head) * value_width + v
        k = tl.load(key + at_q, mask=in_d, other=0.0).to(tl.float32)
        q = tl.load(query + at_q, mask=in_d, other=0.0).to(tl.float32)
        x = tl.load(value + at_v, mask=in_v, other=0.0).to(tl.float32)
        if decay is not None:
            state *= tl.exp(tl.load(decay + row * decay_token + head * decay_head).to(tl.float32))
        state += k[:, None] * x[None, :]
        result = tl.sum(state * q[:, None], 0) * scale
        tl.store(out + at_v, result.to(out.dtype.element_ty), mask=in_v)
    tl.store(last + at_state, state, mask=inside)


@triton.jit
def chunk_kernel(
    out, last, query, key, value, decay, initial, tokens, heads, sharing, width, value_width, decay_token,
    decay_head, scale, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The same in chunks: within one by products of scores, between them by the state."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    c = tl.arange(0, CHUNK)
    in_d, in_v = d < width, v < value_width
    inside = in_d[:, None] & in_v[None, :]
    at_state = ((sequence * heads + head) * width + d[:, None]) * value_width + v[None, :]
    state = tl.zeros((BLOCK_D, BLOCK_V), tl.float32)
    if initial is not None:
        state = tl.load(initial + at_state, mask=inside, other=0.0).to(tl.float32)
    for first in range(0, tokens, CHUNK):
        in_c = first + c < tokens
        row = sequence * tokens + first + c
        at_q = (row * (heads // sharing) + head // sharing)[:, None] * width + d[None, :]
        at_v = (row * heads + head)[:, None] * value_width + v[None, :]
        q = tl.load(query + at_q, mask=in_c[:, None] & in_d[None, :], other=0.0).to(tl.float32)
        k = tl.load(key + at_q, mask=in_c[:, None] & in_d[None, :], other=0.0).to(tl.float32)
        x = tl.load(value + at_v, mask=in_c[:, None] & in_v[None, :], other=0.0).to(tl.float32)
        g = tl.zeros((CHUNK,), tl.float32)
        if decay is not None:
            g = tl.load(decay + row * decay_token + head * decay_head, mask=in_c, other=0.0).to(tl.float32)
        so_far = tl.cumsum(g, 0)
        whole = tl.sum(g, 0)
        causal = c[:, None] >= c[None, :]
        fading = tl.where(causal, tl.exp(tl.where(causal, so_far[:, None] - so_far[None, :], 0.0)), 0.0)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * fading
        result = tl.dot(q * tl.exp(so_far)[:, None], state, input_precision="ieee")
        result = tl.dot(score, x, result, input_precision="ieee") * scale
        tl.store(out + at_v, result.to(out.dtype.element_ty), mask=in_c[:, None] & in_v[None, :])
        faded = tl.trans(k * tl.exp(whole - so_far)[:, None])
        state = tl.dot(faded, x, state * tl.exp(whole), input_precision="ieee")
    tl.store(last + at_state, state, mask=inside)


# ---- functions ------------------------------------------------------------------------------------


def _scan(
    name: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor | None,
    initial: torch.Tensor | None, scale: float, chunked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    if (
        query.ndim != 4
        or value.ndim != 4
        or key.shape != query.shape
        or value.shape[:2] != query.shape[:2]
        or not query.shape[2]
        or value.shape[2] % query.shape[2]
    ):
        raise ArgumentError(
            f"{name}: queries {tuple(query.shape)}, keys {tuple(key.shape)} and values {tuple(value.shape)} "
            f"must be [batch, tokens, heads, width], the values' heads a multiple of the others'"
        )
    batch, tokens, heads, value_width = value.shape
    width = query.shape[3]
    steps = (0, 0)
    if decay is not None:
        if decay.shape not in ((heads,), (batch, tokens, heads)):
            raise ArgumentError(f"{name}: decay {tuple(decay.shape)} is neither a head's nor a token's")
        decay = decay.contiguous()
        steps = (heads if decay.ndim == 3 else 0, 1)
    if initial is not None and initial.shape != (batch, heads, width, value_width):
        raise ArgumentError(f"{name}: the state must be {(batch, heads, width, value_width)}")
    out = torch.empty(value.shape, dtype=value.dtype, device=value.device)
    last = torch.empty((batch, heads, width, value_width), dtype=torch.float32, device=value.device)
    tiles = TILES.on(value.device)
    block_v = max(16, min(tiles["values"], power_of_two(value_width)))
    constants: dict[str, Any] = {"BLOCK_D": max(16, power_of_two(width)), "BLOCK_V": block_v}
    if chunked:
        constants["CHUNK"] = max(16, min(tiles["chunk"], power_of_two(tokens)))
    launch(
        chunk_kernel if chunked else recurrent_kernel, (cdiv(value_width, block_v), heads, batch), out, last,
        query.contiguous(), key.contiguous(), value.contiguous(), decay,
        None if initial is None else initial.contiguous(), tokens, heads, heads // query.shape[2], width,
        value_width, *steps, scale, **constants,
    )  # fmt: skip
    return out, last


def linear_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor | None = None,
    initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Causal linear attention in chunks: S_t = exp(decay_t) S_{t-1} + k_t v_t^T, o_t = scale S_t^T q_t.

    query and key [batch, tokens, key heads, width], value [batch, tokens, heads, value width], heads a
    multiple of key heads; decay [batch, tokens, heads] or [heads], not above 0, None for none; initial
    [batch, heads, width, value width]. Gives the result like value and the last state in float32.
    Raises ArgumentError.
    """
    return _scan("linear_attention", query, key, value, decay, initial, scale, True)


def linear_attention_recurrent(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor | None = None,
    initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """`linear_attention` token by token, as decoding does it."""
    return _scan("linear_attention_recurrent", query, key, value, decay, initial, scale, False)


def retention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, log_decay: torch.Tensor,
    initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """`linear_attention` whose heads forget at a constant rate each: log_decay [heads], not above 0."""
    return _scan("retention", query, key, value, log_decay, initial, scale, True)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor | None = None,
    initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    batch, tokens, heads, value_width = value.shape
    query, key = (x.repeat_interleave(heads // x.shape[2], 2) for x in (query, key))
    state = value.new_zeros((batch, heads, query.shape[3], value_width)) if initial is None else initial
    results = []
    for t in range(tokens):
        if decay is not None:
            now = decay.expand(batch, heads) if decay.ndim == 1 else decay[:, t]
            state = state * now.exp()[..., None, None]
        state = state + key[:, t, :, :, None] * value[:, t, :, None, :]
        results.append(scale * torch.einsum("bhdv,bhd->bhv", state, query[:, t]))
    return torch.stack(results, 1), state


def _operands(
    dtype: torch.dtype, batch: int, tokens: int, shared: int, heads: int, width: int, value_width: int
) -> tuple[torch.Tensor, ...]:
    shapes = ((batch, tokens, shared, width),) * 2 + ((batch, tokens, heads, value_width),)
    return tuple(tensor(shape, dtype, -1, 1, seed=i) for i, shape in enumerate(shapes))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample(_operands(dtype, 2, 5, 3, 3, 7, 5), {"scale": 0.5})
    decay = tensor((1, 80, 4), torch.float32, -0.5, 0)
    state = tensor((1, 4, 16, 70), torch.float32)
    yield Sample((*_operands(dtype, 1, 80, 2, 4, 16, 70), decay, state))


def _retention_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for tokens, heads in ((5, 1), (80, 2)):
        decay = torch.tensor([-0.05, -0.3])[:heads]
        yield Sample((*_operands(dtype, 2, tokens, heads, heads, 12, 20), decay), {"scale": 0.3})


for _name, _function, _draw, _kernel in (
    ("linear_attention", linear_attention, _samples, chunk_kernel),
    ("linear_attention_recurrent", linear_attention_recurrent, _samples, recurrent_kernel),
    ("retention", retention, _retention_samples, chunk_kernel),
):
    register(Fused(_name, "state_space", _function, _reference, _draw, (_kernel,)))
