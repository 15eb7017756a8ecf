"""`torch.optim` and the gradient scaler on the library's kernels: fused steps are compared with PyTorch's
plain steps in float64, and every step must have launched ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.launched import launched

import anychip
from anychip.ops.launching import launch_counts
from anychip.ops.samples import tensor

SHAPES = ((5, 7), (13,))
STEPS = 3
FUSED = {
    "Adam": {"lr": 0.1, "weight_decay": 0.01},
    "AdamW": {"lr": 0.1, "amsgrad": True},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.01},
}
VALUES = [tensor(shape, torch.float64) for shape in SHAPES]
GRADIENTS = [
    [tensor(shape, torch.float64, -1.0, 1.0, seed=9 * step) for shape in SHAPES] for step in range(STEPS)
]
"""Drawn before the library replaces PyTorch's generator."""
KERNELS = {"Adam": "adam_kernel", "AdamW": "adam_kernel", "SGD": "sgd_kernel", "Adagrad": "adagrad_kernel"}


def parameters(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    """Parameters, the first of them stored by columns."""
    drawn = [value.to(dtype, copy=True) for value in VALUES]
    return [torch.nn.Parameter(drawn[0].t().contiguous().t()), torch.nn.Parameter(drawn[1])]


def trained(name: str, dtype: torch.dtype, **options: Any) -> list[torch.Tensor]:
    """Parameters after a few steps with given gradients."""
    listed = parameters(dtype)
    optimizer = getattr(torch.optim, name)(listed, **options)
    for step in range(STEPS):
        for k, parameter in enumerate(listed):
            parameter.grad = GRADIENTS[step][k].to(dtype, copy=True)
        optimizer.step()
    return [parameter.detach() for parameter in listed]


@pytest.mark.parametrize("name", FUSED)
def test_fused_steps_agree_with_plain_ones(name: str) -> None:
    expected = trained(name, torch.float64, foreach=False, **FUSED[name])
    before = launch_counts[KERNELS[name]]
    with anychip.using("strict"):
        actual = trained(name, torch.float32, fused=True, **FUSED[name])
    assert launch_counts[KERNELS[name]] == before + STEPS * len(SHAPES)
    for ours, oracle in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours.double(), oracle, rtol=2e-5, atol=2e-5)


FOREACH: dict[str, tuple[str, ...]] = {
    "Adam": ("lerp", "addcmul", "sqrt", "addcdiv"),
    "SGD": ("add",),
    "RMSprop": ("addcmul", "sqrt", "addcdiv"),
}
"""Optimiser -> operators of a step over lists."""


@pytest.mark.parametrize("name", FOREACH)
def test_lists_of_tensors_run_on_the_library(name: str) -> None:
    expected = trained(name, torch.float64, foreach=False, lr=0.05)
    with anychip.using("strict"), launched(*FOREACH[name]):
        actual = trained(name, torch.float32, foreach=True, lr=0.05)
    for ours, oracle in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours.double(), oracle, rtol=2e-5, atol=2e-5)


def test_a_step_with_an_infinite_gradient_is_left_out() -> None:
    parameter = torch.nn.Parameter(tensor((6,), torch.float32))
    start = parameter.detach().clone()
    optimizer = torch.optim.SGD([parameter], lr=0.5, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    with anychip.using("strict"):
        for last in (float("inf"), 4.0):
            parameter.grad = torch.tensor([8.0, 16.0, -8.0, 0.0, 1.0, last])
            scaler.scale(torch.zeros(()))
            scaler.step(optimizer)
            scaler.update()
    assert scaler.get_scale() == 8.0  # halved, then doubled
    scaled = torch.tensor([8.0, 16.0, -8.0, 0.0, 1.0, 4.0]) / 4.0
    torch.testing.assert_close(parameter.detach(), start - 0.5 * scaled)
