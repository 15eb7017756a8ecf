"""Matrix products of quantised operands: 8-bit integers on both sides, floats times 8- or 4-bit integer
weights with scales and zeros of groups, and 8-bit floats with scales of blocks. Flows in: rows, weights
[out, in] as linear layers keep them, scales. Flows out: floating rows."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import FLOATING, Fused, register
from .products_kernels import block_scaled_kernel, w8a8_kernel, weight_only_kernel

TILES = Tiles(simt={"rows": 64, "columns": 64, "inner": 64}, simd={"rows": 64, "columns": 64, "inner": 64})

# ---- functions ------------------------------------------------------------------------------------


def _tiles(x: torch.Tensor, rows: int, inner: int) -> tuple[int, int, int]:
    tiles = TILES.on(x)
    return (
        max(16, min(tiles["rows"], power_of_two(rows))),
        tiles["columns"],
        max(32, min(tiles["inner"], power_of_two(inner))),
    )


def _operands(
    name: str,
    x: torch.Tensor,
    weight: torch.Tensor,
    stored: int,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Contiguous operands and an empty result [..., out]; rows of `weight` have `stored` elements."""
    if x.ndim < 1 or weight.ndim != 2 or weight.shape[1] != stored or dtype not in FLOATING:
        raise ArgumentError(
            f"{name}: rows {tuple(x.shape)} need a weight [out, {stored}] and a floating result, got "
            f"{tuple(weight.shape)} and {dtype}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ArgumentError(f"{name}: expected a bias ({weight.shape[0]},), got {tuple(bias.shape)}")
    out = torch.empty((*x.shape[:-1], weight.shape[0]), dtype=dtype, device=x.device)
    return x.contiguous(), weight.contiguous(), None if bias is None else bias.contiguous(), out


def _require(
    name: str, what: str, x: torch.Tensor, dtype: torch.dtype | None, shape: tuple[int, ...]
) -> None:
    if x.shape != shape or (dtype is not None and x.dtype != dtype):
        raise ArgumentError(
            f"{name}: expected {what} {shape} of {dtype or 'any dtype'}, got {tuple(x.shape)} of {x.dtype}"
        )


def w8a8_matmul(
    a: torch.Tensor,
    b: torch.Tensor,
    a_scales: torch.Tensor,
    b_scales: torch.Tensor,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """(a b^T) a_scale b_scale + bias in `dtype`, products summed exactly in 32 bits.

    a [..., in] int8 with scales [..., 1] as `quantize_int8_per_token` gives them; b [out, in] int8 with
    scales [out, 1]; bias [out]. Raises ArgumentError.
    """
    name = "w8a8_matmul"
    inner = a.shape[-1] if a.ndim else 0
    a, b, bias, out = _operands(name, a, b, inner, bias, dtype)
    _require(name, "a", a, torch.int8, tuple(a.shape))
    _require(name, "b", b, torch.int8, tuple(b.shape))
    _require(name, "scales of a", a_scales, None, (*a.shape[:-1], 1))
    _require(name, "scales of b", b_scales, None, (b.shape[0], 1))
    rows, columns = a.shape[:-1].numel(), b.shape[0]
    block_m, block_n, block_k = _tiles(a, rows, inner)
    launch(
        w8a8_kernel,
        (cdiv(rows, block_m), cdiv(columns, block_n)),
        out,
        a,
        b,
        a_scales.contiguous(),
        b_scales.contiguous(),
        bias,
        rows,
        columns,
        inner,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
    )
    return out


def _weight_only(
    name: str,
    bits: int,
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    group: int | None,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    inner = x.shape[-1] if x.ndim else 0
    stored = cdiv(inner, 2) if bits == 4 else inner
    x, weight, bias, out = _operands(name, x, weight, stored, bias, x.dtype)
    group = max(1, inner) if group is None else group
    if group < 1:
        raise ArgumentError(f"{name}: groups have at least one element, not {group}")
    groups = cdiv(inner, group)
    _require(name, "weight", weight, torch.uint8 if bits == 4 else torch.int8, tuple(weight.shape))
    _require(name, "scales", scales, None, (weight.shape[0], groups))
    if zeros is not None:
        _require(name, "zeros", zeros, None, (weight.shape[0], groups))
    rows, columns = x.shape[:-1].numel(), weight.shape[0]
    block_m, block_n, block_k = _tiles(x, rows, inner)
    launch(
        weight_only_kernel,
        (cdiv(rows, block_m), cdiv(columns, block_n)),
        out,
        x,
        weight,
        scales.contiguous(),
        None if zeros is None else zeros.contiguous(),
        bias,
        rows,
        columns,
        inner,
        stored,
        group,
        groups,
        BITS=bits,
        ALIGNED=group % block_k == 0 or groups <= 1,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
    )
    return out


def int8_weight_matmul(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None = None,
    group: int | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """x w^T + bias, where w = (weight - zero) scale in x's dtype.

    x [..., in] floating, weight [out, in] int8, scales and zeros [out, groups] for groups of `group`
    elements of a row (None: one group, the row), of any dtype; bias [out]. Raises ArgumentError.
    """
    return _weight_only("int8_weight_matmul", 8, x, weight, scales, zeros, group, bias)


def int4_weight_matmul(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None = None,
    group: int | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """As `int8_weight_matmul`, of weights from 0 to 15, two to a byte: weight [out, ceil(in / 2)] uint8,
    element 2i in the low half of byte i. Without zeros they are 8. Raises ArgumentError."""
    return _weight_only("int4_weight_matmul", 4, x, weight, scales, zeros, group, bias)


def fp8_block_matmul(
    a: torch.Tensor,
    b: torch.Tensor,
    a_scales: torch.Tensor,
    b_scales: torch.Tensor,
    block: int = 128,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> torch.Tensor:
    """a b^T + bias in `dtype`, of 8-bit floats with a scale for each block (DeepSeek-V3, 2024).

    a [..., in] float8_e4m3fn with scales [..., blocks] as `quantize_fp8_per_group` gives them; b [out, in]
    float8_e4m3fn with scales [blocks of out, blocks of in] float32; `block` is a multiple of 16.
    Raises ArgumentError.
    """
    name = "fp8_block_matmul"
    if block < 16 or block % 16:
        raise ArgumentError(f"{name}: block must be a positive multiple of 16, not {block}")
    inner = a.shape[-1] if a.ndim else 0
    a, b, bias, out = _operands(name, a, b, inner, bias, dtype)
    rows, columns, blocks = a.shape[:-1].numel(), b.shape[0], cdiv(inner, block)
    _require(name, "a", a, torch.float8_e4m3fn, tuple(a.shape))
    _require(name, "b", b, torch.float8_e4m3fn, tuple(b.shape))
    _require(name, "scales of a", a_scales, None, (*a.shape[:-1], blocks))
    _require(name, "scales of b", b_scales, None, (cdiv(columns, block), blocks))
    block_m, block_n, block_k = _tiles(a, rows, inner)
    launch(
        block_scaled_kernel,
        (cdiv(rows, block_m), cdiv(columns, block_n)),
        out,
        a,
        b,
        a_scales.contiguous(),
        b_scales.contiguous(),
        bias,
        rows,
        columns,
        inner,
        block,
        blocks,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=min(block_k, block & -block),
    )
    return out


# ---- records --------------------------------------------------------------------------------------


def _w8a8_reference(
    a: torch.Tensor,
    b: torch.Tensor,
    a_scales: torch.Tensor,
    b_scales: torch.Tensor,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    out = (a.double() @ b.double().t()) * a_scales * b_scales[:, 0]
    return out if bias is None else out + bias


def _weight_reference(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None = None,
    group: int | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    inner = x.shape[-1]
    wide = weight.double()
    if weight.dtype == torch.uint8:
        wide = torch.stack([weight & 15, weight >> 4], -1).flatten(-2)[:, :inner].double()
        zeros = torch.full_like(scales, 8.0) if zeros is None else zeros
    if zeros is not None:
        wide = wide - zeros.double().repeat_interleave(group or inner, -1)[:, :inner]
    out = x @ (wide * scales.repeat_interleave(group or inner, -1)[:, :inner]).t()
    return out if bias is None else out + bias


def _block_reference(
    a: torch.Tensor,
    b: torch.Tensor,
    a_scales: torch.Tensor,
    b_scales: torch.Tensor,
    block: int = 128,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> torch.Tensor:
    wide_a = a.double() * a_scales.repeat_interleave(block, -1)[..., : a.shape[-1]]
    scales = b_scales.repeat_interleave(block, -1).repeat_interleave(block, 0)
    wide_b = b.double() * scales[: b.shape[0], : b.shape[1]]
    out = wide_a @ wide_b.t()
    return out if bias is None else out + bias


def _scales(*shape: int, seed: int = 0) -> torch.Tensor:
    return tensor(shape, torch.float32, 0.002, 0.02, seed=seed)


def _w8a8_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for lead, inner, columns in (((3,), 7, 5), ((2, 35), 200, 90)):
        a = tensor((*lead, inner), torch.int8, -127, 127)
        b = tensor((inner, columns), torch.int8, -127, 127, seed=1).t()
        given = a, b, _scales(*lead, 1), _scales(columns, 1, seed=1)
        yield Sample(given, {"dtype": dtype})
        yield Sample((*given, tensor((columns,), dtype)), {"dtype": dtype})


def _int8_samples(dtype: torch.dtype) -> Iterable[Sample]:
    x, weight = tensor((3, 7), dtype), tensor((5, 7), torch.int8, -127, 127)
    yield Sample((x, weight, _scales(5, 1), None, None, tensor((5,), dtype)))
    yield Sample((x, weight, _scales(5, 3), tensor((5, 3), torch.int8), 3))
    x = tensor((200, 2, 33), dtype, -1, 1).permute(1, 2, 0)
    yield Sample((x, tensor((90, 200), torch.int8, -127, 127), _scales(90, 4), None, 64))


def _int4_samples(dtype: torch.dtype) -> Iterable[Sample]:
    x, weight = tensor((3, 7), dtype), tensor((5, 4), torch.uint8, 0, 255)
    yield Sample((x, weight, _scales(5, 1), None, None, tensor((5,), dtype)))
    yield Sample((x, weight, _scales(5, 3), tensor((5, 3), torch.uint8, 0, 15), 3))
    x = tensor((2, 33, 256), dtype, -1, 1)
    zeros = tensor((90, 2), dtype, 0, 15)
    yield Sample((x, tensor((90, 128), torch.uint8, 0, 255), _scales(90, 2), zeros, 128))


def _block_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for lead, inner, columns, block in (((3,), 7, 5, 16), ((2, 35), 200, 150, 128), ((20,), 100, 70, 48)):
        a = tensor((*lead, inner), torch.float32).to(torch.float8_e4m3fn)
        b = tensor((columns, inner), torch.float32, seed=1).to(torch.float8_e4m3fn)
        blocks = cdiv(inner, block)
        scales = _scales(*lead, blocks), _scales(cdiv(columns, block), blocks, seed=1)
        yield Sample((a, b, *scales, block, tensor((columns,), dtype)), {"dtype": dtype})


register(Fused("w8a8_matmul", "quantization", w8a8_matmul, _w8a8_reference, _w8a8_samples, (w8a8_kernel,)))
register(
    Fused(
        "int8_weight_matmul",
        "quantization",
        int8_weight_matmul,
        _weight_reference,
        _int8_samples,
        (weight_only_kernel,),
    )
)
register(
    Fused(
        "int4_weight_matmul",
        "quantization",
        int4_weight_matmul,
        _weight_reference,
        _int4_samples,
        (weight_only_kernel,),
    )
)
register(
    Fused(
        "fp8_block_matmul",
        "quantization",
        fp8_block_matmul,
        _block_reference,
        _block_samples,
        (block_scaled_kernel,),
    )
)
