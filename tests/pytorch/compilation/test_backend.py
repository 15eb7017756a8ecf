"""`torch.compile` with our back end against eager PyTorch: inference and training, shapes that change,
graphs that break, and a second process that starts from the cache."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

from anychip.ops.launching import launch_counts
from anychip.pytorch.compilation import backend
from anychip.pytorch.compilation.choice import SMALLEST
from anychip.runtime import launches


class Block(nn.Module):
    """A feed-forward block: products large enough to be ours, and a fused rest."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(64, 256)
        self.down = nn.Linear(256, 64)
        self.norm = nn.LayerNorm(64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.down(nn.functional.gelu(self.up(x))))


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def compiled(function: Any, **options: Any) -> Callable[..., Any]:
    return torch.compile(function, backend=backend, **options)


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=2e-4, atol=2e-5)


def test_the_back_end_is_known_by_name() -> None:
    assert "anychip" in torch._dynamo.list_backends()


def test_inference_runs_our_kernels() -> None:
    torch.manual_seed(0)
    module, x = Block().eval(), torch.randn(32, 64)
    assert x.shape[0] * 64 * 256 >= SMALLEST
    fused, products = Counter(launches.by_kernel()), sum(launch_counts.values())
    with torch.no_grad():
        close(compiled(module)(x), module(x))
    made = Counter(launches.by_kernel()) - fused
    assert any(name.startswith("triton_") for name in made), made
    assert sum(launch_counts.values()) >= products + 2


def test_a_training_step_has_eager_gradients() -> None:
    torch.manual_seed(1)
    module, x = Block(), torch.randn(32, 64)
    module(x).square().mean().backward()
    expected = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    before = sum(launch_counts.values())
    compiled(module)(x).square().mean().backward()
    assert sum(launch_counts.values()) > before
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        assert parameter.grad is not None
        close(parameter.grad, gradient)


def test_shapes_may_change_without_another_compilation() -> None:
    module = Block().eval()
    function = compiled(module, dynamic=True)
    with torch.no_grad():
        for rows in (4, 9, 33, 200):
            x = torch.randn(rows, 64)
            close(function(x), module(x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_a_graph_that_breaks_in_the_middle() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        x = torch.sin(x) * 2
        if float(x.sum()) > 0:
            return torch.relu(x) + 1
        return torch.exp(-x)

    run = compiled(function)
    for sign in (1.0, -1.0):
        x = sign * torch.rand(300)
        close(run(x), function(x))


@pytest.mark.parametrize(("function", "ours"), [(lambda x: torch.linalg.inv(x @ x), 0), (lambda x: x @ x, 1)])
def test_small_products_are_ours_only_where_calls_are_replayed(function: Any, ours: int) -> None:
    x = torch.eye(8) + torch.rand(8, 8) / 8
    before = sum(launch_counts.values())
    close(compiled(function)(x), function(x))
    assert sum(launch_counts.values()) == before + ours


@pytest.mark.parametrize("layout", ["heads first", "length first"])
def test_attention_is_ours_forward_and_backward(layout: str) -> None:
    def function(*inputs: torch.Tensor) -> torch.Tensor:
        q, k, v = inputs if layout == "heads first" else (x.transpose(1, 2) for x in inputs)
        result = nn.functional.scaled_dot_product_attention(q, k, v)
        return result.transpose(1, 2).reshape(2, -1).tanh()

    inputs = [torch.randn(2, 3, 20, 16, requires_grad=True) for _ in range(3)]
    expected = function(*inputs)
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    before = Counter(launch_counts)
    result = compiled(function)(*inputs)
    close(result, expected)
    for ours, theirs in zip(torch.autograd.grad(result.square().sum(), inputs), gradients, strict=True):
        close(ours, theirs)
    made = {name.split("[")[0] for name in Counter(launch_counts) - before}
    assert any("attention" in name and "backward" not in name for name in made), made
    assert len([name for name in made if "attention" in name]) >= 2, made


def test_attention_with_dropout_is_pytorchs() -> None:
    def function(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5)

    inputs = torch.randn(3, 1, 2, 5, 8)
    before = Counter(launch_counts)
    assert compiled(function)(*inputs).shape == (1, 2, 5, 8)
    assert not [name for name in Counter(launch_counts) - before if "attention" in name]


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune-no-cudagraphs"])
def test_modes_are_accepted(mode: str) -> None:
    module = nn.Linear(8, 8).eval()
    run = compiled(module, mode=mode)
    for _ in range(3):
        x = torch.randn(3, 8)
        close(run(x).detach(), module(x).detach())


@pytest.mark.parametrize(("pixels", "ours"), [(8, True), (64, False)])
def test_large_dense_convolutions_are_pytorchs(pixels: int, ours: bool) -> None:
    module, x = nn.Conv2d(32, 32, 3, padding=1), torch.randn(1, 32, pixels, pixels)
    before = Counter(launch_counts)
    close(compiled(module)(x).detach(), module(x).detach())
    made = [name for name in Counter(launch_counts) - before if "convolution" in name]
    assert bool(made) == ours


@pytest.mark.parametrize("option", [True, False])
def test_random_numbers_are_pytorchs_where_asked_for(option: bool) -> None:
    """After a compilation without the setting, by an option or by Inductor's configuration."""
    x = torch.ones(100)
    drop = functools.partial(nn.functional.dropout, p=0.5)
    compiled(drop)(x)
    torch._dynamo.reset()
    torch.manual_seed(3)
    expected = drop(x)
    torch.manual_seed(3)
    if option:
        actual = compiled(drop, options={"fallback_random": True})(x)
    else:
        with inductor.patch(fallback_random=True):
            actual = compiled(drop)(x)
    assert torch.equal(actual, expected)


SECOND = """
import torch
from torch._dynamo.utils import counters
from anychip.pytorch.compilation import backend

def function(x, w):
    return torch.softmax(x @ w, -1) * torch.tanh(x).sum()

x, w = torch.ones(64, 64), torch.eye(64)
torch.testing.assert_close(torch.compile(function, backend=backend)(x, w), function(x, w))
print(counters["inductor"]["fxgraph_cache_hit"])
"""


def test_a_second_process_starts_from_the_cache(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
        "TRITON_CACHE_DIR": str(tmp_path / "triton"),
    }
    hits = [
        subprocess.run(
            [sys.executable, "-c", SECOND], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        for _ in range(2)
    ]
    assert hits == ["0", "1"]
