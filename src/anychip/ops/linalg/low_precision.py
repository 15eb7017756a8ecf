"""Matrix products of 8-bit numbers under PyTorch's names: _int_mm (integers), _weight_int8pack_mm (floats
with integer weights) and _scaled_mm (8-bit floats with scales). One kernel: operands are widened to the
type that the product takes, and scales, a bias and the limits of the result's type come last. GPUs without
8-bit products multiply halves, and without 8-bit floats take bytes (`eight_bits.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from .. import eight_bits
from ..eight_bits import from_e4m3fn, to_e4m3fn
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import Tiles, cdiv, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"m": 64, "n": 64, "k": 64}, simd={"m": 64, "n": 64, "k": 64})
LIMITS = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}
"""Largest finite number of the 8-bit types; results beyond it are set to it."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def low_precision_kernel(
    out,
    a,
    b,
    scale_a,
    scale_b,
    bias,
    scale_out,
    M,
    N,
    K,
    out_m,
    a_m,
    a_k,
    b_k,
    b_n,
    scale_m,
    scale_n,
    limit,
    WIDE: tl.constexpr,
    ACCUMULATE: tl.constexpr,
    STEP: tl.constexpr,
    BYTES_A: tl.constexpr,
    BYTES_B: tl.constexpr,
    BYTES_OUT: tl.constexpr,
    LIMITED: tl.constexpr,
    SHIFTED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out = (scale_a a) @ (b scale_b) + bias for one tile; a scale of stride zero is one number. A step's
    product is of type STEP; BYTES_*: e4m3fn floats are plain bytes there; SHIFTED: bytes of `a` without a
    sign are multiplied less 128, as bytes with one, and 128 times the sums of b's columns are added."""
    tiles_n = tl.cdiv(N, BLOCK_N)
    row = (tl.program_id(0) // tiles_n).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = (tl.program_id(0) % tiles_n).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    lane_k = tl.arange(0, BLOCK_K).to(tl.int64)
    inside_m = row < M
    inside_n = column < N
    at_a = a + (row * a_m)[:, None] + (lane_k * a_k)[None, :]
    at_b = b + (lane_k * b_k)[:, None] + (column * b_n)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATE)
    for k in range(0, K, BLOCK_K):
        inside_k = lane_k < K - k
        left = tl.load(at_a, mask=inside_m[:, None] & inside_k[None, :], other=0.0)
        right = tl.load(at_b, mask=inside_k[:, None] & inside_n[None, :], other=0.0)
        if SHIFTED:
            left = (left ^ 0x80).to(tl.int8, bitcast=True)
        left = (from_e4m3fn(left) if BYTES_A else left).to(WIDE)
        right = (from_e4m3fn(right) if BYTES_B else right).to(WIDE)
        if SHIFTED:
            total += tl.expand_dims(tl.sum(right.to(ACCUMULATE), 0) * 128, 0)
        if STEP == ACCUMULATE:
            total = tl.dot(left, right, total, input_precision="ieee", out_dtype=ACCUMULATE)
        else:
            total += tl.dot(left, right, out_dtype=STEP).to(ACCUMULATE)
        at_a += BLOCK_K * a_k
        at_b += BLOCK_K * b_k
    if scale_a is not None:
        total *= tl.load(scale_a + row * scale_m, mask=inside_m, other=0).to(ACCUMULATE)[:, None]
    if scale_b is not None:
        total *= tl.load(scale_b + column * scale_n, mask=inside_n, other=0).to(ACCUMULATE)[None, :]
    if bias is not None:
        total += tl.load(bias + column, mask=inside_n, other=0).to(ACCUMULATE)[None, :]
    if scale_out is not None:
        total /= tl.load(scale_out)
    if LIMITED:
        total = tl.where(total > limit, limit, tl.where(total < -limit, -limit, total))
    at = out + (row * out_m)[:, None] + column[None, :]
    inside = inside_m[:, None] & inside_n[None, :]
    if BYTES_OUT:
        tl.store(at, to_e4m3fn(total), mask=inside)
    else:
        tl.store(at, total.to(out.dtype.element_ty), mask=inside)


