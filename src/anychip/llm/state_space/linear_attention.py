"""Attention without a softmax, whose memory is one matrix a head: linear attention (Katharopoulos et al.,
2020), retention (Sun et al., 2023) and Mamba-2's scan (Dao and Gu, 2024) as one recurrence
S_t = exp(g_t) S_{t-1} + k_t v_t^T, o_t = S_t^T q_t, token by token or in chunks, with gradients. Flows in:
queries, keys, values [batch, tokens, heads, width], decays. Flows out: values, and the last state."""

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
from .linear_kernels import chunk_kernel, faded_kernel, recurrent_kernel, shared_gradient_kernel

TILES = Tiles(simt={"chunk": 32, "values": 64}, simd={"chunk": 64, "values": 64})

# ---- forward, backward ----------------------------------------------------------------------------


def _steps(decay: torch.Tensor | None) -> tuple[int, int]:
    """Elements from one token's decay to the next one's, and from one head's to the next one's."""
    return (0, 0) if decay is None else (decay.shape[-1] if decay.ndim == 3 else 0, 1)


def _blocks(tokens: int, value_width: int, device: torch.device) -> tuple[int, int]:
    """Tokens in a chunk, and values that a program makes."""
    tiles = TILES.on(device)
    chunk = max(16, min(tiles["chunk"], power_of_two(tokens)))
    return chunk, max(16, min(tiles["values"], power_of_two(value_width)))


def _chunked(
    out: torch.Tensor,
    last: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor | None,
    initial: torch.Tensor | None,
    scale: float,
    initial_factor: float = 1.0,
    reverse: bool = False,
    partner: torch.Tensor | None = None,
    states: torch.Tensor | None = None,
    shares: torch.Tensor | None = None,
) -> None:
    """One launch of the scan; `last` [batch, heads, width, value width] may be transposed, as `initial`."""
    batch, tokens, heads, value_width = out.shape
    width = query.shape[3]
    chunk, block_v = _blocks(tokens, value_width, out.device)
    launch(
        chunk_kernel,
        (cdiv(value_width, block_v), heads, batch),
        out,
        last,
        query,
        key,
        value,
        decay,
        initial,
        partner,
        states,
        shares,
        tokens,
        heads,
        heads // query.shape[2],
        heads // value.shape[2],
        width,
        value_width,
        *_steps(decay),
        last.stride(2),
        last.stride(3),
        scale,
        initial_factor,
        REVERSE=reverse,
        BLOCK_D=max(16, power_of_two(width)),
        BLOCK_V=block_v,
        CHUNK=chunk,
    )


