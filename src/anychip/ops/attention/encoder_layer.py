"""What PyTorch's fast path of nn.MultiheadAttention and nn.TransformerEncoderLayer calls in evaluation:
_transform_bias_rescale_qkv, _native_multi_head_attention and _transformer_encoder_layer_fwd, made of the
library's matrix products, softmax, activations and normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import triton

from ..activation.gelu import gelu
from ..activation.rectifier import relu
from ..errors import ArgumentError, NotServed
from ..linalg.matmul import TILES, matmul_kernel, product
from ..memory.copy import COPY
from ..normalization.layer_norm import native_layer_norm
from ..normalization.masked_softmax import masked_softmax
from ..normalization.softmax import softmax
from ..pointwise import Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduce.sums import mean_over
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def biased_and_scaled(x, bias, scale):
    """(x + bias) scale."""
    return (x + bias) * scale


@triton.jit
def plus_residual(x, y):
    """The sum of a layer's result and its input."""
    return x + y


BIASED = Pointwise(biased_and_scaled)
RESIDUAL = Pointwise(plus_residual)

# ---- operators ------------------------------------------------------------------------------------


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x @ weight.t() + bias over the last dimension of a contiguous x."""
    rows = x.reshape(1, -1, x.shape[-1])
    result = product(rows, weight.t()[None], bias, operator="linear")
    return result.view(*x.shape[:-1], weight.shape[0])


def _heads(x: torch.Tensor, bias: torch.Tensor, heads: int, scale: float) -> torch.Tensor:
    """[batch, length, width] with its bias, scaled, as contiguous [batch, heads, length, width / heads]."""
    batch, length, width = x.shape
    split = x.reshape(batch, length, heads, width // heads).transpose(1, 2)
    out = torch.empty(split.shape, dtype=x.dtype, device=x.device)
    return BIASED(split, bias.view(heads, 1, width // heads), scale, out=out)


def transform_bias_rescale_qkv(
    qkv: torch.Tensor, qkv_bias: torch.Tensor, num_heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries divided by the root of a head's width, keys and values, each [batch, heads, length, width],
    from [batch, length, 3 heads width]."""
    if qkv.dtype not in FLOATING:
        raise NotServed("_transform_bias_rescale_qkv", f"dtype {qkv.dtype} is not served")
    width = qkv.shape[2] // 3
    if width * 3 != qkv.shape[2] or width % num_heads:
        raise ArgumentError(
            f"_transform_bias_rescale_qkv: a width of {qkv.shape[2]} is not three times {num_heads} heads"
        )
    scale = 1.0 / math.sqrt(width / num_heads)
    parts = zip(qkv.split(width, 2), qkv_bias.split(width), (scale, 1.0, 1.0), strict=True)
    query, key, value = (_heads(x, bias, num_heads, factor) for x, bias, factor in parts)
    return query, key, value


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    mask_type: int | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(context [batch, length, heads width], weights) of scaled queries, keys and values."""
    batch, heads, length, width = query.shape
    flat = [x.view(batch * heads, -1, width) for x in (query, key, value)]
    scores = product(flat[0], flat[1].transpose(1, 2)).view(batch, heads, length, -1)
    if mask is not None and mask.dtype != torch.bool:
        mask = COPY(mask, out=torch.empty(mask.shape, dtype=torch.bool, device=mask.device))
    if mask is None:
        weights = softmax(scores, 3, False)
    else:
        weights = masked_softmax(scores, mask, 3, mask_type)
    mixed = product(weights.view(batch * heads, length, -1), flat[2])
    mixed = mixed.view(batch, heads, length, width).transpose(1, 2)
    context = COPY(mixed, out=torch.empty(mixed.shape, dtype=query.dtype, device=query.device))
    return context.view(batch, length, heads * width), weights


def native_multi_head_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    proj_weight: torch.Tensor,
    proj_bias: torch.Tensor,
    mask: torch.Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(attention [batch, length, embed_dim], weights if they are needed)."""
    name = "_native_multi_head_attention"
    if query.dtype not in FLOATING or query.is_nested:
        raise NotServed(name, f"a nested tensor or dtype {query.dtype} is not served")
    if query.ndim != 3 or query.shape[2] != embed_dim:
        raise ArgumentError(f"{name}: expected [batch, length, {embed_dim}], but got {list(query.shape)}")
    if embed_dim % num_head:
        raise ArgumentError(f"{name}: {embed_dim} embed_dim does not divide evenly by {num_head} heads")
    scale = 1.0 / math.sqrt(embed_dim / num_head)
    weights, biases = qkv_weight.split(embed_dim), qkv_bias.split(embed_dim)
    if _same(query, key) and _same(key, value):
        heads = transform_bias_rescale_qkv(_linear(query, qkv_weight, None), qkv_bias, num_head)
    else:
        parts = zip((query, key, value), weights, biases, (scale, 1.0, 1.0), strict=True)
        heads = [_heads(_linear(x, w, None), b, num_head, factor) for x, w, b, factor in parts]
    context, scores = _attention(heads[0], heads[1], heads[2], mask, mask_type)
    result = _linear(context, proj_weight, proj_bias)
    if not need_weights:
        return result, None
    return result, mean_over(scores, [1]) if average_attn_weights else scores


