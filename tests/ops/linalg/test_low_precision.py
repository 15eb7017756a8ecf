"""Products of 8-bit numbers, against products in double precision and in 64 bits, on chips that take such
numbers and as for GPUs that do not; conversions of e4m3 floats as bytes, against PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import triton
import triton.language as tl

import anychip
from anychip.ops import eight_bits
from anychip.ops.eight_bits import EightBits, from_e4m3fn, to_e4m3fn
from anychip.ops.launching import launch, launch_counts, launching

FLOATS = (torch.float8_e4m3fn, torch.float8_e5m2)
WITHOUT = EightBits(integers=False, floats=False)


@triton.jit
def decode_kernel(out, code, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + lane, from_e4m3fn(tl.load(code + lane)))


@triton.jit
def encode_kernel(out, x, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + lane, to_e4m3fn(tl.load(x + lane)))


def test_bytes_are_read_as_floats() -> None:
    code = torch.arange(256).to(torch.uint8)
    out = torch.empty(256, dtype=torch.float16)
    launch(decode_kernel, 1, out, code, BLOCK=256)
    torch.testing.assert_close(
        out, code.view(torch.float8_e4m3fn).to(torch.float16), rtol=0, atol=0, equal_nan=True
    )


def test_floats_are_written_as_bytes() -> None:
    """Every value, the middles between neighbours, and what lies just beside those; subnormals; NaN."""
    values = torch.arange(0x7F).to(torch.uint8).view(torch.float8_e4m3fn).float()
    middles = (values[1:] + values[:-1]) / 2
    above, below = (torch.nextafter(middles, torch.tensor(limit)) for limit in (1e9, -1e9))
    x = torch.cat([values, middles, above, below, torch.tensor([1e-30, 1e-45, float("nan")])])
    x = torch.cat([x, -x, torch.zeros(1024 - 2 * len(x))])
    out = torch.empty(1024, dtype=torch.uint8)
    launch(encode_kernel, 4, out, x, BLOCK=256)
    assert torch.equal(out, x.to(torch.float8_e4m3fn).view(torch.uint8))


def test_gpus_take_what_their_generation_takes() -> None:
    assert eight_bits.of_capability(75) == WITHOUT
    assert eight_bits.of_capability(80) == EightBits(integers=True, floats=False)
    assert eight_bits.of_capability(90) == EightBits() == eight_bits.of_device(torch.device("cpu"))


@pytest.fixture(params=[None, WITHOUT], ids=["taken", "not-taken"])
def eight_bit_numbers(request: pytest.FixtureRequest) -> Iterator[None]:
    with launching(eight_bits=request.param):
        yield


@pytest.mark.usefixtures("eight_bit_numbers")
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_product_of_integers(dtype: torch.dtype) -> None:
    a, b = (torch.full(shape, -128, dtype=torch.int8) for shape in ((18, 200), (200, 24)))
    a[3:] = torch.randint(-128, 128, (15, 200), generator=torch.Generator().manual_seed(1))
    a = a if dtype == torch.int8 else (a.short() + 127 + (a < 0)).to(dtype)
    before = launch_counts["low_precision_kernel[_int_mm]"]
    with anychip.using("strict"):
        actual = torch.ops.aten._int_mm(a, b)
    assert launch_counts["low_precision_kernel[_int_mm]"] == before + 1
    assert torch.equal(actual.long(), a.long() @ b.long())


@pytest.mark.usefixtures("eight_bit_numbers")
@pytest.mark.parametrize("rowwise", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_scaled_product(dtype: torch.dtype, rowwise: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(20, 48, generator=generator).to(dtype)
    b = torch.randn(48, 32, generator=generator).to(torch.float8_e4m3fn)
    scale_a = torch.rand((20, 1) if rowwise else (), generator=generator) + 0.5
    scale_b = torch.rand((1, 32) if rowwise else (), generator=generator) + 0.5
    bias = torch.randn(32, generator=generator)
    before = launch_counts["low_precision_kernel[_scaled_mm]"]
    with anychip.using("strict"):
        actual = torch.ops.aten._scaled_mm(a, b, scale_a, scale_b, bias=bias, out_dtype=torch.float32)
        half = torch.ops.aten._scaled_mm(a, b, scale_a, scale_b, out_dtype=torch.bfloat16)
    assert launch_counts["low_precision_kernel[_scaled_mm]"] == before + 2
    expected = (a.double() * scale_a) @ (b.double() * scale_b)
    torch.testing.assert_close(actual.double(), expected + bias, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(half.double(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("eight_bit_numbers")
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
