"""Graphs made under one policy and walked under another: whatever the forward operator kept for the backward
one can be read there, or is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.nn import functional

import anychip
from anychip.ops.launching import launch_counts
from anychip.pytorch.policy import disabled


@contextmanager
def under(policy: str) -> Iterator[None]:
    if policy == "none":
        with disabled():
            yield
    else:
        with anychip.using(policy):
            yield


def numbers(*shape: int) -> torch.Tensor:
    return torch.linspace(-300, 300, torch.Size(shape).numel()).sin().view(shape)


def lstm() -> tuple[torch.nn.LSTM, torch.Tensor]:
    model = torch.nn.LSTM(8, 16, 2, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(numbers(*p.shape) * 0.3)
    return model, numbers(3, 20, 8)


def lstm_gradients(forward: str, backward: str) -> list[torch.Tensor]:
    model, x = lstm()
    with under(forward):
        y = model(x)[0]
    with under(backward):
        y.sum().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("forward", "backward"),
    [("none", "portable"), ("portable", "none"), ("portable", "portable"), ("portable", "auto")],
)
def test_lstm_across_policies(forward: str, backward: str) -> None:
    expected = lstm_gradients("none", "none")
    before = launch_counts["lstm_cell_gradient_kernel"]
    actual = lstm_gradients(forward, backward)
    if forward == "portable":
        assert launch_counts["lstm_cell_gradient_kernel"] > before
    assert len(actual) == len(expected) == 16
    for mine, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_lstm_trains_under_auto() -> None:
    model, x = lstm()
    expected = lstm_gradients("none", "none")
    with under("auto"):
        for _ in range(12):
            model.zero_grad()
            model(x)[0].sum().backward()
    for p, theirs in zip(model.parameters(), expected, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad, theirs, rtol=1e-4, atol=1e-5)


def test_strict_says_that_a_workspace_is_pytorchs() -> None:
    with pytest.raises(anychip.errors.AnychipError, match="forward pass was PyTorch's"):
        lstm_gradients("none", "strict")


Forward = Callable[[torch.Tensor], torch.Tensor]


def attention(x: torch.Tensor, **options: Any) -> torch.Tensor:
    return functional.scaled_dot_product_attention(x, x, x, **options)


SHARED: dict[str, Forward] = {
    "layer norm": lambda x: functional.layer_norm(x, (16,)),
    "batch norm": lambda x: functional.batch_norm(x.view(6, 4, 8), None, None, training=True),
    "group norm": lambda x: functional.group_norm(x.view(2, 4, 24), 2),
    "max_pool2d": lambda x: functional.max_pool2d(x.view(1, 2, 6, 16), 2),
    "max_pool3d": lambda x: functional.max_pool3d(x.view(1, 1, 4, 6, 8), 2),
    "adaptive max_pool2d": lambda x: functional.adaptive_max_pool2d(x.view(1, 2, 6, 16), (2, 3)),
    "attention": lambda x: attention(x.view(1, 2, 6, 16)),
    "causal attention": lambda x: attention(x.view(1, 2, 6, 16), is_causal=True),
    "ctc": lambda x: functional.ctc_loss(
        x.view(12, 1, 16).log_softmax(-1), torch.tensor([[1, 2, 2]]), torch.tensor([12]), torch.tensor([3])
    ),
    "nll": lambda x: functional.nll_loss(x, torch.arange(12) % 16),
    "log sigmoid": functional.logsigmoid,
    "embedding bag": lambda x: functional.embedding_bag(torch.tensor([[0, 3, 3], [1, 2, 5]]), x, mode="max"),
    "multilabel margin": lambda x: functional.multilabel_margin_loss(
        x, torch.full((12, 16), -1).index_fill(1, torch.tensor([0]), 3)
    ),
    "cummax": lambda x: torch.cummax(x, 1)[0],
    "weight norm": lambda x: torch.ops.aten._weight_norm(x, x.detach()[:, :1].abs() + 1, 0),
    "std": lambda x: torch.std(x, 1),
    "prelu": lambda x: functional.prelu(x, torch.tensor([0.25])),
}


def gradient(function: Forward, forward: str, backward: str) -> torch.Tensor:
    x = numbers(12, 16).requires_grad_()
    with under(forward):
        y = function(x)
    with under(backward):
        (y * y * y).sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("name", SHARED)
def test_what_other_pairs_share_is_in_pytorchs_format(name: str) -> None:
    expected = gradient(SHARED[name], "none", "none")
    for forward, backward in (("portable", "none"), ("none", "portable")):
        before = sum(launch_counts.values())
        actual = gradient(SHARED[name], forward, backward)
        assert sum(launch_counts.values()) > before
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
