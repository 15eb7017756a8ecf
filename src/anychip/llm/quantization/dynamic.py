"""Quantisation by the largest magnitude of a row, a group of a row or a whole tensor, to 8-bit integers and
to 8-bit floats (e4m3: Micikevicius et al., 2022), and back. Flows in: floating tensors, or quantised ones
with scales. Flows out: quantised tensors with scales, or floating ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import FLOATING, Fused, register
from .rounding import nearest_of_127, over_largest

TILES = Tiles(simt={"block": 2048}, simd={"block": 4096})
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
DEQUANTIZED = (torch.int8, torch.uint8, torch.float8_e4m3fn)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def quantized(value, largest, LARGEST: tl.constexpr, DTYPE: tl.constexpr):
    """LARGEST value / largest in DTYPE, to nearest."""
    if tl.int8 == DTYPE:
        return nearest_of_127(value, largest).to(tl.int8)
    else:
        scaled = over_largest(value, largest, LARGEST)
        return tl.minimum(tl.maximum(scaled, -LARGEST), LARGEST).to(DTYPE)


@triton.jit
def quantize_group_kernel(out, scales, x, length, group, LARGEST: tl.constexpr, BLOCK: tl.constexpr):
    """One group of one row, and its scale."""
    row = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    lane = tl.arange(0, BLOCK)
    column = part * group + lane
    mask = (lane < group) & (column < length)
    value = tl.load(x + row * length + column, mask=mask, other=0.0).to(tl.float32)
    largest = tl.max(tl.abs(value), 0)
    largest = tl.where(largest == 0.0, 1.0, largest)
    tl.store(out + row * length + column, quantized(value, largest, LARGEST, out.dtype.element_ty), mask=mask)
    tl.store(scales + row * tl.num_programs(1) + part, largest / LARGEST)


@triton.jit
def largest_of_block_kernel(largest, x, count, BLOCK: tl.constexpr):
    """The largest magnitude of one block."""
    program = tl.program_id(0).to(tl.int64)
    at = program * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < count, other=0.0).to(tl.float32)
    tl.store(largest + program, tl.max(tl.abs(value), 0))


@triton.jit
def tensor_scale_kernel(scale, largest, blocks, LARGEST: tl.constexpr, BLOCK: tl.constexpr):
    """From the largest magnitudes of blocks, the tensor's (kept as the first of them) and its scale."""
    result = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, blocks, BLOCK):
        at = start + tl.arange(0, BLOCK)
        result = tl.maximum(result, tl.load(largest + at, mask=at < blocks, other=0.0))
    whole = tl.max(result, 0)
    whole = tl.where(whole == 0.0, 1.0, whole)
    tl.store(scale, whole / LARGEST)
    tl.store(scale + 1, whole)


