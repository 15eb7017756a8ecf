"""The gated delta rule (Yang et al., arXiv:2412.06464): a state that unlearns what a key held before it
learns the new value, S_t = a_t (S_{t-1} - b_t k_t (k_t^T S_{t-1})) + b_t k_t v_t^T, o_t = S_t^T q_t, token by
token or in chunks. Flows in: queries, keys, values [batch, tokens, heads, width], log-decays and strengths
[batch, tokens, heads]. Flows out: values, and the last state."""

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

TILES = Tiles(simt={"values": 32}, simd={"values": 64})
CHUNK = 16
"""Tokens in a chunk: the inverse below is a product of four factors for it."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def delta_recurrent_kernel(
    out, last, query, key, value, decay, strength, initial, tokens, heads, width, value_width, scale,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
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
        row = (sequence * tokens + token) * heads + head
        q = tl.load(query + row * width + d, mask=in_d, other=0.0).to(tl.float32)
        k = tl.load(key + row * width + d, mask=in_d, other=0.0).to(tl.float32)
        x = tl.load(value + row * value_width + v, mask=in_v, other=0.0).to(tl.float32)
        b = tl.load(strength + row).to(tl.float32)
        state *= tl.exp(tl.load(decay + row).to(tl.float32))
        held = tl.sum(state * k[:, None], 0)
        state += k[:, None] * (b * (x - held))[None, :]
        result = tl.sum(state * q[:, None], 0) * scale
        tl.store(out + row * value_width + v, result.to(out.dtype.element_ty), mask=in_v)
    tl.store(last + at_state, state, mask=inside)


@triton.jit
def delta_chunk_kernel(
    out, last, query, key, value, decay, strength, initial, tokens, heads, width, value_width, scale,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The same in chunks of 16. What the tokens of a chunk write, u, solves (I + L) u = b (v - a S^T k) for
    L strictly below the diagonal, and (I + L)^-1 = (I - L)(I + L^2)(I + L^4)(I + L^8)."""
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
    one = tl.where(c[:, None] == c[None, :], 1.0, 0.0)
    for first in range(0, tokens, CHUNK):
        in_c = first + c < tokens
        row = (sequence * tokens + first + c) * heads + head
        at_q = row[:, None] * width + d[None, :]
        at_v = row[:, None] * value_width + v[None, :]
        q = tl.load(query + at_q, mask=in_c[:, None] & in_d[None, :], other=0.0).to(tl.float32)
        k = tl.load(key + at_q, mask=in_c[:, None] & in_d[None, :], other=0.0).to(tl.float32)
        x = tl.load(value + at_v, mask=in_c[:, None] & in_v[None, :], other=0.0).to(tl.float32)
        b = tl.load(strength + row, mask=in_c, other=0.0).to(tl.float32)
        g = tl.load(decay + row, mask=in_c, other=0.0).to(tl.float32)
        so_far = tl.cumsum(g, 0)
        whole = tl.sum(g, 0)
        causal = c[:, None] >= c[None, :]
        fading = tl.where(causal, tl.exp(tl.where(causal, so_far[:, None] - so_far[None, :], 0.0)), 0.0)
        likeness = tl.dot(k, tl.trans(k), input_precision="ieee") * fading * b[:, None]
        below = tl.where(c[:, None] > c[None, :], likeness, 0.0)
        second = tl.dot(below, below, input_precision="ieee")
        fourth = tl.dot(second, second, input_precision="ieee")
        eighth = tl.dot(fourth, fourth, input_precision="ieee")
        inverse = tl.dot(one - below, one + second, input_precision="ieee")
        inverse = tl.dot(inverse, one + fourth, input_precision="ieee")
        inverse = tl.dot(inverse, one + eighth, input_precision="ieee")
        faded = tl.exp(so_far)[:, None]
        held = tl.dot(k * faded, state, input_precision="ieee")
        written = tl.dot(inverse, b[:, None] * (x - held), input_precision="ieee")
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * fading
        result = tl.dot(q * faded, state, input_precision="ieee")
        result = tl.dot(score, written, result, input_precision="ieee") * scale
        tl.store(out + at_v, result.to(out.dtype.element_ty), mask=in_c[:, None] & in_v[None, :])
        kept = tl.trans(k * tl.exp(whole - so_far)[:, None])
        state = tl.dot(kept, written, state * tl.exp(whole), input_precision="ieee")
    tl.store(last + at_state, state, mask=inside)


