"""Architectures of GGUF files as data: which configuration of the transformers library each one is, and under
which names it has the weights. Flows in: a file's metadata. Flows out: a configuration, and the tensors that
a module of the model is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import ModelError
from .gguf_file import GgufFile


@dataclass(frozen=True, slots=True)
class Architecture:
    """`model_type` is the library's name. `names` maps modules of a layer to tensors of a block, over those
    of LAYER; `interleaved`: pairs of a head's elements that are turned together are neighbours in the file,
    and halves in the library. `shifted_norms`: the file's weights of norms are larger by 1. `more` makes
    further values of the configuration."""

    model_type: str
    names: dict[str, str] = field(default_factory=dict[str, str])
    interleaved: bool = False
    shifted_norms: bool = False
    more: Callable[[GgufFile, str], dict[str, Any]] = lambda file, prefix: {}


LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}
"""Modules of a decoder layer -> tensors of a block, in most architectures."""

EXPERTS = {"gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "down_proj": ("ffn_down_exps",)}
"""Matrices of a layer's experts -> tensors of a block, which have those of all experts."""


def _gemma3(file: GgufFile, prefix: str) -> dict[str, Any]:
    width = file.value(f"{prefix}.attention.key_length")
    return {
        "query_pre_attn_scalar": width,
        "sliding_window": file.value(f"{prefix}.attention.sliding_window"),
        "rope_parameters": {
            "full_attention": {
                "rope_type": "default",
                "rope_theta": file.value(f"{prefix}.rope.freq_base", 1e6),
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    }


def _phi3(file: GgufFile, prefix: str) -> dict[str, Any]:
    if any(name.startswith("rope_factors") for name in file.tensors):
        raise ModelError(
            f"{file.path}: factors that lengthen the context (rope_factors_*) are not served.",
            "Serve the model's variant with a context of 4,096 tokens.",
        )
    return {"sliding_window": file.value(f"{prefix}.attention.sliding_window", 1 << 30)}


def _qwen2(file: GgufFile, prefix: str) -> dict[str, Any]:
    return {"use_sliding_window": False}


def _experts_of(file: GgufFile, prefix: str) -> dict[str, Any]:
    count, used = file.value(f"{prefix}.expert_count"), file.value(f"{prefix}.expert_used_count")
    return {"num_local_experts": count, "num_experts_per_tok": used}


def _qwen3_moe(file: GgufFile, prefix: str) -> dict[str, Any]:
    width = file.value(f"{prefix}.expert_feed_forward_length")
    found = _experts_of(file, prefix)
    return {
        **_qwen2(file, prefix),
        "num_experts": found["num_local_experts"],
        "num_experts_per_tok": found["num_experts_per_tok"],
        "moe_intermediate_size": width,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


MIXTRAL = "mixtral"
"""What files call `llama`, with experts."""

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", interleaved=True),
    "qwen2": Architecture("qwen2", more=_qwen2),
    MIXTRAL: Architecture("mixtral", interleaved=True, more=_experts_of),
    "qwen3": Architecture("qwen3", more=_qwen2),
    "qwen3moe": Architecture("qwen3_moe", more=_qwen3_moe),
    "gemma3": Architecture(
        "gemma3_text",
        {
            "post_attention_layernorm": "post_attention_norm",
            "pre_feedforward_layernorm": "ffn_norm",
            "post_feedforward_layernorm": "post_ffw_norm",
        },
        shifted_norms=True,
        more=_gemma3,
    ),
    "phi3": Architecture(
        "phi3", {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}, more=_phi3
    ),
}
"""By the file's `general.architecture`; MIXTRAL besides."""

OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
"""Modules outside of layers -> tensors."""


def architecture_of(file: GgufFile) -> Architecture:
    """Raises ModelError for one that is not served."""
    name = file.value("general.architecture")
    if name not in ARCHITECTURES:
        raise ModelError(
            f"{file.path} holds a model of the architecture {name}, which is not served.",
            f"Served are {', '.join(ARCHITECTURES)}.",
        )
    if name == "llama" and file.value("llama.expert_count", 0):
        return ARCHITECTURES[MIXTRAL]
    return ARCHITECTURES[name]


def configuration_of(file: GgufFile) -> Any:
    """The configuration of the transformers library that the metadata describe. Raises ModelError."""
    from transformers import AutoConfig

    known, prefix = architecture_of(file), file.value("general.architecture")
    if file.value(f"{prefix}.rope.scaling.type", "none") != "none":
        raise ModelError(
            f"{file.path}: positions are scaled ({file.value(f'{prefix}.rope.scaling.type')}), which is not "
            "served."
        )
    heads, hidden = file.value(f"{prefix}.attention.head_count"), file.value(f"{prefix}.embedding_length")
    theta = file.value(f"{prefix}.rope.freq_base", 10000.0)
    width = file.value(f"{prefix}.attention.key_length", hidden // heads)
    turned = file.value(f"{prefix}.rope.dimension_count", width)
    values: dict[str, Any] = {
        "vocab_size": file.tensor("token_embd.weight").shape[0],
        "hidden_size": hidden,
        "intermediate_size": file.value(
            f"{prefix}.feed_forward_length", file.metadata.get(f"{prefix}.expert_feed_forward_length")
        ),
        "num_hidden_layers": file.value(f"{prefix}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": file.value(f"{prefix}.attention.head_count_kv", heads),
        "head_dim": width,
        "max_position_embeddings": file.value(f"{prefix}.context_length"),
        "rms_norm_eps": file.value(f"{prefix}.attention.layer_norm_rms_epsilon"),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": theta,
            **({} if turned == width else {"partial_rotary_factor": turned / width}),
        },
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **known.more(file, prefix),
    }
    return AutoConfig.for_model(known.model_type, **values)


def tensor_name(known: Architecture, module: str) -> str:
    """The tensor of the file for a module of the model, without ".weight" or ".bias"."""
    if module in OUTSIDE:
        return OUTSIDE[module]
    _model, _layers, number, part = module.split(".", 3)
    return f"blk.{number}.{(LAYER | known.names)[part]}"
