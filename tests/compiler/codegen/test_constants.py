"""Constants of every floating type, in a tile and as a scalar, are what PyTorch rounds them to."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl

from anychip.triton_backend import activate

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@triton.jit
def write(out, VALUE: tl.constexpr, B: tl.constexpr):
    element = out.dtype.element_ty
    tl.store(out + tl.arange(0, B), tl.full((B,), VALUE, tl.float32).to(element))
    tl.store(out + B, tl.full((), VALUE, tl.float32).to(element))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [1.3, -0.3, 0.0, 416.0])
def test_constants(dtype: torch.dtype, value: float) -> None:
    activate()
    out = torch.full((17,), 7.0).to(dtype)
    write[(1,)](out, value, 16)
    assert torch.equal(out.double(), torch.full((17,), value).to(dtype).double())