# ---- functions ------------------------------------------------------------------------------------


def _scan(
    name: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor,
    strength: torch.Tensor, initial: torch.Tensor | None, scale: float, chunked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    if (
        query.ndim != 4
        or value.ndim != 4
        or key.shape != query.shape
        or value.shape[:3] != query.shape[:3]
        or decay.shape != query.shape[:3]
        or strength.shape != query.shape[:3]
    ):
        raise ArgumentError(
            f"{name}: queries {tuple(query.shape)}, keys {tuple(key.shape)} and values {tuple(value.shape)} "
            f"must be [batch, tokens, heads, width], decay {tuple(decay.shape)} and strength "
            f"{tuple(strength.shape)} [batch, tokens, heads]"
        )
    batch, tokens, heads, value_width = value.shape
    width = query.shape[3]
    if initial is not None and initial.shape != (batch, heads, width, value_width):
        raise ArgumentError(f"{name}: the state must be {(batch, heads, width, value_width)}")
    out = torch.empty(value.shape, dtype=value.dtype, device=value.device)
    last = torch.empty((batch, heads, width, value_width), dtype=torch.float32, device=value.device)
    block_v = max(16, min(TILES.on(value.device)["values"], power_of_two(value_width)))
    constants: dict[str, Any] = {"BLOCK_D": max(16, power_of_two(width)), "BLOCK_V": block_v}
    if chunked:
        constants["CHUNK"] = CHUNK
    launch(
        delta_chunk_kernel if chunked else delta_recurrent_kernel,
        (cdiv(value_width, block_v), heads, batch), out, last, query.contiguous(), key.contiguous(),
        value.contiguous(), decay.contiguous(), strength.contiguous(),
        None if initial is None else initial.contiguous(), tokens, heads, width, value_width, scale,
        **constants,
    )  # fmt: skip
    return out, last


def gated_delta_rule(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor,
    strength: torch.Tensor, initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """The gated delta rule in chunks.

    query and key [batch, tokens, heads, width], keys of length at most 1 or so; value [batch, tokens,
    heads, value width]; decay (its logarithm, not above 0) and strength (0 to 1) [batch, tokens, heads];
    initial [batch, heads, width, value width]. Gives the result, times scale, like value, and the last state
    in float32. Raises ArgumentError.
    """
    return _scan("gated_delta_rule", query, key, value, decay, strength, initial, scale, True)


def gated_delta_rule_recurrent(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor,
    strength: torch.Tensor, initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """`gated_delta_rule` token by token, as decoding does it."""
    return _scan("gated_delta_rule_recurrent", query, key, value, decay, strength, initial, scale, False)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor,
    strength: torch.Tensor, initial: torch.Tensor | None = None, scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    batch, tokens, heads, value_width = value.shape
    state = value.new_zeros((batch, heads, query.shape[3], value_width)) if initial is None else initial
    results = []
    for t in range(tokens):
        state = state * decay[:, t].exp()[..., None, None]
        held = torch.einsum("bhdv,bhd->bhv", state, key[:, t])
        written = strength[:, t, :, None] * (value[:, t] - held)
        state = state + key[:, t, :, :, None] * written[:, :, None, :]
        results.append(scale * torch.einsum("bhdv,bhd->bhv", state, query[:, t]))
    return torch.stack(results, 1), state


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for batch, tokens, heads, width, value_width, kept in ((2, 5, 3, 7, 5, False), (1, 75, 2, 24, 40, True)):
        shape = (batch, tokens, heads)
        q, k = (
            torch.nn.functional.normalize(tensor((*shape, width), torch.float32, seed=s), dim=-1)
            for s in (1, 2)
        )
        x = tensor((*shape, value_width), dtype, -1, 1)
        state = tensor((batch, heads, width, value_width), torch.float32, -1, 1) if kept else None
        decay, strength = tensor(shape, torch.float32, -0.5, 0), tensor(shape, torch.float32, 0, 1)
        yield Sample((q.to(dtype), k.to(dtype), x, decay, strength, state, 0.5))


for _name, _function, _kernel in (
    ("gated_delta_rule", gated_delta_rule, delta_chunk_kernel),
    ("gated_delta_rule_recurrent", gated_delta_rule_recurrent, delta_recurrent_kernel),
):
    register(Fused(_name, "state_space", _function, _reference, _samples, (_kernel,)))
