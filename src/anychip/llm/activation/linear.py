"""A linear layer with its bias and activation in the epilogue of the product, and the same for one row or a
few, where the inner dimension is divided among programs (split-K). Flows in: rows, a weight [out, in] as
linear layers keep it, a bias. Flows out: rows [..., out]; gradients of the first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..products import product, product_kernel
from ..registry import Fused, register
from .gated import gelu, gelu_tanh, relu, silu

TILES = Tiles(
    simt={"rows": 64, "columns": 64, "inner": 32, "few": 16, "wide": 64, "part": 512},
    simd={"rows": 64, "columns": 64, "inner": 64, "few": 4, "wide": 1, "part": 1 << 20},
)
MOST_PARTS = 32

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def identity(x):
    """x, and its derivative."""
    return x, x * 0.0 + 1.0


@triton.jit
def linear_activation_kernel(
    out,
    kept,
    x,
    weight,
    bias,
    rows,
    columns,
    inner,
    ACTIVATION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of ACTIVATION(x weight^T + bias); `kept` gets what the activation was given."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_m, in_n = (row < rows)[:, None], (column < columns)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, inner, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        in_k = k < inner
        left = tl.load(x + row[:, None] * inner + k[None, :], mask=in_m & in_k[None, :], other=0.0)
        right = tl.load(weight + column[None, :] * inner + k[:, None], mask=in_n & in_k[:, None], other=0.0)
        total = tl.dot(left, right, total, input_precision="ieee")
    if bias is not None:
        total += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]
    at = row[:, None] * columns + column[None, :]
    if kept is not None:
        tl.store(kept + at, total.to(kept.dtype.element_ty), mask=in_m & in_n)
    result, _ = ACTIVATION(total)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=in_m & in_n)


@triton.jit
def activation_slope_kernel(
    dkept, dbias, dout, kept, rows, columns, rows_per_group, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr
):
    """dkept = dout ACTIVATION'(kept) of a block of columns of a group of rows; the group's share of dbias."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    group = tl.program_id(1).to(tl.int64)
    mask = lane < columns
    total = tl.zeros((BLOCK,), tl.float32)
    first = group * rows_per_group
    for row in range(first, tl.minimum(first + rows_per_group, rows)):
        at = row * columns + lane
        _, slope = ACTIVATION(tl.load(kept + at, mask=mask, other=0.0).to(tl.float32))
        d = tl.load(dout + at, mask=mask, other=0.0).to(tl.float32) * slope
        total += d
        tl.store(dkept + at, d.to(dkept.dtype.element_ty), mask=mask)
    tl.store(dbias + group * columns + lane, total, mask=mask)


