"""What training scripts use beside a forward and a backward pass, under the strict policy: optimisers, lower
precision, loss scaling, checkpointing, accumulation, hooks. The losses are eager PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import anychip

STEPS = 3
WIDTH = 16
WORDS = 24

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Network(nn.Module):
    """An embedding, a residual block with a norm and attention, and logits."""

    def __init__(self, saves_memory: bool = False):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.mixed = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WORDS)
        self.saves_memory = saves_memory

    def block(self, x: Tensor) -> Tensor:
        q, k, v = self.mixed(self.norm(x)).view(*x.shape[:2], 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + F.gelu(seen.transpose(1, 2).reshape(x.shape))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        x = checkpoint(self.block, x, use_reentrant=False) if self.saves_memory else self.block(x)
        return self.out(x)


def losses(
    policy: str,
    optimiser: Optimiser,
    *,
    dtype: torch.dtype | None = None,
    scaled: bool = False,
    saves_memory: bool = False,
    parts: int = 1,
    hooked: bool = False,
    clip: float = 1.0,
) -> list[float]:
    """Losses of STEPS steps; under "pytorch" none of our kernels is there."""
    anychip.disable()
    torch.manual_seed(0)
    network = Network(saves_memory)
    tokens = torch.randint(WORDS, (4, 9))
    if hooked:
        for parameter in network.parameters():
            parameter.register_post_accumulate_grad_hook(_halved)
        network.mixed.register_full_backward_hook(lambda module, given, got: tuple(x * 2 for x in given))
    updates = optimiser(network.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=2.0**8)
    found = []
    if policy != "pytorch":
        anychip.enable(policy)
    try:
        for _ in range(STEPS):
            total = 0.0
            for part in tokens.chunk(parts):
                with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
                    logits = network(part[:, :-1])
                    loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()) / parts
                scaler.scale(loss).backward()
                total += loss.item()
            scaler.unscale_(updates)
            nn.utils.clip_grad_norm_(network.parameters(), clip)
            scaler.step(updates)
            scaler.update()
            updates.zero_grad()
            found.append(total)
    finally:
        anychip.disable()
    return found


def _halved(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.mul_(0.5)


OPTIMISERS: dict[str, Any] = {
    "AdamW fused": partial(torch.optim.AdamW, lr=0.02, fused=True),
    "AdamW foreach": partial(torch.optim.AdamW, lr=0.02, foreach=True),
    "AdamW amsgrad": partial(torch.optim.AdamW, lr=0.02, amsgrad=True),
    "SGD fused": partial(torch.optim.SGD, lr=0.5, momentum=0.9, nesterov=True, fused=True),
    "SGD foreach": partial(torch.optim.SGD, lr=0.5, momentum=0.9, foreach=True),
    "Adafactor": partial(torch.optim.Adafactor, lr=0.05),
    "Adagrad fused": partial(torch.optim.Adagrad, lr=0.1, fused=True),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.01),
    "NAdam": partial(torch.optim.NAdam, lr=0.02),
}


def assert_equal_training(tolerance: float, optimiser: Optimiser, **options: Any) -> None:
    """The losses of a strict run are those of eager PyTorch, and they move."""
    expected = losses("pytorch", optimiser, **options)
    got = losses("strict", optimiser, **options)
    assert abs(expected[-1] - expected[0]) > 10 * tolerance
    assert got == pytest.approx(expected, rel=tolerance)
    assert all(math.isfinite(loss) for loss in got)


IN_SHORT = {"AdamW fused", "SGD fused"}
"""Optimisers of which every run of the tests tries a few steps."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_SHORT else pytest.mark.slow) for name in OPTIMISERS]
)
def test_an_optimiser_makes_the_steps_that_pytorch_makes(name: str) -> None:
    assert_equal_training(1e-5, OPTIMISERS[name])


def _muon(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    return torch.optim.Muon(matrices, lr=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_muon_makes_the_steps_that_pytorch_makes() -> None:
    # Its orthogonalisation is in bf16: an ulp of that moves a step by a part of it.
    assert_equal_training(2e-3, _muon)


ADAMW = partial(torch.optim.AdamW, lr=0.02, fused=True)


@pytest.mark.parametrize(
    ("tolerance", "options"),
    [
        pytest.param(1e-5, {"saves_memory": True}, id="activation checkpointing"),
        pytest.param(1e-5, {"parts": 2}, id="accumulation", marks=pytest.mark.slow),
        pytest.param(
            1e-5, {"hooked": True, "clip": 1e9}, id="hooks of gradients and modules", marks=pytest.mark.slow
        ),
        pytest.param(1e-5, {"clip": 0.1}, id="clipping", marks=pytest.mark.slow),
        pytest.param(1e-2, {"dtype": torch.bfloat16}, id="bf16 autocast"),
        pytest.param(
            1e-2,
            {"dtype": torch.bfloat16, "saves_memory": True},
            id="bf16 autocast, checkpointing",
            marks=pytest.mark.slow,
        ),
        pytest.param(2e-3, {"dtype": torch.float16, "scaled": True}, id="f16 with a scaled loss"),
    ],
)
def test_a_feature_of_training_gives_the_losses_of_pytorch(tolerance: float, options: dict[str, Any]) -> None:
    assert_equal_training(tolerance, ADAMW, **options)


def test_a_scaled_loss_skips_the_step_that_overflows() -> None:
    anychip.disable()
    weight = nn.Parameter(torch.ones(8))
    updates = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**15)
    with anychip.using("strict"):
        loss = (weight * torch.finfo(torch.float32).max / 2).sum()
        scaler.scale(loss).backward()
        scaler.step(updates)
        scaler.update()
    assert weight.tolist() == [1.0] * 8
    assert scaler.get_scale() == 2.0**14
