"""Models of the transformers library on this room's operators: norms, gated feed-forward layers, attention
and the loss of one model, in place; its parameters and its interface stay. Attention and its masks join
through the library's own tables (`attention.py`), layers by their forward (`layers.py`). Flows in: a causal
language model. Flows out: the same model, and what was replaced."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ..loss.cross_entropy import cross_entropy
from .attention import IMPLEMENTATION, register
from .keywords import refuse_unknown
from .layers import Forward, put, replacement

IGNORED = -100
WITHOUT_STATE = frozenset({"position_ids", "use_cache", "cache_position", "logits_to_keep", "return_dict"})
"""Keywords that reach the loss and do not change it."""


def fuse(model: torch.nn.Module) -> Counter[str]:
    """Replace what this room has operators for, in place; how many modules of each kind were.

    The model is one of transformers' causal language models. Caches of every kind, sliding windows, padding
    on both sides, packed sequences and masks of one's own are served; attention weights are not kept. A
    layer is replaced where its `forward` takes one tensor and both give the same numbers on a trial. Raises
    ArgumentError if nothing in the model is known, for dropout inside attention, for weights that are not
    loaded, and for a `forward` that something else has replaced.
    """
    found: Counter[str] = Counter()
    patched: Any = model
    attentions = [module for module in model.modules() if _is_attention(module)]
    for module in attentions:
        _without_dropout(module)
    if attentions and _join_attention(patched):
        found["attention"] = len(attentions)
    known: dict[tuple[type, str], tuple[str, Forward] | None] = {}
    for module in model.modules():
        alike = type(module), repr(getattr(module, "act_fn", getattr(module, "activation_fn", None)))
        if alike not in known:
            known[alike] = replacement(module)
        made = known[alike]
        if made is not None:
            put(module, made[1])
            found[made[0]] += 1
    if not found:
        raise ArgumentError(
            f"fuse: {type(model).__name__} has neither norms, gated layers nor attention that are known here"
        )
    if _has_causal_loss(patched):
        patched.loss_function = causal_loss
        found["loss"] += 1
    return found


# ---- attention ------------------------------------------------------------------------------------


def _is_attention(module: Any) -> bool:
    return "Attention" in type(module).__name__ and hasattr(module, "is_causal")


def _without_dropout(module: Any) -> None:
    dropout = getattr(module, "attention_dropout", 0.0)
    if dropout:
        raise ArgumentError(f"fuse: dropout of {dropout} inside attention is not served")


def _join_attention(model: Any) -> bool:
    """Choose our attention by name; False for models that take theirs from elsewhere."""
    if not hasattr(model, "set_attn_implementation"):
        return False
    register()
    model.set_attn_implementation(IMPLEMENTATION)
    return model.config._attn_implementation == IMPLEMENTATION


# ---- loss -----------------------------------------------------------------------------------------


def _has_causal_loss(model: Any) -> bool:
    if not hasattr(model, "loss_function"):
        return False
    from transformers.loss.loss_utils import ForCausalLMLoss

    return model.loss_function in (ForCausalLMLoss, causal_loss)


def causal_loss(
    logits: torch.Tensor,
    labels: torch.Tensor | None,
    vocab_size: int,
    num_items_in_batch: Any = None,
    ignore_index: int = IGNORED,
    shift_labels: torch.Tensor | None = None,
    **keywords: Any,
) -> torch.Tensor:
    """Cross entropy of each token's logits with the next label, as transformers defines it: the mean over
    labels that are not `ignore_index`, or their sum over `num_items_in_batch`."""
    refuse_unknown("loss", keywords, WITHOUT_STATE)
    if shift_labels is None:
        assert labels is not None
        shift_labels = labels.new_full(labels.shape, ignore_index)
        shift_labels[..., :-1] = labels[..., 1:]
    reduction = "mean" if num_items_in_batch is None else "sum"
    loss = cross_entropy(
        logits.reshape(-1, vocab_size),
        shift_labels.reshape(-1),
        ignore_index=ignore_index,
        reduction=reduction,
    )
    return loss if num_items_in_batch is None else loss / num_items_in_batch
