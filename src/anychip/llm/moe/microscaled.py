"""Experts whose weights are 4-bit floats with a power of two for every 32 of them (OCP Microscaling, 2023):
the grouped product, with floating rows or 8-bit ones with scales, a whole layer of such experts, and the
weights as plain numbers. Flows in: rows by group, packed weights and scales. Flows out: rows, hidden states,
numbers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..activation.clamped import clamped_swiglu_kernel, swiglu_clamped
from ..registry import FLOATING, Fused, register
from .dispatch import (
    combine_rows_kernel,
    count_kernel,
    gather_rows_kernel,
    moe_permute,
    moe_unpermute,
    place_kernel,
    routes,
)

TILES = Tiles(simt={"rows": 32, "columns": 64, "split": 16}, simd={"rows": 64, "columns": 64, "split": 2})
GROUP = 32
"""Weights that share a power of two."""
VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the low three bits of a 4-bit float (e2m1) stand for; the fourth is the sign."""
BOUNDLESS = 1e30

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def small_float(code):
    """The value of a 4-bit float: (-1)^sign 2^(exponent - 1) (1 + mantissa / 2), or mantissa / 2."""
    exponent = (code >> 1) & 3
    mantissa = (code & 1).to(tl.float32) * 0.5
    scale = (1 << exponent).to(tl.float32) * 0.5
    value = tl.where(exponent == 0, mantissa, (1.0 + mantissa) * scale)
    return tl.where((code & 8) != 0, -value, value)


@triton.jit
def power_of_two_of(code):
    """2^(code - 127) of an 8-bit exponent (e8m0); the smallest counts as 0."""
    return (code.to(tl.int32) << 23).to(tl.float32, bitcast=True)


