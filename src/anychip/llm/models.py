"""Models of the transformers library on this room's operators: norms, rotary embedding, SwiGLU, attention and
the loss of one model are replaced in place, its parameters and its interface stay. Flows in: a model that is
built like Llama (Llama, Mistral, Qwen2, Qwen3 and others). Flows out: the same model, and what was
replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

from ..ops.errors import ArgumentError
from .activation.gated import Gated, silu
from .attention.flash import flash_attention
from .loss.cross_entropy import cross_entropy
from .normalization.rms_norm import rms_norm
from .position.rotary import rotary_embedding

IMPLEMENTATION = "anychip"
"""Under which name the library knows this attention, so that it makes no mask where causality is all."""
IGNORED = -100


def fuse(model: torch.nn.Module) -> Counter[str]:
    """Replace what this room has operators for, in place; how many modules of each kind were.

    The model is one of transformers' causal language models with RMS norms, rotary embedding of halves,
    SwiGLU and grouped heads. Padding is not served: pack sequences, or give one length. Raises ArgumentError
    if nothing in the model is known, or for dropout inside attention.
    """
    found: Counter[str] = Counter()
    patched: Any = model
    for module in model.modules():
        for kind, known, replacement in KINDS:
            if known(module):
                module.forward = replacement(module)
                found[kind] += 1
    if not found:
        raise ArgumentError(
            f"fuse: {type(model).__name__} has neither norms, gated layers nor attention that are known here"
        )
    if found["attention"] and hasattr(model, "set_attn_implementation"):
        _announce()
        patched.set_attn_implementation(IMPLEMENTATION)
    if hasattr(model, "loss_function"):
        patched.loss_function = causal_loss
        found["loss"] += 1
    return found


# ---- norms and feed-forward layers ----------------------------------------------------------------


def _is_norm(module: torch.nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and _has(module, "weight", "variance_epsilon")


def _norm(module: Any) -> Callable[..., torch.Tensor]:
    def forward(hidden_states: torch.Tensor) -> torch.Tensor:
        return rms_norm(hidden_states, module.weight, module.variance_epsilon)

    return forward


def _is_gated(module: torch.nn.Module) -> bool:
    if not _has(module, "gate_proj", "up_proj", "down_proj", "act_fn"):
        return False
    return "SiLU" in type(module.act_fn).__name__


def _gated(module: Any) -> Callable[..., torch.Tensor]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return module.down_proj(Gated.apply(module.gate_proj(x), module.up_proj(x), silu))

    return forward


# ---- attention ------------------------------------------------------------------------------------


def _is_attention(module: torch.nn.Module) -> bool:
    return _has(module, "q_proj", "k_proj", "v_proj", "o_proj", "head_dim", "scaling", "layer_idx")


def _attention(module: Any) -> Callable[..., tuple[torch.Tensor, None]]:
    """Tokens stay before heads, as projections give them, except in the cache."""
    if module.attention_dropout:
        raise ArgumentError(f"fuse: dropout of {module.attention_dropout} inside attention is not served")

    def forward(
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        if attention_mask is not None:
            raise ArgumentError(
                f"attention of {type(module).__name__}: a mask of shape {tuple(attention_mask.shape)} is not "
                f"served beside causality; leave padding out of the batch"
            )
        lead = hidden_states.shape[:-1]
        shape = (*lead, -1, module.head_dim)
        query, key, value = (
            projection(hidden_states).view(shape)
            for projection in (module.q_proj, module.k_proj, module.v_proj)
        )
        if hasattr(module, "q_norm"):
            query, key = module.q_norm(query), module.k_norm(key)
        query, key = _rotated(query, key, *position_embeddings)
        if past_key_values is not None:
            key, value = _remembered(module, key, value, past_key_values)
        width = getattr(module, "sliding_window", None)
        window = (-1 if width is None else width - 1, -1)
        out = flash_attention(query, key, value, True, window, scale=module.scaling)
        return module.o_proj(out.reshape(*lead, -1)), None

    return forward


def _rotated(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables come for each token, [batch or 1, tokens, width], both halves alike."""
    batch, tokens = query.shape[:2]
    half = cos.shape[-1] // 2
    cosines, sines = (x[..., :half].reshape(-1, half) for x in (cos, sin))
    positions = torch.arange(cos.shape[0] * tokens, device=query.device).view(-1, tokens)
    turned = rotary_embedding(query, key, cosines, sines, positions.expand(batch, tokens))
    return turned[0], key if turned[1] is None else turned[1]


def _remembered(
    module: Any, key: torch.Tensor, value: torch.Tensor, cache: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """All keys and values so far, tokens before heads; the cache keeps heads before tokens."""
    key, value = cache.update(key.transpose(1, 2), value.transpose(1, 2), module.layer_idx)
    if key.shape[2] > cache.get_seq_length(module.layer_idx):
        raise ArgumentError(
            f"attention of {type(module).__name__}: a cache of fixed size gives {key.shape[2]} keys, more "
            f"than it has; use a DynamicCache"
        )
    return key.transpose(1, 2), value.transpose(1, 2)


def _announce() -> None:
    """Tell transformers this attention's name, and that its masks are flash attention's: none if causal."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, flash_attention_mask

    AttentionInterface.register(IMPLEMENTATION, _unreachable)
    AttentionMaskInterface.register(IMPLEMENTATION, flash_attention_mask)


def _unreachable(module: torch.nn.Module, *arguments: Any, **keywords: Any) -> tuple[torch.Tensor, None]:
    raise ArgumentError(
        f"{type(module).__name__} is not an attention that fuse() knows; use another implementation for it"
    )


# ---- loss -----------------------------------------------------------------------------------------


def causal_loss(
    logits: torch.Tensor, labels: torch.Tensor | None, vocab_size: int, num_items_in_batch: Any = None,
    ignore_index: int = IGNORED, shift_labels: torch.Tensor | None = None, **keywords: Any,
) -> torch.Tensor:  # fmt: skip
    """Cross entropy of each token's logits with the next label, as transformers defines it: the mean over
    labels that are not `ignore_index`, or their sum over `num_items_in_batch`."""
    if shift_labels is None:
        assert labels is not None
        shift_labels = labels.new_full(labels.shape, ignore_index)
        shift_labels[..., :-1] = labels[..., 1:]
    reduction = "mean" if num_items_in_batch is None else "sum"
    loss = cross_entropy(
        logits.reshape(-1, vocab_size), shift_labels.reshape(-1), ignore_index=ignore_index,
        reduction=reduction,
    )  # fmt: skip
    return loss if num_items_in_batch is None else loss / num_items_in_batch


def _has(module: torch.nn.Module, *names: str) -> bool:
    return all(hasattr(module, name) for name in names)


KINDS: tuple[tuple[str, Callable[[torch.nn.Module], bool], Callable[[Any], Callable[..., Any]]], ...] = (
    ("norm", _is_norm, _norm),
    ("gated", _is_gated, _gated),
    ("attention", _is_attention, _attention),
)
"""Kind of module, whether one is of it, and its new forward."""
