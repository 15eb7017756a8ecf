"""Softmax of what a mask leaves, as PyTorch's fused transformer layers call it, and its backward operator.
A row is one program; a row of which nothing is left is NaN, as in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.running_softmax import shift_of
from ..launching import TRITON_DTYPES, Tiles, compute_dtype, launch
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 4096}, simd={"block": 8192})
QUERY_KEY, KEY_PADDING, ELEMENTWISE = 0, 1, 2
"""Kinds of masks: [length, length], [batch, length], and of the input's own shape."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def masked_softmax_kernel(out, source, mask, length, inner, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """Row r of [outer, length, inner], without the elements that `mask` has true."""
    row = tl.program_id(0).to(tl.int64)
    start = (row // inner) * length * inner + row % inner
    lane = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), float("-inf"), COMPUTE)
    for block in range(0, length, BLOCK):
        inside = block + lane < length
        at = start + (block + lane).to(tl.int64) * inner
        hidden = tl.load(mask + at, mask=inside, other=1)
        value = tl.load(source + at, mask=inside, other=0.0).to(COMPUTE)
        largest = tl.maximum(largest, tl.where(hidden, float("-inf"), value))
    peak = shift_of(tl.max(largest, 0))
    total = tl.zeros((BLOCK,), COMPUTE)
    for block in range(0, length, BLOCK):
        inside = block + lane < length
        at = start + (block + lane).to(tl.int64) * inner
        hidden = tl.load(mask + at, mask=inside, other=1)
        value = tl.load(source + at, mask=inside, other=0.0).to(COMPUTE)
        total += tl.where(hidden, 0.0, tl.exp(value - peak))
    weight = tl.sum(total, 0)
    for block in range(0, length, BLOCK):
        inside = block + lane < length
        at = start + (block + lane).to(tl.int64) * inner
        hidden = tl.load(mask + at, mask=inside, other=1)
        value = tl.load(source + at, mask=inside, other=0.0).to(COMPUTE)
        share = tl.where(hidden, 0.0, tl.exp(value - peak)) / weight
        tl.store(out + at, share.to(out.dtype.element_ty), mask=inside)


@triton.jit
def masked_softmax_backward_kernel(
    out, gradient, output, mask, length, inner, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """dx = y (dy - sum(dy y)) over what the mask left, zero elsewhere."""
    row = tl.program_id(0).to(tl.int64)
    start = (row // inner) * length * inner + row % inner
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), COMPUTE)
    for block in range(0, length, BLOCK):
        inside = block + lane < length
        at = start + (block + lane).to(tl.int64) * inner
        hidden = tl.load(mask + at, mask=inside, other=1)
        dy = tl.load(gradient + at, mask=inside, other=0.0).to(COMPUTE)
        y = tl.load(output + at, mask=inside, other=0.0).to(COMPUTE)
        total += tl.where(hidden, 0.0, dy * y)
    weight = tl.sum(total, 0)
    for block in range(0, length, BLOCK):
        inside = block + lane < length
        at = start + (block + lane).to(tl.int64) * inner
        hidden = tl.load(mask + at, mask=inside, other=1)
        dy = tl.load(gradient + at, mask=inside, other=0.0).to(COMPUTE)
        y = tl.load(output + at, mask=inside, other=0.0).to(COMPUTE)
        dx = tl.where(hidden, 0.0, y * (dy - weight))
        tl.store(out + at, dx.to(out.dtype.element_ty), mask=inside)


# ---- forward, backward ----------------------------------------------------------------------------


