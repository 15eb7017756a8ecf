"""Small random models of the transformers library, and GGUF files of them written by the `gguf` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

VOCABULARY = 288
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "initializer_range": 0.3,
}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
LATENT: dict[str, Any] = {
    "head_dim": 8,
    "num_key_value_heads": 4,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 32,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {**ROPE, "tie_word_embeddings": True},
    "qwen2": {**ROPE, "tie_word_embeddings": False, "use_sliding_window": False},
    "qwen3": {**ROPE, "tie_word_embeddings": True},
    "mistral": {**ROPE, "sliding_window": 7},
    "gemma3_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 5,
        "query_pre_attn_scalar": 16,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "phi3": {
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        }
    },
    "mixtral": {**ROPE, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "qwen3_moe": {
        **ROPE,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
        "mlp_only_layers": [],
    },
    "gpt_oss": {
        **ROPE,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 5,
    },
    "deepseek_v3": {
        **ROPE,
        **LATENT,
        "q_lora_rank": 32,
        "n_group": 2,
        "topk_group": 1,
    },
    "deepseek_v2": {**ROPE, **LATENT, "q_lora_rank": None, "topk_method": "greedy"},
}
"""The library's model types, and what their configurations have besides SHAPE."""
ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma3_text": "gemma3",
    "phi3": "phi3",
    "mixtral": "llama",
    "qwen3_moe": "qwen3moe",
}
"""Model types that GGUF files have, and under which name."""


def model_of(kind: str, **changes: Any) -> Any:
    """Random weights, norms and biases among them; `changes` of the configuration."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, **{**SHAPE, **MODELS[kind], **changes})
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def write_gguf(model: Any, path: Path, quantised: str = "") -> None:
    """The model as llama.cpp's converter writes it, matrices of type `quantised` where that is given."""
    import gguf  # pyright: ignore[reportMissingImports] (an extra)

    config = model.config
    name = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.model_type in ("mixtral", "qwen3_moe"):
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if config.model_type == "qwen3_moe":
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if config.model_type == "gemma3_text":
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_freq_base(1e6)
    else:
        writer.add_rope_freq_base(10000.0)
        partial = config.rope_parameters.get("partial_rotary_factor", 1.0)
        writer.add_rope_dimension_count(int(config.head_dim * partial))
    words = _words()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([3, 3] + [1] * (len(words) - 2))
    writer.add_token_merges(["h e", "l l", "he ll", "hell o"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for m in messages %}<s>{{ m['content'] }}{% endfor %}</s>")
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == name)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tied = getattr(config, "tie_word_embeddings", False)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and tied:
            continue
        for stored, part in _parts(names, key, _converted(name, key, tensor, config)):
            numbers = part.float().numpy()
            if quantised and numbers.ndim >= 2 and "ffn_gate_inp" not in stored:
                kind = gguf.GGMLQuantizationType[quantised]
                writer.add_tensor(stored, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
            else:
                writer.add_tensor(stored, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _parts(names: Any, key: str, tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The tensors of a file that one of the model is stored as: experts' gates and others apart."""
    if key.endswith("experts.gate_up_proj"):
        block = f"blk.{key.split('.')[2]}"
        gate, up = tensor.chunk(2, 1)
        return [(f"{block}.ffn_gate_exps.weight", gate), (f"{block}.ffn_up_exps.weight", up)]
    if key.endswith("experts.down_proj"):
        return [(f"blk.{key.split('.')[2]}.ffn_down_exps.weight", tensor)]
    stored = names.get_name(key, try_suffixes=(".weight", ".bias"))
    assert stored is not None, key
    return [(stored, tensor)]


def _converted(name: str, key: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """As the converter changes tensors: pairs of Llama's heads, and Gemma's norms."""
    if name == "llama" and ("q_proj" in key or "k_proj" in key):
        heads = config.num_attention_heads if "q_proj" in key else config.num_key_value_heads
        return tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
    return tensor + 1.0 if name == "gemma3" and "norm" in key else tensor


def _words() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<s>", "</s>", *sorted(ByteLevel.alphabet()), "he", "ll", "hell", "hello"]
    return words + [f"<unused{k}>" for k in range(VOCABULARY - len(words))]


def as_float64(model: Any, tokens: list[int]) -> np.ndarray:
    """The library's own logits in float64 with its plain attention."""
    wide = model.double()
    wide.set_attn_implementation("eager")
    if hasattr(wide, "set_experts_implementation"):
        wide.set_experts_implementation("eager")
    with torch.no_grad():
        return wide(torch.tensor([tokens])).logits[0].numpy()
