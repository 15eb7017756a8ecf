"""Models of the transformers library compute the same with fused operators, forward and backward, and when
they generate; what is not served is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from anychip.llm.models import fuse
from anychip.ops.errors import ArgumentError
from anychip.ops.launch import launches

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
    "Qwen3Config", "Qwen3ForCausalLM",
    {"use_sliding_window": True, "sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"]},
)  # fmt: skip


def pair(kind: tuple[str, str, dict[str, Any]]) -> tuple[Any, Any]:
    """A model with eager attention in float64, and the same with fused operators in float32."""
    configuration, name, extra = kind
    torch.manual_seed(1)
    config = getattr(transformers, configuration)(**TINY, **extra, attn_implementation="eager")
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
    before = launches.copy()
    actual = ours(tokens, labels=labels)
    ran = launches - before
    for kernel in ("rms_norm", "gated", "flash", "rotary", "cross_entropy"):
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


def test_padding_is_refused() -> None:
    _, ours = pair(LLAMA)
    tokens = torch.zeros((2, 4), dtype=torch.int64)
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])
    with pytest.raises(ArgumentError, match="leave padding out"):
        ours(tokens, attention_mask=mask)


def test_a_model_without_known_parts_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Linear has neither"):
        fuse(torch.nn.Linear(2, 2))