# ---- forward --------------------------------------------------------------------------------------


def _product(
    a: torch.Tensor,
    b: torch.Tensor,
    result: torch.dtype,
    wide: Any,
    label: str,
    *,
    scale_a: torch.Tensor | None = None,
    scale_b: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    scale_out: torch.Tensor | None = None,
) -> torch.Tensor:
    rows, inner = a.shape
    columns = b.shape[1]
    out = torch.empty((rows, columns), dtype=result, device=a.device)
    takes = eight_bits.of_device(a.device)
    accumulate = step = tl.int32 if wide == tl.int8 else tl.float32
    if (wide == tl.int8 and not takes.integers) or (a.dtype in LIMITS and not takes.floats):
        wide, step = tl.float16, tl.float32  # holds 8-bit numbers, and the sum over a block, exactly
    in_bytes = [x.dtype == torch.float8_e4m3fn and not takes.floats for x in (out, a, b)]
    operands = [x.view(torch.uint8) if coded else x for x, coded in zip((out, a, b), in_bytes, strict=True)]
    tiles = TILES.on(a)
    block_m, block_n, block_k = (
        max(16, min(tiles[name], power_of_two(size)))
        for name, size in (("m", rows), ("n", columns), ("k", inner))
    )
    launch(
        low_precision_kernel,
        cdiv(rows, block_m) * cdiv(columns, block_n),
        *operands,
        scale_a,
        scale_b,
        bias,
        scale_out,
        rows,
        columns,
        inner,
        columns,
        *a.stride(),
        *b.stride(),
        int(scale_a is not None and scale_a.numel() > 1),
        int(scale_b is not None and scale_b.numel() > 1),
        LIMITS.get(result, 0.0),
        label=label,
        WIDE=wide,
        ACCUMULATE=accumulate,
        STEP=step,
        BYTES_OUT=in_bytes[0],
        BYTES_A=in_bytes[1],
        BYTES_B=in_bytes[2],
        LIMITED=result in LIMITS,
        SHIFTED=a.dtype == torch.uint8 and wide == tl.int8,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
    )
    return out