def _same(x: torch.Tensor, y: torch.Tensor) -> bool:
    return x.data_ptr() == y.data_ptr() and x.shape == y.shape and x.stride() == y.stride()


def transformer_encoder_layer(
    src: torch.Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    proj_weight: torch.Tensor,
    proj_bias: torch.Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: torch.Tensor,
    norm_bias_1: torch.Tensor,
    norm_weight_2: torch.Tensor,
    norm_bias_2: torch.Tensor,
    ffn_weight_1: torch.Tensor,
    ffn_bias_1: torch.Tensor,
    ffn_weight_2: torch.Tensor,
    ffn_bias_2: torch.Tensor,
    mask: torch.Tensor | None = None,
    mask_type: int | None = None,
) -> torch.Tensor:
    """One encoder layer: self-attention and a feed-forward net, each with its residual and normalisation
    (before it if `norm_first`, else after)."""
    if src.dtype not in FLOATING or src.is_nested:
        raise NotServed("_transformer_encoder_layer_fwd", f"a nested tensor or {src.dtype} is not served")
    first, second = (norm_weight_1, norm_bias_1, eps), (norm_weight_2, norm_bias_2, eps)
    x = native_layer_norm(src, (embed_dim,), *first)[0] if norm_first else src
    attended, _ = native_multi_head_attention(
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
    x = RESIDUAL(attended, src)
    if not norm_first:
        x = native_layer_norm(x, (embed_dim,), *first)[0]
    inner = native_layer_norm(x, (embed_dim,), *second)[0] if norm_first else x
    inner = _linear(inner, ffn_weight_1, ffn_bias_1)
    inner = gelu(inner) if use_gelu else relu(inner)
    x = RESIDUAL(_linear(inner, ffn_weight_2, ffn_bias_2), x)
    return x if norm_first else native_layer_norm(x, (embed_dim,), *second)[0]


# ---- record ---------------------------------------------------------------------------------------


def _projections(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 3, 24), dtype), tensor((24,), dtype, seed=1), 2))


def _weights(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    shapes = ((24, 8), (24,), (8, 8), (8,))
    return tuple(tensor(shape, dtype, -1, 1, seed=k) for k, shape in enumerate(shapes))


def _attentions(dtype: torch.dtype) -> Iterable[Sample]:
    x, y = tensor((2, 3, 8), dtype, -1, 1), tensor((2, 3, 8), dtype, -1, 1, seed=1)
    yield Sample((x, x, x, 8, 2, *_weights(dtype), None, True, True))
    hidden = torch.tensor([[False, False, True], [False, True, False]])
    yield Sample((x, x, x, 8, 4, *_weights(dtype), hidden, True, False, 1))
    yield Sample((x, y, y, 8, 2, *_weights(dtype), None, True, True))


def _layers(dtype: torch.dtype) -> Iterable[Sample]:
    shapes = ((8,), (8,), (8,), (8,), (12, 8), (12,), (8, 12), (8,))
    rest = [tensor(shape, dtype, -1, 1, seed=k + 4) for k, shape in enumerate(shapes)]
    x = tensor((2, 3, 8), dtype, -1, 1)
    for gelus, first in ((True, False), (False, True)):
        yield Sample((x, 8, 2, *_weights(dtype), gelus, first, 1e-5, *rest))


register(
    Operator(
        name="transformer_encoder_layer",
        overloads=(
            Overload(
                "_transform_bias_rescale_qkv", transform_bias_rescale_qkv, _projections, takes_out=False
            ),
            Overload(
                "_native_multi_head_attention", native_multi_head_attention, _attentions, takes_out=False
            ),
            Overload("_transformer_encoder_layer_fwd", transformer_encoder_layer, _layers, takes_out=False),
        ),
        kernels=(matmul_kernel, flat_kernel, tiled_kernel),
        dtypes=(torch.float32, torch.float64),
        differentiable=False,
        tiles=TILES,
        tolerance=8.0,
    )
)