@triton.jit
def mxfp4_grouped_kernel(
    out,
    rows,
    row_scales,
    weight,
    scales,
    starts,
    columns,
    depth,
    row_group,
    row_groups,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One block of columns and every n-th block of rows of one group; a step is the weights of one scale."""
    group = tl.program_id(2).to(tl.int64)
    start = tl.load(starts + group).to(tl.int64)
    stop = tl.load(starts + group + 1).to(tl.int64)
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_n = (column < columns)[None, :]
    line = (group * columns + column)[None, :]
    lane = tl.arange(0, BLOCK_K)
    step = tl.num_programs(1) * BLOCK_M
    for first in range(start + tl.program_id(1) * BLOCK_M, stop, step):
        row = first + tl.arange(0, BLOCK_M)
        in_m = row < stop
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for base in range(0, depth, BLOCK_K):
            k = base + lane
            inside = in_m[:, None] & (k < depth)[None, :]
            left = tl.load(rows + row[:, None] * depth + k[None, :], mask=inside)
            left = tl.where(inside, left.to(tl.float32), 0.0)
            byte = tl.load(
                weight + line * (depth // 2) + (k // 2)[:, None], mask=in_n & (k < depth)[:, None], other=0
            )
            right = small_float((byte.to(tl.int32) >> ((k % 2) * 4)[:, None]) & 15)
            part = tl.dot(left, right, input_precision="ieee")
            power = tl.load(scales + line * (depth // BLOCK_K) + base // BLOCK_K, mask=in_n, other=0)
            part *= power_of_two_of(power)
            if row_scales is not None:
                at = row_scales + row * row_groups + base // row_group
                part *= tl.load(at, mask=in_m, other=0.0).to(tl.float32)[:, None]
            total += part
        at = row[:, None] * columns + column[None, :]
        tl.store(out + at, total.to(out.dtype.element_ty), mask=in_m[:, None] & in_n)


@triton.jit
def mxfp4_values_kernel(out, weight, scales, count, GROUP: tl.constexpr, BLOCK: tl.constexpr):
    """One block of weights as plain numbers."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    byte = tl.load(weight + at // 2, mask=mask, other=0).to(tl.int32)
    value = small_float((byte >> ((at % 2) * 4).to(tl.int32)) & 15)
    value *= power_of_two_of(tl.load(scales + at // GROUP, mask=mask, other=0))
    tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def _check_weight(name: str, weight: torch.Tensor, scales: torch.Tensor) -> int:
    """The inner size of packed weights [..., inner / 2] with scales [..., inner / 32]."""
    inner = 2 * weight.shape[-1] if weight.ndim else 0
    if (
        weight.dtype != torch.uint8
        or scales.dtype != torch.uint8
        or inner % GROUP
        or scales.shape != (*weight.shape[:-1], inner // GROUP)
    ):
        raise ArgumentError(
            f"{name}: expected weights [..., inner / 2] and scales [..., inner / {GROUP}], both uint8, got "
            f"{tuple(weight.shape)} of {weight.dtype} and {tuple(scales.shape)} of {scales.dtype}"
        )
    return inner


def dequantize_mxfp4(
    weight: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Weights of 4-bit floats (e2m1) with powers of two (e8m0) as plain numbers.

    weight [..., inner / 2] uint8, element 2i in the low half of byte i; scales [..., inner / 32] uint8, s for
    2^(s - 127) and 0 for 0. Gives [..., inner] of `dtype`. Raises ArgumentError.
    """
    inner = _check_weight("dequantize_mxfp4", weight, scales)
    if dtype not in FLOATING:
        raise ArgumentError(f"dequantize_mxfp4: to {dtype} is not served; give float32, float16 or bfloat16")
    out = torch.empty((*weight.shape[:-1], inner), dtype=dtype, device=weight.device)
    launch(
        mxfp4_values_kernel,
        cdiv(out.numel(), 1024),
        out,
        weight.contiguous(),
        scales.contiguous(),
        out.numel(),
        GROUP=GROUP,
        BLOCK=1024,
    )
    return out


def mxfp4_grouped_gemm(
    rows: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    starts: torch.Tensor,
    row_scales: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """`grouped_gemm` with weights of 4-bit floats, as `dequantize_mxfp4` reads them.

    rows [rows, inner] floating, or float8_e4m3fn with row_scales [rows, groups] of groups that are multiples
    of 32; weight [groups, out, inner / 2], scales [groups, out, inner / 32], starts [groups + 1]. Gives
    [rows, out] of `dtype` (None: that of rows, or bfloat16). Raises ArgumentError.
    """
    name = "mxfp4_grouped_gemm"
    inner = _check_weight(name, weight, scales)
    groups = 1 if row_scales is None else row_scales.shape[-1]
    length = inner // max(1, groups)
    if (
        rows.ndim != 2
        or weight.ndim != 3
        or rows.shape[1] != inner
        or starts.shape != (weight.shape[0] + 1,)
        or (row_scales is None) == (rows.dtype == torch.float8_e4m3fn)
        or (row_scales is not None and (row_scales.shape[:-1] != rows.shape[:1] or length % GROUP))
    ):
        raise ArgumentError(
            f"{name}: rows {tuple(rows.shape)} of {rows.dtype}, weight {tuple(weight.shape)}, starts "
            f"{tuple(starts.shape)} and scales exactly for 8-bit rows do not belong together"
        )
    wanted = dtype or (rows.dtype if row_scales is None else torch.bfloat16)
    columns = weight.shape[1]
    out = torch.empty((rows.shape[0], columns), dtype=wanted, device=rows.device)
    tiles = TILES.on(rows)
    block_n = max(16, min(tiles["columns"], power_of_two(columns)))
    block_m = max(16, min(tiles["rows"], power_of_two(rows.shape[0])))
    split = max(1, min(tiles["split"], cdiv(rows.shape[0], block_m)))
    launch(
        mxfp4_grouped_kernel,
        (cdiv(columns, block_n), split, weight.shape[0]),
        out,
        rows.contiguous(),
        None if row_scales is None else row_scales.contiguous(),
        weight.contiguous(),
        scales.contiguous(),
        starts.contiguous(),
        columns,
        inner,
        length,
        groups,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=GROUP,
    )
    return out


def fused_moe_mxfp4(
    x: torch.Tensor,
    gate_up: torch.Tensor,
    gate_up_scales: torch.Tensor,
    down: torch.Tensor,
    down_scales: torch.Tensor,
    weights: torch.Tensor,
    ids: torch.Tensor,
    limit: float | None = None,
) -> torch.Tensor:
    """`fused_moe` with weights of 4-bit floats, and SwiGLU's inputs within `limit` as in `swiglu_clamped`.

    x [tokens, width], gate_up [experts, 2 inner, width / 2] and down [experts, width, inner / 2] with their
    scales, weights and ids [tokens, k]. Gives [tokens, width]. Raises ArgumentError.
    """
    rows, places, starts = moe_permute(x, ids, gate_up.shape[0])
    inner = mxfp4_grouped_gemm(rows, gate_up, gate_up_scales, starts)
    inner = swiglu_clamped(inner, BOUNDLESS if limit is None else limit)
    return moe_unpermute(mxfp4_grouped_gemm(inner, down, down_scales, starts), places, weights)


# ---- records --------------------------------------------------------------------------------------


def _values(weight: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    code = torch.stack([weight & 15, weight >> 4], -1).flatten(-2).long()
    value = torch.tensor(VALUES, dtype=torch.float64)[code & 7] * torch.where(code > 7, -1.0, 1.0)
    power = torch.exp2(scales.double() - 127) * (scales > 0)
    return value * power.repeat_interleave(GROUP, -1)


def _grouped_reference(
    rows: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    starts: torch.Tensor,
    row_scales: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    plain, rows = _values(weight, scales), rows.double()
    if row_scales is not None:
        rows = rows * row_scales.repeat_interleave(rows.shape[1] // row_scales.shape[1], -1)
    bounds = starts.tolist()
    return torch.cat([rows[bounds[g] : bounds[g + 1]] @ plain[g].t() for g in range(len(plain))])


def _moe_reference(
    x: torch.Tensor,
    gate_up: torch.Tensor,
    gate_up_scales: torch.Tensor,
    down: torch.Tensor,
    down_scales: torch.Tensor,
    weights: torch.Tensor,
    ids: torch.Tensor,
    limit: float | None = None,
) -> torch.Tensor:
    first, second = _values(gate_up, gate_up_scales), _values(down, down_scales)
    gate, up = torch.einsum("th,tkih->tki", x, first[ids.long()]).chunk(2, -1)
    if limit is not None:
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return torch.einsum("tki,tkhi,tk->th", F.silu(gate) * up, second[ids.long()], weights)


def _packed(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    lead, inner = shape[:-1], shape[-1]
    return (
        tensor((*lead, inner // 2), torch.uint8, 0, 255, seed=1) * 37,
        tensor((*lead, inner // GROUP), torch.uint8, 0, 6) + 121,
    )


def _values_samples(dtype: torch.dtype) -> Iterable[Sample]:
    weight, scales = _packed(3, 5, 64)
    scales[0, 0, 0] = 0
    yield Sample((weight, scales, dtype))


def _grouped_samples(dtype: torch.dtype) -> Iterable[Sample]:
    starts = torch.tensor([0, 3, 3, 9], dtype=torch.int32)
    yield Sample((tensor((9, 32), dtype, -1, 1), *_packed(3, 20, 32), starts))
    small = tensor((9, 128), torch.float32).to(torch.float8_e4m3fn)
    given = small, *_packed(3, 70, 128), starts, tensor((9, 2), torch.float32, 0.1, 1)
    yield Sample(given, {"dtype": dtype})


ONES, THREE_HALVES, HALVES_BELOW = 0x22, 0x33, 0x99
"""Two equal weights in a byte: 1, 1.5 and -0.5."""


def _even_experts(dtype: torch.dtype) -> Sample:
    """One token that goes to two experts of equal weights: sums of 32 equal terms, which move by less than
    each of them. Gates are 1 and the others 1.5, whose SwiGLU is 1.1."""
    gate_up = torch.tensor([ONES, THREE_HALVES], dtype=torch.uint8).repeat_interleave(32)
    down = torch.tensor([ONES, HALVES_BELOW], dtype=torch.uint8).repeat(16)
    layers = (weight.view(1, -1, 1).repeat(2, 1, 16) for weight in (gate_up, down))
    scales = (torch.full((2, rows, 1), 127, dtype=torch.uint8) for rows in (64, 32))
    packed = [x for pair in zip(layers, scales, strict=True) for x in pair]
    x, weights = torch.full((1, 32), 1 / 32, dtype=dtype), torch.tensor([[0.5, 0.5]], dtype=dtype)
    return Sample((x, *packed, weights, torch.tensor([[0, 1]])))


def _moe_samples(dtype: torch.dtype) -> Iterable[Sample]:
    tokens, k, experts = 20, 2, 5
    layers = *_packed(experts, 128, 32), *_packed(experts, 32, 64)
    given = tensor((tokens, 32), dtype, -0.5, 0.5), *layers, tensor((tokens, k), dtype, 0, 1)
    yield Sample((*given, routes(tokens, k, experts)), {"limit": 0.5})
    yield _even_experts(dtype)


register(
    Fused(
        "dequantize_mxfp4", "quantization", dequantize_mxfp4, _values, _values_samples, (mxfp4_values_kernel,)
    )
)
register(
    Fused(
        "mxfp4_grouped_gemm",
        "moe",
        mxfp4_grouped_gemm,
        _grouped_reference,
        _grouped_samples,
        (mxfp4_grouped_kernel,),
    )
)
register(
    Fused(
        "fused_moe_mxfp4",
        "moe",
        fused_moe_mxfp4,
        _moe_reference,
        _moe_samples,
        (
            mxfp4_grouped_kernel,
            count_kernel,
            place_kernel,
            gather_rows_kernel,
            combine_rows_kernel,
            clamped_swiglu_kernel,
        ),
    )
)
