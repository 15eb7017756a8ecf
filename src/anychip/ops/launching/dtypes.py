"""PyTorch's element types as kernels take them, the types in which they are computed, and numbers as bits."""

from __future__ import annotations

import struct

import torch
import triton.language as tl

from ..errors import NotServed


class TritonDtypes(dict[torch.dtype, tl.dtype]):
    """Triton's type of each of PyTorch's that kernels take; NotServed for another."""

    def __missing__(self, dtype: torch.dtype) -> tl.dtype:
        raise NotServed("a kernel", f"dtype {dtype} is not served")


TRITON_DTYPES = TritonDtypes(
    {
        torch.bool: tl.int1,
        torch.int8: tl.int8,
        torch.int16: tl.int16,
        torch.int32: tl.int32,
        torch.int64: tl.int64,
        torch.uint8: tl.uint8,
        torch.uint16: tl.uint16,
        torch.uint32: tl.uint32,
        torch.uint64: tl.uint64,
        torch.float16: tl.float16,
        torch.bfloat16: tl.bfloat16,
        torch.float32: tl.float32,
        torch.float64: tl.float64,
    }
)

EIGHT_BIT_FLOATS: dict[torch.dtype, tl.dtype] = {
    torch.float8_e4m3fn: tl.float8e4nv,
    torch.float8_e5m2: tl.float8e5,
    torch.float8_e4m3fnuz: tl.float8e4b8,
    torch.float8_e5m2fnuz: tl.float8e5b16,
}
"""Triton's types of PyTorch's 8-bit floats, which few kernels take and not every chip has."""

COMPUTE_DTYPES: dict[torch.dtype, torch.dtype] = {
    torch.bool: torch.int8,
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
}
"""Types whose arithmetic is done in another type; what is not listed computes in itself."""


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of `dtype` are computed (PyTorch's `opmath`)."""
    return COMPUTE_DTYPES.get(dtype, dtype)


def scalar_bits(value: float | int | bool, floating: bool) -> int:
    """A Python number as 64 bits: the pattern of a double if `floating`, else the integer itself.
    Kernels take scalars so, because Triton passes a Python float in single precision."""
    if not floating:
        return int(value)
    return struct.unpack("<q", struct.pack("<d", float(value)))[0]
