"""Quantising and then multiplying is near to multiplying; and operands that do not fit are refused."""

from __future__ import annotations

import pytest
import torch

from anychip import llm
from anychip.ops.errors import ArgumentError


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative(out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> float:
    exact = x.double() @ weight.double().t()
    return float((out.double() - exact).norm() / exact.norm())


def test_integers_on_both_sides() -> None:
    x, weight = drawn(9, 256), drawn(40, 256, seed=1)
    a, a_scales = llm.quantize_int8_per_token(x)
    b, b_scales = llm.quantize_int8_per_token(weight)
    assert 0 < relative(llm.w8a8_matmul(a, b, a_scales, b_scales), x, weight) < 0.02


def test_integer_weights_of_groups() -> None:
    x, weight = drawn(9, 256), drawn(40, 256, seed=1)
    quantized, scales = llm.quantize_int8_per_group(weight, 64)
    out = llm.int8_weight_matmul(x, quantized, scales, group=64)
    assert 0 < relative(out, x, weight) < 0.01
    restored = llm.dequantize(quantized, scales, group=64)
    torch.testing.assert_close(out.double(), x.double() @ restored.double().t(), rtol=1e-4, atol=1e-4)


def test_small_floats_of_blocks() -> None:
    x, weight = drawn(9, 256), drawn(128, 256, seed=1)
    a, a_scales = llm.quantize_fp8_per_group(x, 128)
    parts = [llm.quantize_fp8_per_tensor(weight[:, k : k + 128]) for k in (0, 128)]
    b, b_scales = torch.cat([p.view(torch.uint8) for p, _ in parts], 1), torch.stack([s for _, s in parts])
    out = llm.fp8_block_matmul(a, b.view(torch.float8_e4m3fn), a_scales, b_scales[None])
    assert 0 < relative(out, x, weight) < 0.06


def test_halves_go_to_even() -> None:
    quantized, scales = llm.quantize_int8_per_token(torch.tensor([[254.0, 1.0, 3.0, -5.0, 0.0]]))
    assert quantized.tolist() == [[127, 0, 2, -2, 0]]
    assert scales.tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: llm.quantize_int8_per_group(drawn(3, 4), 0), "at least one element"),
        (lambda: llm.w8a8_matmul(drawn(3, 4), drawn(5, 4), drawn(3, 1), drawn(5, 1)), "torch.int8"),
        (
            lambda: llm.int4_weight_matmul(drawn(3, 4), torch.zeros(5, 4, dtype=torch.uint8), drawn(5, 1)),
            r"\[out, 2\]",
        ),
        (lambda: llm.fp8_block_matmul(drawn(3, 4), drawn(5, 4), drawn(3, 1), drawn(5, 1), 20), "multiple of"),
        (lambda: llm.dequantize(drawn(3, 4), drawn(3, 1)), "not served"),
        (lambda: llm.lora_expand(drawn(3, 4), drawn(6, 4), drawn(3, 5)), "base of shape"),
    ],
    ids=["group", "integers", "packed", "block", "floats", "base"],
)
def test_what_does_not_fit_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ArgumentError, match=message):
        call()
