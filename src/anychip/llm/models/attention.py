"""Attention and masks under one name in the tables that the transformers library offers to others
(`AttentionInterface`, `AttentionMaskInterface`). Flows in: what any of its attention layers hands to an
attention function, after rotation and after the cache. Flows out: the weighted values."""

from __future__ import annotations

from typing import Any

import torch

from ...ops.errors import ArgumentError
from ..attention.flash import flash_attention
from .keywords import refuse_unknown

IMPLEMENTATION = "anychip"
"""Under which name the library knows this attention and its masks."""
WITHOUT_STATE = frozenset(
    {
        "position_ids",
        "cache_position",
        "use_cache",
        "output_hidden_states",
        "output_router_logits",
        "num_items_in_batch",
        "return_dict",
        "logits_to_keep",
        "deterministic",
    }
)
"""Keywords that attention may ignore: positions are in the rotation and in the mask already."""
KNOWN_MASK = "_anychip_window"


def register() -> None:
    """Tell transformers this attention's name, and who makes its masks."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, mask)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers: tensors are [batch, heads, tokens, width], the result is
    [batch, tokens, heads, width].

    As with the library's `sdpa`, a mask says everything, windows too (`sliding_window` is in it), and without
    one several queries are causal from the first key on. Raises ArgumentError for what would change the
    result and is not known.
    """
    name = f"attention of {type(module).__name__}"
    refuse_unknown(name, keywords, WITHOUT_STATE)
    if dropout:
        raise ArgumentError(f"{name}: dropout of {dropout} is not served; set attention_dropout to 0")
    queries = query.shape[2]
    window, causal = -1, False
    if attention_mask is not None:
        attention_mask = attention_mask[..., : key.shape[2]]
        known = None if position_bias is not None else _known_window(attention_mask)
        if known is not None:
            attention_mask, causal, window = None, True, known
    elif queries > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        key, value, causal = key[:, :, :queries], value[:, :, :queries], True
        position_bias = None if position_bias is None else position_bias[..., :queries]
    if position_bias is not None:
        attention_mask = _with_bias(name, attention_mask, position_bias)
    out = flash_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        causal,
        (window, -1),
        soft_cap=softcap or 0.0,
        scale=scaling,
        sinks=s_aux,
        mask=attention_mask,
    )
    return out, None


def _with_bias(name: str, given: torch.Tensor | None, bias: torch.Tensor) -> torch.Tensor:
    if bias.requires_grad:
        raise ArgumentError(
            f"{name}: a position bias that is learned is not served; use another implementation for training"
        )
    if given is None:
        return bias
    return bias.masked_fill(~given, float("-inf")) if given.dtype is torch.bool else bias + given


def mask(*arguments: Any, **keywords: Any) -> torch.Tensor | None:
    """A mask function of transformers: the library's own for `sdpa`. Where the result is causality with or
    without the window of `local_size`, ending at the last key, it is marked, and attention need not read it.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    made = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](*arguments, **keywords)
    if made is None or torch.compiler.is_compiling() or made.ndim != 4 or made.dtype is not torch.bool:
        return made
    queries, keys = made.shape[-2:]
    distance = torch.arange(keys, device=made.device) - (
        torch.arange(queries, device=made.device)[:, None] + (keys - queries)
    )
    size = keywords.get("local_size")
    for window in [-1] if size is None else [-1, size - 1]:
        seen = distance <= 0 if window < 0 else (distance <= 0) & (distance >= -window)
        if bool((made == seen).all()):
            setattr(made, KNOWN_MASK, (window, _version(made)))
            break
    return made


def _known_window(given: torch.Tensor) -> int | None:
    window, version = getattr(given, KNOWN_MASK, (None, None))
    return window if version == _version(given) else None


def _version(x: torch.Tensor) -> int:
    """How often it was written to; tensors of inference mode do not count."""
    return -1 if x.is_inference() else x._version
