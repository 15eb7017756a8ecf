"""Products of 8-bit floats with scales, against a product in double precision."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.launch import launches

FLOATS = (torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("rowwise", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_scaled_product(dtype: torch.dtype, rowwise: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(20, 48, generator=generator).to(dtype)
    b = torch.randn(48, 32, generator=generator).to(torch.float8_e4m3fn)
    scale_a = torch.rand((20, 1) if rowwise else (), generator=generator) + 0.5
    scale_b = torch.rand((1, 32) if rowwise else (), generator=generator) + 0.5
    bias = torch.randn(32, generator=generator)
    before = launches["low_precision_kernel[_scaled_mm]"]
    with anychip.using("strict"):
        actual = torch.ops.aten._scaled_mm(a, b, scale_a, scale_b, bias=bias, out_dtype=torch.float32)
        half = torch.ops.aten._scaled_mm(a, b, scale_a, scale_b, out_dtype=torch.bfloat16)
    assert launches["low_precision_kernel[_scaled_mm]"] == before + 2
    expected = (a.double() * scale_a) @ (b.double() * scale_b)
    torch.testing.assert_close(actual.double(), expected + bias, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(half.double(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_results_of_8_bits_stay_finite(dtype: torch.dtype) -> None:
    a = torch.full((16, 32), 100.0).to(dtype)
    scale, divisor = torch.tensor(8.0), torch.tensor(0.5)
    with anychip.using("strict"):
        large = torch.ops.aten._scaled_mm(a, a.t(), scale, scale, out_dtype=dtype)
        divided = torch.ops.aten._scaled_mm(
            a, a.t(), scale / 800, scale / 800, scale_result=divisor, out_dtype=dtype
        )
    assert torch.equal(large.float(), torch.full((16, 16), torch.finfo(dtype).max))
    expected = (a.double() @ a.double().t()) * (1e-2**2) * 2
    torch.testing.assert_close(divided.double(), expected, rtol=0.13, atol=0)
