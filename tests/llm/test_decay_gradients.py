"""Gradients of log-decays over long sequences: a token's decay feels only what it lies between, so that the
error must not grow with what comes after it. Against the recurrence in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from anychip.llm.registry import operators

TOKENS = 300


def numbers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "width"), [("linear_attention", 80), ("gated_delta_rule", 8)])
def test_errors_do_not_add_up_over_tokens(name: str, width: int) -> None:
    q, k = (normalize(numbers(1, TOKENS, 2, width, seed=seed), dim=-1) for seed in range(2))
    v, weight = (numbers(1, TOKENS, 2, 12, seed=seed) for seed in range(2, 4))
    decay, strength = (numbers(1, TOKENS, 2, seed=seed).sigmoid() for seed in range(4, 6))
    rest = [-3.0 * decay] + ([strength] if name == "gated_delta_rule" else [])

    def gradient(function: Callable[..., Any], dtype: torch.dtype) -> torch.Tensor:
        given = [x.to(dtype).requires_grad_() for x in (q, k, v, *rest)]
        result = (function(*given)[0] * weight.to(dtype)).sum()
        return torch.autograd.grad(result, given[3])[0].double()

    operator = operators()[name]
    found, exact = (
        gradient(function, dtype)
        for function, dtype in ((operator.function, torch.float32), (operator.reference, torch.float64))
    )
    allowed = 16 * 2.0**-24 * exact.abs().max()
    assert (found - exact).abs().max() < allowed
    assert (found - exact).sum().abs() < 8 * allowed
