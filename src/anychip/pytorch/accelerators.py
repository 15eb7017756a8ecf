"""Overloads that PyTorch has on accelerators alone, by operators of the library: on GPUs it gives attention,
batch normalization and lists of tensors names of their own. Flows in: a selection of operators, a dispatch
key. Flows out: the functions to register there. What is saved for a backward pass is in PyTorch's format.

PyTorch's kernels for GPUs choose among three kinds of attention by a function that no dispatcher sees, so
that all three are served."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..ops.attention import flash
from ..ops.errors import NotServed
from ..ops.memory.copy import COPY
from ..ops.normalization import batch_norm

Function = Callable[..., Any]

SUMS_ALIGNED = 32
"""PyTorch rounds the rows of saved logarithms of sums up to this many (`kAlignLSE` of its attention)."""

# ---- attention ------------------------------------------------------------------------------------


def _padded(sums: torch.Tensor) -> torch.Tensor:
    """Logarithms of sums [batch, heads, queries] in rows as long as PyTorch's, infinite beyond."""
    missing = -sums.shape[2] % SUMS_ALIGNED
    out = torch.empty((*sums.shape[:2], sums.shape[2] + missing), dtype=sums.dtype, device=sums.device)
    COPY(sums, out=out[..., : sums.shape[2]])
    if missing:
        COPY(float("inf"), out=out[..., sums.shape[2] :])
    return out


def _stream(query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two numbers of a random stream that is not drawn from."""
    seed, offset = (torch.empty((), dtype=torch.int64, device=query.device) for _ in range(2))
    return seed, offset


def efficient_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: torch.Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attention of [batch, heads, length, width], the logarithms of the softmax's sums, [batch, heads,
    queries rounded up], and two numbers of a random stream, which is not drawn from. Raises NotServed for
    dropout."""
    out, sums = flash.attention(query, key, value, dropout_p, is_causal, attn_mask=attn_bias, scale=scale)
    kept = _padded(sums) if compute_log_sumexp else sums[..., :0].contiguous()
    return out, kept, *_stream(query)


def efficient_attention_backward(
    grad_out_: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: torch.Tensor | None,
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    philox_seed: torch.Tensor,
    philox_offset: torch.Tensor,
    dropout_p: float,
    grad_input_mask: Sequence[bool],
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
    """Gradients of query, key and value. Raises NotServed where that of the mask is wanted, too."""
    if grad_input_mask[3]:
        raise NotServed("attention", "the gradient of a mask is not served")
    sums = logsumexp[..., : query.shape[2]]
    found = flash.attention_backward(
        grad_out_, query, key, value, out, sums, dropout_p, is_causal, attn_mask=attn_bias, scale=scale
    )
    return *found, None


def flash_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Any, ...]:
    """Attention without a mask under the name that PyTorch prefers: the result, the logarithms of sums
    [batch, heads, queries], nothing for sequences of several lengths, the two lengths, a random stream's
    state."""
    out, sums = flash.attention(query, key, value, dropout_p, is_causal, scale=scale)
    state, unused = _stream(query)
    nothing = torch.empty((0,), dtype=query.dtype, device=query.device)
    return out, sums.contiguous(), None, None, query.shape[2], key.shape[2], state, unused, nothing


def flash_attention_backward(
    grad_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    cum_seq_q: torch.Tensor | None,
    cum_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    philox_seed: torch.Tensor,
    philox_offset: torch.Tensor,
    *,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of query, key and value."""
    return flash.attention_backward(
        grad_out, query, key, value, out, logsumexp, dropout_p, is_causal, scale=scale
    )


def cudnn_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: torch.Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Any, ...]:
    """Attention as PyTorch asks cuDNN for it: the logarithms of sums are [batch, heads, queries, 1]."""
    out, sums = flash.attention(query, key, value, dropout_p, is_causal, attn_mask=attn_bias, scale=scale)
    kept = sums.contiguous().unsqueeze(-1) if compute_log_sumexp else None
    return out, kept, None, None, query.shape[2], key.shape[2], *_stream(query), None


def cudnn_attention_backward(
    grad_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    philox_seed: torch.Tensor,
    philox_offset: torch.Tensor,
    attn_bias: torch.Tensor | None,
    cum_seq_q: torch.Tensor | None,
    cum_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    *,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of query, key and value."""
    sums = logsumexp.squeeze(-1) if logsumexp.ndim == 4 else logsumexp
    return flash.attention_backward(
        grad_out, query, key, value, out, sums, dropout_p, is_causal, attn_mask=attn_bias, scale=scale
    )


# ---- batch normalization --------------------------------------------------------------------------


def cudnn_batch_norm(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    training: bool,
    exponential_average_factor: float,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`native_batch_norm` under the name that PyTorch calls where cuDNN is enabled, and an empty reserve."""
    out, mean, scale = batch_norm.native_batch_norm(
        input, weight, bias, running_mean, running_var, training, exponential_average_factor, epsilon
    )
    return out, mean, scale, torch.empty((0,), dtype=torch.uint8, device=input.device)


def cudnn_batch_norm_backward(
    input: torch.Tensor,
    grad_output: torch.Tensor,
    weight: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    save_mean: torch.Tensor | None,
    save_var: torch.Tensor | None,
    epsilon: float,
    reserveSpace: torch.Tensor,
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of input, weight and bias in training; `save_var` is 1 / standard deviation, as PyTorch's."""
    return batch_norm.native_batch_norm_backward(
        grad_output,
        input,
        weight,
        running_mean,
        running_var,
        save_mean,
        save_var,
        True,
        epsilon,
        (True, True, True),
    )


# ---- the table ------------------------------------------------------------------------------------


class Served(NamedTuple):
    """The operator of the library that an overload belongs to, and the function that serves it."""

    operator: str
    function: Function


SERVED: dict[str, Served] = {
    "_scaled_dot_product_flash_attention": Served("attention", flash_attention),
    "_scaled_dot_product_flash_attention_backward": Served("attention", flash_attention_backward),
    "_scaled_dot_product_efficient_attention": Served("attention", efficient_attention),
    "_scaled_dot_product_efficient_attention_backward": Served("attention", efficient_attention_backward),
    "_scaled_dot_product_cudnn_attention": Served("attention", cudnn_attention),
    "_scaled_dot_product_cudnn_attention_backward": Served("attention", cudnn_attention_backward),
    "cudnn_batch_norm": Served("batch_norm", cudnn_batch_norm),
    "cudnn_batch_norm_backward": Served("batch_norm", cudnn_batch_norm_backward),
}
"""Overloads with a kernel on accelerators and none on the CPU -> what serves them."""


@functools.cache
def composed(name: str, key: str) -> Function | None:
    """PyTorch's definition of an overload by others, which are served in their turn, where it has a kernel
    for an accelerator's dispatch key and none for the CPU (`_foreach_add_.List`); None where it has no
    such."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    if key == "CPU" or has(f"aten::{name}", "CPU"):
        return None
    if not any(has(f"aten::{name}", k) for k in ("CompositeExplicitAutograd", "CompositeImplicitAutograd")):
        return None
    keyset = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
    return functools.partial(torch.library.get_kernel(f"aten::{name}", "CPU").call_boxed, keyset)