def _checked(operator: str, a: torch.Tensor, b: torch.Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ArgumentError(
            f"{operator}: expected matrices that can be multiplied, but got {list(a.shape)} and "
            f"{list(b.shape)}"
        )


def int_mm(self: torch.Tensor, mat2: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """self (with a sign or without one) @ mat2 of 8-bit integers, in 32 bits."""
    if self.dtype not in (torch.int8, torch.uint8) or mat2.dtype != torch.int8:
        raise ArgumentError(
            f"_int_mm: Expected dtype int8 or uint8 for self and int8 for mat2, but got {self.dtype} and "
            f"{mat2.dtype}"
        )
    _checked("_int_mm", self, mat2)
    result = _product(self, mat2, torch.int32, tl.int8, "_int_mm")
    if out is None:
        return result
    if out.dtype != torch.int32 or out.shape != result.shape:
        raise ArgumentError(
            f"_int_mm: Expected result of dtype int32 and shape {list(result.shape)}, but got {out.dtype} "
            f"and {list(out.shape)}"
        )
    return out.copy_(result)


WIDE = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16, torch.float32: tl.float32}


def weight_int8pack_mm(self: torch.Tensor, mat2: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """self [rows, inner] @ mat2 [columns, inner]^T, each column times its scale."""
    if self.dtype not in WIDE:
        raise ArgumentError(
            f"_weight_int8pack_mm: expect A to be either 32-bit or 16-bit float tensor, but got {self.dtype}"
        )
    if mat2.dtype != torch.int8 or scales.dtype != self.dtype or scales.shape != mat2.shape[:1]:
        raise ArgumentError(
            f"_weight_int8pack_mm: expect B to be int8 and scales of A's dtype, one for each of its rows, "
            f"but got {mat2.dtype} {list(mat2.shape)} and {scales.dtype} {list(scales.shape)}"
        )
    _checked("_weight_int8pack_mm", self, mat2.t())
    return _product(
        self, mat2.t(), self.dtype, WIDE[self.dtype], "_weight_int8pack_mm", scale_b=scales.contiguous()
    )


def scaled_mm(
    self: torch.Tensor,
    mat2: torch.Tensor,
    scale_a: torch.Tensor,
    scale_b: torch.Tensor,
    bias: torch.Tensor | None = None,
    scale_result: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    use_fast_accum: bool = False,
    *,
    out: Any = None,
) -> torch.Tensor:
    """(self scale_a) @ (mat2 scale_b) + bias for 8-bit floats; scales are one number each, or one for
    each row of self and each column of mat2. An 8-bit result is divided by `scale_result`."""
    _checked("_scaled_mm", self, mat2)
    if self.dtype not in LIMITS or mat2.dtype not in LIMITS:
        raise NotServed("_scaled_mm", f"dtypes {self.dtype} and {mat2.dtype} are not served")
    rows, columns = self.shape[0], mat2.shape[1]
    single = scale_a.numel() == 1 and scale_b.numel() == 1
    if not single and (scale_a.shape != (rows, 1) or scale_b.shape != (1, columns)):
        raise NotServed(
            "_scaled_mm", f"scales of shapes {list(scale_a.shape)} and {list(scale_b.shape)} are not served"
        )
    if scale_a.dtype != torch.float32 or scale_b.dtype != torch.float32:
        raise ArgumentError(f"_scaled_mm: scales must be float32, but are {scale_a.dtype}, {scale_b.dtype}")
    if bias is not None and bias.numel() != columns:
        raise ArgumentError(f"Bias must be size {columns} but got {bias.numel()}")
    result = out_dtype or self.dtype
    value = _product(
        self,
        mat2,
        result,
        tl.bfloat16,
        "_scaled_mm",
        scale_a=scale_a.contiguous(),
        scale_b=scale_b.contiguous(),
        bias=None if bias is None else bias.contiguous(),
        scale_out=scale_result if result in LIMITS else None,
    )
    if out is None:
        return value
    return out.resize_(value.shape).copy_(value)


ONE_NUMBER, BY_ROW = 0, 1
"""Recipes of scales that are served, in PyTorch's numbering."""


def scaled_mm_v2(
    self: torch.Tensor,
    mat2: torch.Tensor,
    scale_a: Sequence[torch.Tensor],
    recipe_a: Sequence[int],
    swizzle_a: Sequence[int],
    scale_b: Sequence[torch.Tensor],
    recipe_b: Sequence[int],
    swizzle_b: Sequence[int],
    bias: torch.Tensor | None,
    out_dtype: torch.dtype | None,
    contraction_dim: Sequence[int] = (),
    use_fast_accum: bool = False,
    *,
    out: Any = None,
) -> torch.Tensor:
    """`scaled_mm` with recipes: one scale for each operand, or one for each row and column."""
    recipes = [*recipe_a, *recipe_b]
    plain = not any((*swizzle_a, *swizzle_b))
    if not plain or recipes not in ([ONE_NUMBER] * 2, [BY_ROW] * 2) or contraction_dim:
        raise NotServed("_scaled_mm_v2", f"recipes {recipes} with swizzled or several scales are not served")
    return scaled_mm(self, mat2, scale_a[0], scale_b[0], bias, None, out_dtype, use_fast_accum, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _wide_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The oracle of an integer product, in 64 bits."""
    return (a.to(torch.int64) @ b.to(torch.int64)).to(torch.int32)


def _wide_weights(a: torch.Tensor, b: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return a.double() @ (b.double() * scales.double()[:, None]).t()


def _integers(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, inner, columns in ((17, 33, 20), (1, 8, 1), (70, 130, 65)):
        b = tensor((columns, inner), torch.int8, -128, 127, seed=1)
        yield Sample((tensor((rows, inner), torch.int8, -128, 127), b.t()))


def _weights(dtype: torch.dtype) -> Iterable[Sample]:
    if dtype == torch.int8:
        return
    for rows, inner, columns in ((17, 33, 20), (1, 64, 40)):
        b = tensor((columns, inner), torch.int8, -128, 127, seed=1)
        yield Sample((tensor((rows, inner), dtype, -1, 1), b, tensor((columns,), dtype, 0.001, 0.01)))


def _wide_scaled(
    a: torch.Tensor,
    b: torch.Tensor,
    scale_a: torch.Tensor,
    scale_b: torch.Tensor,
    bias: torch.Tensor | None = None,
    scale_result: Any = None,
    out_dtype: Any = None,
) -> torch.Tensor:
    return (a.double() * scale_a) @ (b.double() * scale_b) + (0 if bias is None else bias)


def _scaled(dtype: torch.dtype) -> Iterable[Sample]:
    a, b = tensor((17, 48), torch.float32).to(dtype), tensor((32, 48), torch.float32, seed=1).to(dtype).t()
    single, bias = torch.tensor(0.75), tensor((32,), torch.float32)
    yield Sample((a, b, single, single, bias), {"out_dtype": torch.float32})
    rows, columns = tensor((17, 1), torch.float32, 0.5, 2), tensor((1, 32), torch.float32, 0.5, 2)
    yield Sample((a, b, rows, columns), {"out_dtype": torch.float32})


def _wide_scaled_by_recipe(
    a: torch.Tensor,
    b: torch.Tensor,
    scale_a: Any,
    recipe_a: Any,
    swizzle_a: Any,
    scale_b: Any,
    recipe_b: Any,
    swizzle_b: Any,
    bias: torch.Tensor | None,
    out_dtype: Any,
) -> torch.Tensor:
    return _wide_scaled(a, b, scale_a[0], scale_b[0], bias)


def _scaled_by_recipe(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _scaled(dtype):
        a, b, scale_a, scale_b, *bias = sample.arguments
        recipe = [ONE_NUMBER if scale_a.numel() == 1 else BY_ROW]
        scales = ([scale_a], recipe, [0], [scale_b], recipe, [0])
        yield Sample((a, b, *scales, bias[0] if bias else None, torch.float32))


def _large(dtype: torch.dtype) -> Sample:
    return Sample((tensor((1024, 1024), torch.int8, -128, 127), tensor((1024, 1024), torch.int8, -128, 127)))


register(
    Operator(
        name="int_mm",
        overloads=(Overload("_int_mm", int_mm, _integers, reference=_wide_product),),
        kernels=(low_precision_kernel,),
        dtypes=(torch.int8,),
        differentiable=False,
        tiles=TILES,
        benchmarks=(Benchmark("_int_mm", _large),),
    )
)
register(
    Operator(
        name="weight_int8pack_mm",
        overloads=(
            Overload(
                "_weight_int8pack_mm", weight_int8pack_mm, _weights, takes_out=False, reference=_wide_weights
            ),
        ),
        kernels=(low_precision_kernel,),
        dtypes=tuple(WIDE),
        differentiable=False,
        tiles=TILES,
        tolerance=2.0,
    )
)
register(
    Operator(
        name="scaled_mm",
        overloads=(
            Overload("_scaled_mm", scaled_mm, _scaled, reference=_wide_scaled),
            Overload("_scaled_mm_v2", scaled_mm_v2, _scaled_by_recipe, reference=_wide_scaled_by_recipe),
        ),
        kernels=(low_precision_kernel,),
        dtypes=tuple(LIMITS),
        differentiable=False,
        tiles=TILES,
    )
)
