"""The fast path of nn.MultiheadAttention and nn.TransformerEncoderLayer in evaluation, taken apart. Inductor
keeps each such operator whole, as one call of PyTorch's kernel, so that nothing of a model made of them
would be ours. Flows in: the arguments of the operator while a graph is traced. Flows out: the same result by
attention, products, norms and activations, which are then fused or served like any others."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from . import precision

KEY_PADDING = 1
"""The type of a mask [batch, keys]; others are [queries, keys], or broadcast to the scores as they are."""

Tensor = torch.Tensor


def _split(x: Tensor, heads: int) -> Tensor:
    """[batch, length, width] as [batch, heads, length, width / heads]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _hidden(mask: Tensor, mask_type: int | None) -> Tensor:
    """A mask that is true where a key is not seen, broadcast to [batch, heads, queries, keys]."""
    hidden = mask.to(torch.bool)
    return hidden[:, None, None, :] if mask_type == KEY_PADDING else hidden


def _weights(query: Tensor, key: Tensor, mask: Tensor | None, mask_type: int | None) -> Tensor:
    """Attention weights [batch, heads, queries, keys] as tensors of their own."""
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(_hidden(mask, mask_type), -math.inf)
    return scores.softmax(-1)


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """aten::_native_multi_head_attention: [batch, length, embed_dim] and, where needed, the weights."""
    if query.is_nested:
        return NotImplemented
    if query is key and key is value:
        parts = functional.linear(query, qkv_weight, qkv_bias).split(embed_dim, -1)
    else:
        weights, biases = qkv_weight.split(embed_dim), qkv_bias.split(embed_dim)
        parts = tuple(map(functional.linear, (query, key, value), weights, biases))
    q, k, v = (_split(x, num_head) for x in parts)
    weights = _weights(q, k, mask, mask_type) if need_weights or mask is not None else None
    mixed = functional.scaled_dot_product_attention(q, k, v) if weights is None else weights @ v
    result = functional.linear(mixed.transpose(1, 2).flatten(2), proj_weight, proj_bias)
    if weights is None or not need_weights:
        return result, None
    return result, weights.mean(1) if average_attn_weights else weights


def transformer_encoder_layer(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """aten::_transformer_encoder_layer_fwd: one encoder layer, [batch, length, embed_dim]."""
    if src.is_nested:
        return NotImplemented
    norm = functools.partial(functional.layer_norm, normalized_shape=(embed_dim,), eps=eps)
    first = functools.partial(norm, weight=norm_weight_1, bias=norm_bias_1)
    second = functools.partial(norm, weight=norm_weight_2, bias=norm_bias_2)
    x = first(src) if norm_first else src
    attended, _ = multi_head_attention(
        x,
        x,
        x,
        embed_dim,
        num_heads,
        qkv_weight,
        qkv_bias,
        proj_weight,
        proj_bias,
        mask,
        False,
        True,
        mask_type,
    )
    x = src + attended
    x = x if norm_first else first(x)
    inner = functional.linear(second(x) if norm_first else x, ffn_weight_1, ffn_bias_1)
    inner = functional.gelu(inner) if use_gelu else functional.relu(inner)
    x = x + functional.linear(inner, ffn_weight_2, ffn_bias_2)
    return x if norm_first else second(x)


class Table(dict[Any, Callable[..., Any]]):
    """A table of decompositions that is pickled as a call of `table`. Inductor pickles it into the key of
    its cache, where operators themselves have no stable form. What is in it follows from the sources and
    settings that the key holds as well."""

    def __reduce__(self) -> tuple[Callable[[], Table], tuple[()]]:
        return table, ()


DECIDING = ("fallback_random", "fallback_embedding_bag_byte_unpack")
"""Inductor's settings on which its table depends."""


def table(settings: Mapping[str, Any] | None = None) -> Table:
    """Inductor's decompositions and these, under `settings` of Inductor that come before the present ones."""
    from torch._inductor import config
    from torch._inductor.decomposition import select_decomp_table

    aten = torch.ops.aten
    with config.patch({name: value for name, value in (settings or {}).items() if name in DECIDING}):
        inductors = select_decomp_table()
    return Table(
        {
            **inductors,
            **precision.table(),
            aten._native_multi_head_attention.default: multi_head_attention,
            aten._transformer_encoder_layer_fwd.default: transformer_encoder_layer,
        }
    )
