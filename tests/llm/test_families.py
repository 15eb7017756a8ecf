"""Families of models of the transformers library give with fused operators what they give without: batches
padded on the left and on the right, every kind of cache, windows that slide, prompts that go on, packed
sequences. Slow: each family compiles kernels of its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from anychip.llm.models import fuse
from anychip.ops.launching import launch_counts

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

TINY: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": None,
    "bos_token_id": 1,
}
MIXED = {"layer_types": ["full_attention", "sliding_attention"], "sliding_window": 5}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 5},
    "Qwen2": {"use_sliding_window": True, **MIXED},
    "Qwen3": {"use_sliding_window": True, **MIXED},
    "Gemma2": {"query_pre_attn_scalar": 8, **MIXED},
    "Gemma3": {"query_pre_attn_scalar": 8, **MIXED},
    "Phi3": {"sliding_window": 5},
    "Mixtral": EXPERTS,
    "Qwen3Moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    "GptOss": {**EXPERTS, **MIXED},
    "Olmo2": {},
    "Granite": {},
    "Cohere": {},
}
"""What a family's tiny configuration has besides TINY's. Gemma's scores are capped, GPT-OSS has sinks."""


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A model in float64, and the same with fused operators in float32."""
    family = request.param
    kind = "Gemma3TextConfig" if family == "Gemma3" else f"{family}Config"
    torch.manual_seed(1)
    plain = "eager" if family in ("Gemma2", "GptOss") else "sdpa"
    config = getattr(transformers, kind)(**TINY, **FAMILIES[family], attn_implementation=plain)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    ours = copy.deepcopy(model)
    found = fuse(ours)
    assert found["attention"] == 2
    assert found["loss"] == 1
    return model, ours


def same(expected: torch.Tensor, actual: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def prompts(rows: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randint(2, 61, (rows, length), generator=torch.Generator().manual_seed(3))


def test_batches_with_padding_on_either_side(pair: tuple[Any, Any]) -> None:
    tokens = prompts()
    for hidden in (slice(0, 3), slice(7, 9)):
        mask = torch.ones_like(tokens)
        mask[1, hidden] = 0
        before = launch_counts.copy()
        expected, actual = (model(tokens, attention_mask=mask).logits[mask.bool()] for model in pair)
        assert any(name.startswith("flash_kernel") for name in launch_counts - before)
        same(expected, actual)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generation_with_caches(pair: tuple[Any, Any], cache: str) -> None:
    tokens = prompts()
    mask = torch.ones_like(tokens)
    mask[0, :4] = 0
    settings = {
        "max_new_tokens": 8,
        "do_sample": False,
        "cache_implementation": cache,
        "attention_mask": mask,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    expected, actual = (model.generate(tokens, **settings) for model in pair)
    assert torch.equal(expected.sequences, actual.sequences)
    for theirs, mine in zip(expected.logits, actual.logits, strict=True):
        same(theirs, mine)


def test_a_prompt_goes_on_from_a_cache(pair: tuple[Any, Any]) -> None:
    """Several tokens after several that a cache holds, as in chat and in speculative decoding."""
    tokens = prompts(1, 12)
    results = []
    for model in pair:
        cache = transformers.DynamicCache(config=model.config)
        parts = [model(tokens[:, :7], past_key_values=cache).logits]
        parts += [model(tokens[:, 7:11], past_key_values=cache).logits]
        parts += [model(tokens[:, 11:], past_key_values=cache).logits]
        results.append(torch.cat(parts, 1))
    same(*results)
    same(pair[0](tokens).logits, results[1])


def test_packed_sequences(pair: tuple[Any, Any]) -> None:
    tokens = prompts(1, 12)
    positions = torch.tensor([[*range(5), *range(7)]])
    expected, actual = (model(tokens, position_ids=positions, use_cache=False).logits for model in pair)
    same(expected, actual)


def test_beams(pair: tuple[Any, Any]) -> None:
    settings = {"max_new_tokens": 4, "num_beams": 3, "do_sample": False}
    expected, actual = (model.generate(prompts(1), **settings) for model in pair)
    assert torch.equal(expected, actual)
