"""Quantisers by the largest magnitude round 127 x / largest: no product with an inverse, no rounded scale."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from anychip import llm

STEPS = (3, 7, 11, 13, 0.02, 0.003, 0.7)


def halves(step: float, dtype: torch.dtype) -> torch.Tensor:
    """Middles between two multiples of a step, exact for whole steps, and 127 steps."""
    return torch.cat([(torch.arange(-127, 127) + 0.5) * step, torch.tensor([127.0 * step])]).to(dtype)


def exact(x: torch.Tensor) -> list[int]:
    """127 x / largest as a fraction, to nearest, ties to even."""
    largest = Fraction(x.abs().max().item())
    return [round(127 * Fraction(v) / largest) for v in x.tolist()]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_numbers_of_16_bits_round_as_the_exact_quotient(dtype: torch.dtype) -> None:
    for step in STEPS:
        x = halves(step, dtype)
        codes, scales = llm.quantize_int8_per_token(x[None])
        assert codes[0].tolist() == exact(x)
        assert scales.item() == pytest.approx(x.abs().max().item() / 127, rel=1e-7)


def test_an_inverse_would_be_seen() -> None:
    """Among the numbers above are some that a product with the inverse rounds to others."""
    different = 0
    for step in STEPS:
        x = halves(step, torch.float16).float()
        by_inverse = (x * (1 / (x.abs().max() / 127))).round()
        different += int((torch.tensor(exact(x)) != by_inverse).sum())
    assert different
