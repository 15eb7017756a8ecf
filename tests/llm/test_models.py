"""Models of the transformers library compute the same with fused operators, forward and backward, and when
they generate; what is not served is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from anychip.llm.models import fuse
from anychip.ops.errors import ArgumentError
from anychip.ops.launching import launch_counts

transformers = pytest.importorskip("transformers")

TINY: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
LLAMA = ("LlamaConfig", "LlamaForCausalLM", {})
QWEN = (
    "Qwen3Config",
    "Qwen3ForCausalLM",
    {"use_sliding_window": True, "sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"]},
)


def pair(kind: tuple[str, str, dict[str, Any]]) -> tuple[Any, Any]:
    """A model in float64, and the same with fused operators in float32."""
    configuration, name, extra = kind
    torch.manual_seed(1)
    config = getattr(transformers, configuration)(**TINY, **extra, attn_implementation="sdpa")
    model = getattr(transformers, name)(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    ours = copy.deepcopy(model)
    found = fuse(ours)
    norms = 5 + 4 * (name == "Qwen3ForCausalLM")
    assert found == {"norm": norms, "gated": 2, "attention": 2, "loss": 1}
    return model.double(), ours


@pytest.mark.parametrize("kind", [LLAMA, QWEN], ids=["llama", "qwen3"])
def test_forward_and_gradients_are_equal(kind: tuple[str, str, dict[str, Any]]) -> None:
    model, ours = pair(kind)
    tokens = torch.randint(0, 61, (2, 11), generator=torch.Generator().manual_seed(2))
    labels = tokens.clone()
    labels[0, :4] = -100
    expected = model(tokens, labels=labels)
    before = launch_counts.copy()
    actual = ours(tokens, labels=labels)
    ran = launch_counts - before
    for kernel in ("rms_norm", "gated", "flash", "cross_entropy"):
        assert any(name.startswith(f"{kernel}_kernel") for name in ran), kernel
    torch.testing.assert_close(actual.logits.double(), expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(actual.loss.double(), expected.loss.double(), rtol=1e-5, atol=1e-5)
    expected.loss.backward()
    actual.loss.backward()
    for (name, theirs), mine in zip(model.named_parameters(), ours.parameters(), strict=True):
        assert mine.grad is not None, name
        torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_generation_goes_on_from_the_cache() -> None:
    model, ours = pair(LLAMA)
    prompt = torch.randint(0, 61, (1, 5), generator=torch.Generator().manual_seed(3))
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(model.generate(prompt, **settings), ours.generate(prompt, **settings))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [LLAMA, QWEN], ids=["llama", "qwen3"])
def test_padding_on_either_side(kind: tuple[str, str, dict[str, Any]], side: str) -> None:
    model, ours = pair(kind)
    tokens = torch.randint(0, 61, (2, 9), generator=torch.Generator().manual_seed(4))
    mask = torch.ones_like(tokens)
    mask[1, slice(0, 3) if side == "left" else slice(6, 9)] = 0
    expected, actual = (x(tokens, attention_mask=mask).logits[mask.bool()] for x in (model, ours))
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_batches_are_generated_with_padding_and_every_cache(cache: str) -> None:
    model, ours = pair(QWEN)
    prompt = torch.randint(0, 61, (2, 7), generator=torch.Generator().manual_seed(5))
    mask = torch.ones_like(prompt)
    mask[0, :3] = 0
    settings = {
        "max_new_tokens": 5,
        "do_sample": False,
        "pad_token_id": 0,
        "cache_implementation": cache,
        "attention_mask": mask,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    expected, actual = model.generate(prompt, **settings), ours.generate(prompt, **settings)
    assert torch.equal(expected.sequences, actual.sequences)
    for theirs, mine in zip(expected.logits, actual.logits, strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=1e-4, atol=1e-4)


def test_what_is_not_known_is_refused() -> None:
    _, ours = pair(LLAMA)
    tokens = torch.zeros((1, 4), dtype=torch.int64)
    starts = torch.tensor([0, 4])
    with pytest.raises(ArgumentError, match="keyword 'cu_seq_lens_q'"):
        ours(tokens, cu_seq_lens_q=starts)
    with pytest.raises(ArgumentError, match="keyword 'class_weights'"):
        ours.loss_function(torch.zeros(1, 4, 61), tokens, vocab_size=61, class_weights=starts)
    config = ours.config
    config.attention_dropout = 0.5
    with pytest.raises(ArgumentError, match=r"dropout of 0\.5"):
        fuse(transformers.LlamaForCausalLM(config))


def test_a_copy_computes_with_its_own_weights() -> None:
    _, ours = pair(LLAMA)
    tokens = torch.arange(4)[None]
    expected = ours(tokens).logits
    other = copy.deepcopy(ours)
    for parameter in ours.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(other(tokens).logits, expected)


def test_a_layer_that_only_looks_alike_is_left_alone() -> None:
    class HalvingRMSNorm(transformers.models.llama.modeling_llama.LlamaRMSNorm):
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states) / 2

    class OtherRMSNorm(transformers.models.llama.modeling_llama.LlamaRMSNorm):
        def forward(self, hidden_states: torch.Tensor, gate: Any = None) -> torch.Tensor:
            return super().forward(hidden_states)

    known = transformers.models.llama.modeling_llama.LlamaRMSNorm(8)
    assert fuse(torch.nn.Sequential(HalvingRMSNorm(8), OtherRMSNorm(8), known)) == {"norm": 1}
    hooked = transformers.models.llama.modeling_llama.LlamaRMSNorm(8)
    hooked.forward = lambda hidden_states: hidden_states
    with pytest.raises(ArgumentError, match="already replaced"):
        fuse(hooked)


def test_a_model_without_known_parts_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Linear has neither"):
        fuse(torch.nn.Linear(2, 2))