def _rows(shape: torch.Size, dim: int) -> tuple[int, int, int]:
    """Number of rows, their length, and the step between a row's elements."""
    if not shape:
        return 1, 1, 1
    length = shape[dim]
    return (math.prod(shape) // length if length else 0), length, math.prod(shape[dim % len(shape) + 1 :])


def masked_softmax(
    self: torch.Tensor, mask: torch.Tensor, dim: int | None = None, mask_type: int | None = None
) -> torch.Tensor:
    """Softmax along `dim` (the last by default) of what is not masked; a true mask hides."""
    if self.dtype not in FLOATING:
        raise NotServed("_masked_softmax", f"dtype {self.dtype} is not served")
    if mask.dtype != torch.bool:
        raise ArgumentError("Mask should be a boolean tensor")
    if mask_type not in (QUERY_KEY, KEY_PADDING, ELEMENTWISE):
        raise ArgumentError(
            "Mask Type should be 0 (src_mask), 1 (src_key_padding_mask), or 2 (default_mask), "
            f"not {mask_type}"
        )
    if mask_type == KEY_PADDING:
        if self.ndim != 4 or mask.shape != (self.shape[0], self.shape[3]):
            raise ArgumentError("For mask_type == 1 mask shape should be (B, L)")
        mask = mask.view(self.shape[0], 1, 1, self.shape[3]).expand(self.shape)
    elif mask_type == QUERY_KEY:
        if self.ndim != 4 or mask.shape != self.shape[2:]:
            raise ArgumentError("For mask_type == 0 mask shape should be (L, L)")
        mask = mask.expand(self.shape)
    elif mask.shape != self.shape:
        raise ArgumentError("For mask_type == 2 mask shape should match input shape")
    rows, length, inner = _rows(self.shape, -1 if dim is None else dim)
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    launch(
        masked_softmax_kernel,
        rows,
        out,
        self.contiguous(),
        mask.contiguous(),
        length,
        inner,
        COMPUTE=TRITON_DTYPES[compute_dtype(self.dtype)],
        BLOCK=min(power_of_two(length), TILES.on(self)["block"]),
    )
    return out


def masked_softmax_backward(
    grad_output: torch.Tensor, output: torch.Tensor, mask: torch.Tensor, dim: int | None = None
) -> torch.Tensor:
    """Gradient of the input, from the output; `mask` has the output's shape."""
    if mask.shape != output.shape:
        raise ArgumentError("Mask shape should match grad shape")
    rows, length, inner = _rows(output.shape, -1 if dim is None else dim)
    out = torch.empty(output.shape, dtype=output.dtype, device=output.device)
    launch(
        masked_softmax_backward_kernel,
        rows,
        out,
        grad_output.contiguous(),
        output.contiguous(),
        mask.contiguous(),
        length,
        inner,
        COMPUTE=TRITON_DTYPES[compute_dtype(output.dtype)],
        BLOCK=min(power_of_two(length), TILES.on(output)["block"]),
    )
    return out


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    scores = tensor((2, 3, 5, 5), dtype)
    yield Sample((scores, tensor((5, 5), torch.bool), -1, QUERY_KEY))
    yield Sample((scores, tensor((2, 5), torch.bool), -1, KEY_PADDING))
    yield Sample((scores, tensor((2, 3, 5, 5), torch.bool), None, ELEMENTWISE))
    yield Sample((tensor((7, 9), dtype), tensor((7, 9), torch.bool), 0, ELEMENTWISE))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for dim in (0, 1):
        mask = tensor((7, 9), torch.bool)
        hidden = tensor((7, 9), torch.float64).masked_fill(mask, float("-inf"))
        output = torch.softmax(hidden, dim).nan_to_num().to(dtype)
        yield Sample((tensor((7, 9), dtype, seed=1), output, mask, dim))


register(
    Operator(
        name="masked_softmax",
        overloads=(
            Overload("_masked_softmax", masked_softmax, _samples, takes_out=False),
            Overload("_masked_softmax_backward", masked_softmax_backward, _gradients, takes_out=False),
        ),
        kernels=(masked_softmax_kernel, masked_softmax_backward_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "_masked_softmax",
                lambda dtype: Sample(
                    (tensor((4096, 1024), dtype), tensor((4096, 1024), torch.bool), -1, ELEMENTWISE)
                ),
            ),
        ),
    )
)