class LinearAttention(torch.autograd.Function):
    """The gradients are scans, too: that of queries over values times keys, those of keys and values back in
    time."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        decay: torch.Tensor | None,
        initial: torch.Tensor | None,
        scale: float,
        chunked: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The results for each token, and the last state."""
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        decay = None if decay is None else decay.contiguous()
        initial = None if initial is None else initial.contiguous()
        batch, tokens, heads, value_width = value.shape
        width = query.shape[3]
        out = torch.empty(value.shape, dtype=value.dtype, device=value.device)
        last = torch.empty((batch, heads, width, value_width), dtype=torch.float32, device=value.device)
        if chunked:
            _chunked(out, last, query, key, value, decay, initial, scale)
        else:
            _, block_v = _blocks(tokens, value_width, value.device)
            launch(
                recurrent_kernel,
                (cdiv(value_width, block_v), heads, batch),
                out,
                last,
                query,
                key,
                value,
                decay,
                initial,
                tokens,
                heads,
                heads // query.shape[2],
                width,
                value_width,
                *_steps(decay),
                scale,
                BLOCK_D=max(16, power_of_two(width)),
                BLOCK_V=block_v,
            )
        ctx.save_for_backward(query, key, value, decay, initial)
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        return out, last

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of query, key, value, decay and initial state."""
        dout, dlast = grad_outputs
        query, key, value, decay, initial = ctx.saved_tensors
        dout = torch.zeros_like(value) if dout is None else dout.contiguous()
        dlast = None if dlast is None else dlast.contiguous()
        (batch, tokens, heads, value_width), width = value.shape, query.shape[3]
        single: dict[str, Any] = {"dtype": torch.float32, "device": value.device}
        sharing, size = heads // query.shape[2], width * value_width
        dq, dk = (torch.empty((batch, tokens, heads, width), **single) for _ in range(2))
        dvalue, state = torch.empty_like(value), torch.empty((batch, heads, width, value_width), **single)
        turned = torch.empty_like(state).transpose(2, 3)
        backwards: dict[str, Any] = {"initial_factor": 1.0 / ctx.scale, "reverse": True}
        ddecay = dinitial = states = None
        shares: Any = (None, None)
        if decay is not None and ctx.needs_input_grad[3]:
            chunk, block = _blocks(tokens, width, value.device)
            states = torch.empty((batch, heads, cdiv(tokens, chunk), value_width, width), **single)
            shares = torch.empty((2, cdiv(width, block), batch, tokens, heads), **single)
        _chunked(
            dq,
            turned,
            dout,
            value,
            key,
            decay,
            initial,
            ctx.scale,
            partner=query,
            states=states,
            shares=shares[0],
        )
        _chunked(
            dk,
            turned,
            value,
            dout,
            query,
            decay,
            dlast,
            ctx.scale,
            **backwards,
            partner=key,
            states=states,
            shares=shares[1],
        )
        _chunked(dvalue, state, key, query, dout, decay, dlast, ctx.scale, **backwards)
        dquery, dkey = torch.empty_like(query), torch.empty_like(key)
        launch(
            shared_gradient_kernel,
            (batch * tokens, query.shape[2]),
            dquery,
            dkey,
            dq,
            dk,
            heads,
            sharing,
            width,
            BLOCK=power_of_two(width),
        )
        if states is not None and decay is not None:
            ddecay = torch.empty_like(decay)
            sum_groups(ddecay, shares, shares.numel() // max(1, decay.numel()))
        if initial is not None and ctx.needs_input_grad[4]:
            dinitial = torch.empty_like(initial)
            launch(
                faded_kernel,
                (cdiv(size, 1024), heads, batch),
                dinitial,
                state,
                decay,
                tokens,
                heads,
                size,
                *_steps(decay),
                ctx.scale,
                BLOCK=1024,
            )
        return dquery, dkey, dvalue, ddecay, dinitial, None, None


# ---- functions ------------------------------------------------------------------------------------


def _scan(
    name: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor | None,
    initial: torch.Tensor | None,
    scale: float,
    chunked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    if (
        query.ndim != 4
        or value.ndim != 4
        or key.shape != query.shape
        or value.shape[:2] != query.shape[:2]
        or not query.shape[2]
        or value.shape[2] % query.shape[2]
        or scale == 0.0
    ):
        raise ArgumentError(
            f"{name}: queries {tuple(query.shape)}, keys {tuple(key.shape)} and values {tuple(value.shape)} "
            f"must be [batch, tokens, heads, width], the values' heads a multiple of the others', and the "
            f"scale not 0"
        )
    batch, tokens, heads, value_width = value.shape
    if decay is not None and decay.shape not in ((heads,), (batch, tokens, heads)):
        raise ArgumentError(f"{name}: decay {tuple(decay.shape)} is neither a head's nor a token's")
    if initial is not None and initial.shape != (batch, heads, query.shape[3], value_width):
        raise ArgumentError(f"{name}: the state must be {(batch, heads, query.shape[3], value_width)}")
    return LinearAttention.apply(query, key, value, decay, initial, scale, chunked)


def linear_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor | None = None,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal linear attention in chunks: S_t = exp(decay_t) S_{t-1} + k_t v_t^T, o_t = scale S_t^T q_t.

    query and key [batch, tokens, key heads, width], value [batch, tokens, heads, value width], heads a
    multiple of key heads; decay [batch, tokens, heads] or [heads], not above 0, None for none; initial
    [batch, heads, width, value width]. Gives the result like value and the last state in float32.
    Differentiable in all tensors. Raises ArgumentError.
    """
    return _scan("linear_attention", query, key, value, decay, initial, scale, True)


def linear_attention_recurrent(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor | None = None,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`linear_attention` token by token, as decoding does it."""
    return _scan("linear_attention_recurrent", query, key, value, decay, initial, scale, False)


def retention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    log_decay: torch.Tensor,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`linear_attention` whose heads forget at a constant rate each: log_decay [heads], not above 0."""
    return _scan("retention", query, key, value, log_decay, initial, scale, True)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor | None = None,
    initial: torch.Tensor | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
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
    decay = tensor((1, 70, 4), dtype, -0.5, 0)
    state = tensor((1, 4, 16, 70), dtype)
    yield Sample((*_operands(dtype, 1, 70, 2, 4, 16, 70), decay, state), {"scale": 0.5})


def _recurrent_samples(dtype: torch.dtype) -> Iterable[Sample]:
    """The last of them: gradients go through the same kernels."""
    yield list(_samples(dtype))[-1]


def _retention_samples(dtype: torch.dtype) -> Iterable[Sample]:
    decay = torch.tensor([-0.05, -0.3]).to(dtype)
    yield Sample((*_operands(dtype, 2, 70, 2, 2, 12, 20), decay), {"scale": 0.3})


_GRADIENTS = (chunk_kernel, shared_gradient_kernel, faded_kernel, group_sum_kernel)
for _function, _draw, _kernels in (
    (linear_attention, _samples, _GRADIENTS),
    (linear_attention_recurrent, _recurrent_samples, (recurrent_kernel, *_GRADIENTS)),
    (retention, _retention_samples, _GRADIENTS),
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
