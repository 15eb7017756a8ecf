"""What programs do with compiled functions, against eager PyTorch: inputs that are views and are changed,
other dtypes, autocast, inference mode, attributes that change, indices out of range, copies, optimizers. Each
is called often enough to be replayed where it can be."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from anychip.pytorch.compilation import backend
from anychip.runtime import launches

CALLS = 4
"""One compiles, one is recorded, the others are replays."""


class Block(nn.Module):
    """A linear layer, a norm, and a number that a program may change."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.scale = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + torch.tanh(self.linear(x))) * self.scale


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    """Each test starts without compiled graphs, and kernels of ours run in it."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    before = launches.count()
    yield
    assert launches.count() > before


def compiled(function: Any, **options: Any) -> Callable[..., Any]:
    return torch.compile(function, backend=backend, **options)


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_an_input_that_is_a_view_and_is_changed() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        x[1:].mul_(3)
        return x.sum(-1)

    run = compiled(function)
    for _ in range(CALLS):
        ours = torch.randn(6, 8)
        theirs = ours.clone()
        close(run(ours[1:5, ::2]), function(theirs[1:5, ::2]))
        close(ours, theirs)


def test_inputs_that_overlap_and_are_changed() -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x.add_(y.sum())
        return y * 2

    run = compiled(function)
    for _ in range(CALLS):
        ours = torch.randn(20)
        theirs = ours.clone()
        close(run(ours[:10], ours[4:]), function(theirs[:10], theirs[4:]))
        close(ours, theirs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 3e-2), (torch.float16, 5e-3)])
def test_other_dtypes_forward_and_backward(dtype: torch.dtype, tolerance: float) -> None:
    module = Block().to(dtype)
    run, parameters = compiled(module), list(module.parameters())
    for _ in range(CALLS):
        x = torch.randn(5, 8, dtype=dtype)
        ours, theirs = run(x), module(x)
        assert ours.dtype == dtype
        close(ours, theirs, tolerance)
        weights = torch.randn(5, 8, dtype=dtype)
        gradients = (torch.autograd.grad((y * weights).sum(), parameters) for y in (ours, theirs))
        for gradient, expected in zip(*gradients, strict=True):
            close(gradient, expected, tolerance * max(1.0, float(expected.abs().max())))


def test_autocast() -> None:
    module = Block()
    run = compiled(module)
    for _ in range(CALLS):
        x = torch.randn(5, 8)
        with torch.autocast("cpu", torch.bfloat16):
            ours, theirs = run(x), module(x)
        assert ours.dtype == theirs.dtype
        close(ours, theirs, 3e-2)


def test_modes_of_autograd_follow_each_other() -> None:
    module = Block()
    run = compiled(module)
    for _ in range(CALLS):
        x = torch.randn(5, 8)
        with torch.inference_mode():
            result = run(x)
            assert result.is_inference()
            close(result, module(x))
        with torch.no_grad():
            assert not run(x).requires_grad
        assert run(x).requires_grad


def test_an_attribute_and_weights_that_change() -> None:
    module = Block().eval()
    run, x = compiled(module), torch.randn(5, 8)
    with torch.no_grad():
        for scale in (1.0, 2.0, 2.0, 2.0, 1.0):
            module.scale = scale
            module.linear.weight.mul_(1.5)
            close(run(x), module(x))
        module.linear.weight = nn.Parameter(torch.randn(8, 8))
        close(run(x), module(x))


def test_an_index_out_of_range_leaves_the_graph_usable() -> None:
    def function(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x.exp()[index] + 1

    run, x = compiled(function), torch.randn(5)
    good, bad = torch.tensor([1, 4]), torch.tensor([1, 9])
    for index in (good, bad, good, good, bad, good):
        if index is good:
            close(run(x, index), function(x, index))
        else:
            with pytest.raises((IndexError, AssertionError, RuntimeError)):
                run(x, index)


def test_copies_of_a_compiled_module() -> None:
    module = Block()
    run, x = compiled(module), torch.randn(5, 8)
    expected = module(x).detach()
    for _ in range(CALLS):
        close(run(x), expected)
    twin = copy.deepcopy(run)
    read = pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        module.linear.weight.zero_()
        close(twin(x), expected)
        close(compiled(read)(x), expected)
        close(run(x), module(x))


def test_a_compiled_step_of_an_optimizer() -> None:
    modules = [nn.Linear(4, 3), nn.Linear(4, 3)]
    modules[1].load_state_dict(modules[0].state_dict())
    optimizers = [torch.optim.AdamW(module.parameters(), 0.05) for module in modules]
    steps = [compiled(optimizers[0].step), optimizers[1].step]
    for _ in range(CALLS):
        x = torch.randn(6, 4)
        for module, optimizer, step in zip(modules, optimizers, steps, strict=True):
            optimizer.zero_grad()
            module(x).square().sum().backward()
            step()
    for ours, theirs in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        close(ours.detach(), theirs.detach())