@triton.jit
def quantize_tensor_kernel(out, x, scale, count, LARGEST: tl.constexpr, BLOCK: tl.constexpr):
    """One block, by the tensor's largest magnitude, which stands after its scale."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < count, other=0.0).to(tl.float32)
    result = quantized(value, tl.load(scale + 1), LARGEST, out.dtype.element_ty)
    tl.store(out + at, result, mask=at < count)


@triton.jit
def dequantize_kernel(
    out, x, scales, zeros, length, group, groups, scale_row, scale_group, BLOCK: tl.constexpr
):
    """One block of one row: (x - zero) scale, both of the element's group."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < length
    at = row * scale_row + column // group * scale_group
    value = tl.load(x + row * length + column, mask=mask).to(tl.float32)
    if zeros is not None:
        value -= tl.load(zeros + at, mask=mask, other=0).to(tl.float32)
    value *= tl.load(scales + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * length + column, value.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def _grouped(name: str, x: torch.Tensor, group: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    if x.ndim < 1 or x.dtype not in FLOATING or group < 1:
        raise ArgumentError(
            f"{name}: expected float32, float16 or bfloat16 of at least one dimension and groups of at least "
            f"one element, got {x.dtype} of shape {tuple(x.shape)} and groups of {group}"
        )
    x = x.contiguous()
    length = x.shape[-1]
    groups = cdiv(length, group)
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    scales = torch.empty((*x.shape[:-1], groups), dtype=torch.float32, device=x.device)
    launch(
        quantize_group_kernel,
        (x.numel() // max(length, 1), groups),
        out,
        scales,
        x,
        length,
        group,
        LARGEST=LARGEST[dtype],
        BLOCK=power_of_two(group),
    )
    return out, scales


def _whole(name: str, x: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    if x.dtype not in FLOATING or not x.numel():
        raise ArgumentError(
            f"{name}: expected elements of float32, float16 or bfloat16, got {x.dtype} of shape "
            f"{tuple(x.shape)}"
        )
    x = x.contiguous()
    block = TILES.on(x)["block"]
    blocks = cdiv(x.numel(), block)
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    largest = torch.empty(blocks, dtype=torch.float32, device=x.device)
    scale = torch.empty(2, dtype=torch.float32, device=x.device)
    launch(largest_of_block_kernel, blocks, largest, x, x.numel(), BLOCK=block)
    launch(tensor_scale_kernel, 1, scale, largest, blocks, LARGEST=LARGEST[dtype], BLOCK=256)
    launch(quantize_tensor_kernel, blocks, out, x, scale, x.numel(), LARGEST=LARGEST[dtype], BLOCK=block)
    return out, scale[0]


def quantize_int8_per_token(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 round(x / scale), ties to even, where scale = max|x| / 127 of each row (1/127 for zeros).

    x [..., length] floating; gives [..., length] int8 and scales [..., 1] float32. Raises ArgumentError.
    """
    return _grouped("quantize_int8_per_token", x, max(1, x.shape[-1]) if x.ndim else 1, torch.int8)


def quantize_int8_per_group(x: torch.Tensor, group: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """As `quantize_int8_per_token`, with a scale for each `group` elements of a row (the last may be
    shorter): scales [..., groups] float32. Raises ArgumentError."""
    return _grouped("quantize_int8_per_group", x, group, torch.int8)


def quantize_int8_per_tensor(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `quantize_int8_per_token`, with one scale, a float32 of no dimensions. Raises ArgumentError."""
    return _whole("quantize_int8_per_tensor", x, torch.int8)


def quantize_fp8_per_token(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """float8_e4m3fn x / scale, where scale = max|x| / 448 of each row (1/448 for zeros).

    x [..., length] floating; gives [..., length] and scales [..., 1] float32. Raises ArgumentError.
    """
    return _grouped("quantize_fp8_per_token", x, max(1, x.shape[-1]) if x.ndim else 1, torch.float8_e4m3fn)


def quantize_fp8_per_group(x: torch.Tensor, group: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """As `quantize_fp8_per_token`, with a scale for each `group` elements of a row (the last may be
    shorter): scales [..., groups] float32. Raises ArgumentError."""
    return _grouped("quantize_fp8_per_group", x, group, torch.float8_e4m3fn)


def quantize_fp8_per_tensor(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `quantize_fp8_per_token`, with one scale, a float32 of no dimensions. Raises ArgumentError."""
    return _whole("quantize_fp8_per_tensor", x, torch.float8_e4m3fn)


def dequantize(
    x: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None = None,
    group: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """(x - zero) scale, in `dtype`.

    x [..., length] int8, uint8 or float8_e4m3fn; scales of no dimensions, or [..., groups] for groups of
    `group` elements (None: one group, the row); zeros like scales, of any dtype. Raises ArgumentError.
    """
    if x.dtype not in DEQUANTIZED or dtype not in FLOATING or x.ndim < 1:
        raise ArgumentError(
            f"dequantize: from {x.dtype} of {x.ndim} dimensions to {dtype} is not served; give a row or more "
            f"of int8, uint8 or float8_e4m3fn"
        )
    length = x.shape[-1]
    group = max(1, length) if group is None else group
    groups = cdiv(length, group) if group > 0 else 0
    expected = (*x.shape[:-1], groups)
    if (scales.ndim and scales.shape != expected) or (zeros is not None and zeros.shape != scales.shape):
        raise ArgumentError(
            f"dequantize: scales {tuple(scales.shape)} and zeros "
            f"{None if zeros is None else tuple(zeros.shape)} do not fit {tuple(x.shape)}; give both "
            f"{expected}, or of no dimensions"
        )
    x = x.contiguous()
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    block = min(TILES.on(x)["block"], power_of_two(length))
    launch(
        dequantize_kernel,
        (x.numel() // max(length, 1), cdiv(length, block)),
        out,
        x,
        scales.contiguous(),
        None if zeros is None else zeros.contiguous(),
        length,
        group,
        groups,
        groups if scales.ndim else 0,
        1 if scales.ndim else 0,
        BLOCK=block,
    )
    return out


# ---- records --------------------------------------------------------------------------------------


def _scaled(x: torch.Tensor, largest: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    largest = torch.where(largest == 0, 1.0, largest)
    scaled = x * LARGEST[dtype] / largest
    return (scaled.round() if dtype == torch.int8 else scaled).to(dtype), largest / LARGEST[dtype]


def _group_reference(x: torch.Tensor, group: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [_scaled(part, part.abs().amax(-1, keepdim=True), dtype) for part in x.split(group, -1)]
    return torch.cat([part.to(torch.float32) for part, _ in parts], -1).to(dtype), torch.cat(
        [scale for _, scale in parts], -1
    )


def _dequantize_reference(
    x: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None = None,
    group: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    length = x.shape[-1]
    if scales.ndim:
        scales = scales.repeat_interleave(group or length, -1)[..., :length]
        zeros = None if zeros is None else zeros.repeat_interleave(group or length, -1)[..., :length]
    return (x.double() - (0 if zeros is None else zeros.double())) * scales


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype),))
    yield Sample((tensor((4, 5, 3), dtype).transpose(0, 2),))
    large = tensor((6, 1000), dtype)
    large[3] = 0
    yield Sample((large,))


def _group_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for sample, group in zip(_samples(dtype), (3, 1, 128), strict=True):
        yield Sample((*sample.arguments, group))


def _dequantize_samples(dtype: torch.dtype) -> Iterable[Sample]:
    scales = tensor((3, 4), torch.float32, 0.01, 0.1)
    yield Sample((tensor((3, 50), torch.int8, -128, 127), scales), {"group": 16, "dtype": dtype})
    zeros = tensor((3, 4), torch.uint8, 0, 15)
    yield Sample((tensor((3, 50), torch.uint8, 0, 255), scales, zeros, 16), {"dtype": dtype})
    small = tensor((2, 9, 3), torch.float32).to(torch.float8_e4m3fn).transpose(0, 1)
    yield Sample((small, torch.tensor(0.37)), {"dtype": dtype})
    yield Sample((tensor((5, 9000), torch.int8, -128, 127), tensor((5, 1), torch.float32), None, None, dtype))


_GROUP_KERNELS = (quantize_group_kernel,)
_WHOLE_KERNELS = (largest_of_block_kernel, tensor_scale_kernel, quantize_tensor_kernel)
_FORMATS = (
    (torch.int8, quantize_int8_per_token, quantize_int8_per_group, quantize_int8_per_tensor),
    (torch.float8_e4m3fn, quantize_fp8_per_token, quantize_fp8_per_group, quantize_fp8_per_tensor),
)
for _dtype, _per_token, _per_group, _per_tensor in _FORMATS:
    register(
        Fused(
            _per_token.__name__,
            "quantization",
            _per_token,
            lambda x, to=_dtype: _group_reference(x, x.shape[-1], to),
            _samples,
            _GROUP_KERNELS,
        )
    )
    register(
        Fused(
            _per_group.__name__,
            "quantization",
            _per_group,
            lambda x, group=128, to=_dtype: _group_reference(x, group, to),
            _group_samples,
            _GROUP_KERNELS,
        )
    )
    register(
        Fused(
            _per_tensor.__name__,
            "quantization",
            _per_tensor,
            lambda x, to=_dtype: _scaled(x, x.abs().amax(), to),
            _samples,
            _WHOLE_KERNELS,
        )
    )
register(
    Fused(
        "dequantize",
        "quantization",
        dequantize,
        _dequantize_reference,
        _dequantize_samples,
        (dequantize_kernel,),
    )
)