@triton.jit
def column_total_kernel(out, partial, groups, columns, BLOCK: tl.constexpr):
    """out[k] = sum over groups of partial[g, k]."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < columns
    total = tl.zeros((BLOCK,), tl.float32)
    for group in range(groups):
        total += tl.load(partial + group * columns + lane, mask=mask, other=0.0)
    tl.store(out + lane, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def few_rows_kernel(
    partial,
    x,
    weight,
    bias,
    rows,
    columns,
    inner,
    inner_of_part,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """x weight^T of a few rows and some columns over one part of the inner dimension, without tl.dot: rows
    one by one, while the weights of the columns are near. A bias is for a whole that has one part."""
    column = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    part = tl.program_id(1)
    first_row = tl.program_id(2) * BLOCK_M
    in_n = (column < columns)[:, None]
    first = part * inner_of_part
    last = tl.minimum(inner, first + inner_of_part)
    for one in tl.static_range(BLOCK_M):
        row = (first_row + one).to(tl.int64)
        if row < rows:
            total = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
            for start in range(first, last, BLOCK_K):
                k = start + tl.arange(0, BLOCK_K)
                in_k = k < last
                w = tl.load(
                    weight + column[:, None] * inner + k[None, :], mask=in_n & in_k[None, :], other=0.0
                )
                value = tl.load(x + row * inner + k, mask=in_k, other=0.0).to(tl.float32)
                total += w.to(tl.float32) * value[None, :]
            at = (part.to(tl.int64) * rows + row) * columns + column
            result = tl.sum(total, 1)
            if bias is not None:
                result += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)
            tl.store(partial + at, result.to(partial.dtype.element_ty), mask=column < columns)


@triton.jit
def join_few_kernel(out, partial, bias, parts, count, columns, BLOCK: tl.constexpr):
    """The sum of the parts, and the bias."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    total = tl.zeros((BLOCK,), tl.float32)
    for part in range(parts):
        total += tl.load(partial + part.to(tl.int64) * count + at, mask=mask, other=0.0)
    if bias is not None:
        total += tl.load(bias + at % columns, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class LinearActivation(torch.autograd.Function):
    """What the activation was given is kept for its derivative."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: Any
    ) -> torch.Tensor:
        """activation(x w^T + bias): x [rows, in], weight [out, in], result [rows, out]."""
        x, weight = x.contiguous(), weight.contiguous()
        columns, inner = weight.shape
        rows = x.shape[:-1].numel()
        out = torch.empty((*x.shape[:-1], columns), dtype=x.dtype, device=x.device)
        kept = torch.empty(out.shape, dtype=x.dtype, device=x.device)
        tiles = TILES.on(x)
        block_m = max(16, min(tiles["rows"], power_of_two(rows)))
        block_n = max(16, min(tiles["columns"], power_of_two(columns)))
        launch(
            linear_activation_kernel,
            (cdiv(rows, block_m), cdiv(columns, block_n)),
            out,
            kept,
            x,
            weight,
            None if bias is None else bias.contiguous(),
            rows,
            columns,
            inner,
            label=activation.__name__,
            ACTIVATION=activation,
            BLOCK_M=block_m,
            BLOCK_N=block_n,
            BLOCK_K=max(16, min(tiles["inner"], power_of_two(inner))),
        )
        ctx.save_for_backward(x, weight, kept)
        ctx.activation, ctx.has_bias = activation, bias is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, weight and bias (None without one)."""
        x, weight, kept = ctx.saved_tensors
        (columns, inner), device = weight.shape, x.device
        rows = x.shape[:-1].numel()
        groups = max(1, min(16, rows))
        slope = torch.empty((rows, columns), dtype=x.dtype, device=device)
        partial = torch.empty((groups, columns), dtype=torch.float32, device=device)
        block = min(512, power_of_two(columns))
        launch(
            activation_slope_kernel,
            (cdiv(columns, block), groups),
            slope,
            partial,
            grad_outputs[0].contiguous(),
            kept,
            rows,
            columns,
            cdiv(rows, groups),
            label=ctx.activation.__name__,
            ACTIVATION=ctx.activation,
            BLOCK=block,
        )
        dbias = None
        if ctx.has_bias:
            dbias = torch.empty(columns, dtype=weight.dtype, device=device)
            launch(column_total_kernel, cdiv(columns, 256), dbias, partial, groups, columns, BLOCK=256)
        dx, dweight = torch.empty_like(x), torch.empty_like(weight)
        product(dx.view(rows, inner), slope, weight)
        product(dweight, slope.t(), x.view(rows, inner))
        return dx, dweight, dbias, None


ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "none": (identity, lambda x: x),
    "relu": (relu, F.relu),
    "gelu": (gelu, F.gelu),
    "gelu_tanh": (gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
    "silu": (silu, F.silu),
}
"""Name -> the kernel's activation, and PyTorch's."""


def _checked(name: str, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    if (
        not x.ndim
        or weight.ndim != 2
        or x.shape[-1] != weight.shape[1]
        or x.dtype != weight.dtype
        or (bias is not None and bias.shape != weight.shape[:1])
    ):
        raise ArgumentError(
            f"{name}: rows {tuple(x.shape)} of {x.dtype} need a weight [out, {x.shape[-1] if x.ndim else 0}] "
            f"and a bias [out], got {tuple(weight.shape)} of {weight.dtype}"
        )


def linear_activation(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, activation: str = "gelu"
) -> torch.Tensor:
    """activation(x weight^T + bias) in one launch.

    x [..., in], weight [out, in] of the same dtype, bias [out]; activation "none", "relu", "gelu",
    "gelu_tanh" or "silu". Gives [..., out]. Differentiable in x, weight and bias. Raises ArgumentError.
    """
    _checked("linear_activation", x, weight, bias)
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"linear_activation: {activation!r} is none of {', '.join(ACTIVATIONS)}")
    return LinearActivation.apply(x, weight, bias, ACTIVATIONS[activation][0])


def decode_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x weight^T + bias of the few rows that decoding has: weights are read in order, as they
    lie, and the inner dimension is divided among programs on chips that run many.

    x [..., in], weight [out, in] of the same dtype, bias [out]. Gives [..., out]. Raises ArgumentError.
    """
    _checked("decode_linear", x, weight, bias)
    x, weight = x.contiguous(), weight.contiguous()
    (columns, inner), device = weight.shape, x.device
    rows = x.shape[:-1].numel()
    tiles = TILES.on(device)
    parts = max(1, min(MOST_PARTS, cdiv(inner, tiles["part"])))
    block_k = min(128, power_of_two(inner))
    block_m = min(tiles["few"], power_of_two(rows))
    bias = None if bias is None else bias.contiguous()
    out = torch.empty((*x.shape[:-1], columns), dtype=x.dtype, device=device)
    partial = out if parts == 1 else torch.empty((parts, rows, columns), dtype=torch.float32, device=device)
    wide = tiles["wide"]
    launch(
        few_rows_kernel,
        (cdiv(columns, wide), parts, cdiv(rows, block_m)),
        partial,
        x,
        weight,
        bias if parts == 1 else None,
        rows,
        columns,
        inner,
        cdiv(cdiv(inner, parts), block_k) * block_k,
        BLOCK_M=block_m,
        BLOCK_N=wide,
        BLOCK_K=block_k,
    )
    if parts > 1:
        count = rows * columns
        launch(join_few_kernel, cdiv(count, 1024), out, partial, bias, parts, count, columns, BLOCK=1024)
    return out


# ---- records --------------------------------------------------------------------------------------


def _reference(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, activation: str = "gelu"
) -> torch.Tensor:
    return ACTIVATIONS[activation][1](F.linear(x, weight, bias))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype, -1, 1), tensor((5, 7), dtype, -1, 1, seed=1)), {"activation": "relu"})
    x, weight = tensor((90, 2, 33), dtype, -1, 1).permute(1, 2, 0), tensor((70, 90), dtype, -1, 1, seed=1)
    yield Sample((x, weight, tensor((70,), dtype), "silu"))


def _decode_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((7,), dtype, -1, 1), tensor((5, 7), dtype, -1, 1, seed=1)))
    weight = tensor((50, 300), dtype, -1, 1, seed=1)
    yield Sample((tensor((3, 2, 300), dtype, -1, 1), weight, tensor((50,), dtype)))


register(
    Fused(
        "linear_activation",
        "activation",
        linear_activation,
        _reference,
        _samples,
        (linear_activation_kernel, activation_slope_kernel, column_total_kernel, product_kernel),
        differentiable=True,
    )
)
register(
    Fused(
        "decode_linear",
        "activation",
        decode_linear,
        lambda x, w, b=None: F.linear(x, w, b),
        _decode_samples,
        (few_rows_kernel, join_few_kernel),
    )
)
