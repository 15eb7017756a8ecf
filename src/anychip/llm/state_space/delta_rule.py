"""The gated delta rule (Yang et al., arXiv:2412.06464): a state that unlearns what a key held before it
learns the new value, S_t = a_t (S_{t-1} - b_t k_t (k_t^T S_{t-1})) + b_t k_t v_t^T, o_t = S_t^T q_t, token by
token or in chunks, with gradients. Flows in: queries, keys, values [batch, tokens, heads, width], log-decays
and strengths [batch, tokens, heads]. Flows out: values, and the last state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.row_sums import group_sum_kernel, sum_groups
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .delta_kernels import delta_backward_kernel, delta_chunk_kernel, delta_recurrent_kernel

TILES = Tiles(simt={"values": 32}, simd={"values": 64})
CHUNK = 16
"""Tokens in a chunk: the inverse below is a product of four factors for it."""

# ---- forward, backward ----------------------------------------------------------------------------


class DeltaRule(torch.autograd.Function):
    """The backward pass runs the chunks again, keeping the state before each."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        decay: torch.Tensor,
        strength: torch.Tensor,
        initial: torch.Tensor | None,
        scale: float,
        chunked: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The results for each token, and the last state."""
        given = tuple(x.contiguous() for x in (query, key, value, decay, strength))
        initial = None if initial is None else initial.contiguous()
        ctx.save_for_backward(*given, initial)
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        return _run(given, initial, scale, None, chunked)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of query, key, value, decay, strength and initial state."""
        dout, dlast = grad_outputs
        *given, initial = ctx.saved_tensors
        query, key, value, decay, strength = given
        batch, tokens, heads, value_width = value.shape
        width, rows, device = query.shape[3], batch * tokens * heads, value.device
        single: dict[str, Any] = {"dtype": torch.float32, "device": device}
        states = torch.empty((batch, heads, cdiv(tokens, CHUNK), width, value_width), **single)
        _run(tuple(given), initial, ctx.scale, states, True)
        blocks = _blocks(width, value_width, device)
        parts = cdiv(value_width, blocks["BLOCK_V"])
        dout = torch.zeros_like(value) if dout is None else dout.contiguous()
        partial = [torch.empty((parts, *x.shape), **single) for x in (query, key, decay, strength)]
        results = [torch.empty_like(x) for x in (query, key, decay, strength)]
        dvalue, dinitial = torch.empty_like(value), None if initial is None else torch.empty_like(initial)
        launch(
            delta_backward_kernel,
            (parts, heads, batch),
            partial[0],
            partial[1],
            dvalue,
            partial[2],
            partial[3],
            dinitial,
            dout,
            None if dlast is None else dlast.contiguous(),
            states,
            *given,
            tokens,
            rows,
            heads,
            width,
            value_width,
            ctx.scale,
            **blocks,
            CHUNK=CHUNK,
        )
        for out, part in zip(results, partial, strict=True):
            sum_groups(out, part, parts, block=1024)
        dquery, dkey, ddecay, dstrength = results
        return dquery, dkey, dvalue, ddecay, dstrength, dinitial, None, None


def _blocks(width: int, value_width: int, device: torch.device) -> dict[str, Any]:
    block_v = max(16, min(TILES.on(device)["values"], power_of_two(value_width)))
    return {"BLOCK_D": max(16, power_of_two(width)), "BLOCK_V": block_v}


def _run(
    given: tuple[torch.Tensor, ...],
    initial: torch.Tensor | None,
    scale: float,
    states: torch.Tensor | None,
    chunked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    query, value = given[0], given[2]
    batch, tokens, heads, value_width = value.shape
    width, device = query.shape[3], value.device
    out = torch.empty(value.shape, dtype=value.dtype, device=device)
    last = torch.empty((batch, heads, width, value_width), dtype=torch.float32, device=device)
    blocks = _blocks(width, value_width, device)
    grid = (cdiv(value_width, blocks["BLOCK_V"]), heads, batch)
    sizes = tokens, heads, width, value_width, scale
    if chunked:
        launch(delta_chunk_kernel, grid, out, last, states, *given, initial, *sizes, **blocks, CHUNK=CHUNK)
    else:
        launch(delta_recurrent_kernel, grid, out, last, *given, initial, *sizes, **blocks)
    return out, last


# ---- functions ------------------------------------------------------------------------------------


def _scan(
    name: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor,
    strength: torch.Tensor,
    initial: torch.Tensor | None,
    scale: float,
    chunked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
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
    state = (value.shape[0], value.shape[2], query.shape[3], value.shape[3])
    if initial is not None and initial.shape != state:
        raise ArgumentError(f"{name}: the state must be {state}, not {tuple(initial.shape)}")
    return DeltaRule.apply(query, key, value, decay, strength, initial, scale, chunked)


def gated_delta_rule(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor,
    strength: torch.Tensor,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gated delta rule in chunks.

    query and key [batch, tokens, heads, width], keys of length at most 1 or so; value [batch, tokens,
    heads, value width]; decay (its logarithm, not above 0) and strength (0 to 1) [batch, tokens, heads];
    initial [batch, heads, width, value width]. Gives the result, times scale, like value, and the last state
    in float32. Differentiable in all tensors. Raises ArgumentError.
    """
    return _scan("gated_delta_rule", query, key, value, decay, strength, initial, scale, True)


def gated_delta_rule_recurrent(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor,
    strength: torch.Tensor,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`gated_delta_rule` token by token, as decoding does it."""
    return _scan("gated_delta_rule_recurrent", query, key, value, decay, strength, initial, scale, False)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor,
    strength: torch.Tensor,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
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
    for batch, tokens, heads, width, value_width, kept in ((2, 5, 3, 7, 5, False), (1, 40, 2, 24, 70, True)):
        shape = (batch, tokens, heads)
        q, k = (
            torch.nn.functional.normalize(tensor((*shape, width), torch.float32, seed=s), dim=-1)
            for s in (1, 2)
        )
        x = tensor((*shape, value_width), dtype, -1, 1)
        state = tensor((batch, heads, width, value_width), dtype, -1, 1) if kept else None
        decay, strength = tensor(shape, dtype, -0.5, 0), tensor(shape, dtype, 0, 1)
        yield Sample((q.to(dtype), k.to(dtype), x, decay, strength, state, 0.5))


def _recurrent_samples(dtype: torch.dtype) -> Iterable[Sample]:
    """The last of them: gradients go through the same kernels."""
    yield list(_samples(dtype))[-1]


_GRADIENTS = (delta_chunk_kernel, delta_backward_kernel, group_sum_kernel)
for _function, _draw, _kernels in (
    (gated_delta_rule, _samples, _GRADIENTS),
    (gated_delta_rule_recurrent, _recurrent_samples, (delta_recurrent_kernel, *_GRADIENTS)),
):
    # Gradients of decays are sums over all tokens that follow.
    register(
        Fused(
            _function.__name__,
            "state_space",
            _function,
            _reference,
            _draw,
            _kernels,
            differentiable=True,
            tolerance=2.0,
        )
    )
