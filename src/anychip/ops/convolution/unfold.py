"""im2col, col2im and unfold_backward: windows laid out as columns, and their adjoints. The adjoints gather,
for each element, from the windows that it is in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, signature
from ..memory.copy import copy_, zero_
from ..pointwise_kernels import flat_kernel
from ..reduction import accumulator
from ..registry import ALL, COPYING, FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .geometry import output_size

TILES = Tiles(simt={"elements": 512, "row": 64}, simd={"elements": 1024, "row": 64})
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def im2col_kernel(
    out,
    source,
    C,
    H,
    W,
    count_h,
    count_w,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_h,
    pad_w,
    gap_h,
    gap_w,
    s_n: tl.int64,
    s_c: tl.int64,
    s_h,
    s_w,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[n, c, tap, o] = source[n, c, o * stride - pad + tap * gap], zero outside: one tile of one tap."""
    tiles_w = tl.cdiv(count_w, BLOCK_W)
    tiles_h = tl.cdiv(count_h, BLOCK_H)
    program = tl.program_id(0)
    o_w = (program % tiles_w) * BLOCK_W + tl.arange(0, BLOCK_W)
    rest = program // tiles_w
    o_h = (rest % tiles_h) * BLOCK_H + tl.arange(0, BLOCK_H)
    row = rest // tiles_h
    tap = row % (kernel_h * kernel_w)
    plane = row // (kernel_h * kernel_w)
    source += (plane // C).to(tl.int64) * s_n + (plane % C).to(tl.int64) * s_c
    out += row.to(tl.int64) * count_h * count_w
    h = o_h * stride_h - pad_h + (tap // kernel_w) * gap_h
    w = o_w * stride_w - pad_w + (tap % kernel_w) * gap_w
    keep = (o_h < count_h)[:, None] & (o_w < count_w)[None, :]
    known = ((h >= 0) & (h < H))[:, None] & ((w >= 0) & (w < W))[None, :] & keep
    value = tl.load(source + (h * s_h)[:, None] + (w * s_w)[None, :], mask=known, other=0)
    tl.store(out + (o_h * count_w)[:, None] + o_w[None, :], value, mask=keep)


@triton.jit
def col2im_kernel(
    out,
    source,
    H,
    W,
    count_h,
    count_w,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_h,
    pad_w,
    gap_h,
    gap_w,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, i] = sum over taps of source[plane, tap, the window in which i is that tap]."""
    tiles_w = tl.cdiv(W, BLOCK_W)
    tiles_h = tl.cdiv(H, BLOCK_H)
    program = tl.program_id(0)
    w = (program % tiles_w) * BLOCK_W + tl.arange(0, BLOCK_W)
    rest = program // tiles_w
    h = (rest % tiles_h) * BLOCK_H + tl.arange(0, BLOCK_H)
    plane = (rest // tiles_h).to(tl.int64)
    source += plane * (kernel_h * kernel_w) * count_h * count_w
    out += plane * H * W
    keep = (h < H)[:, None] & (w < W)[None, :]
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    for k_h in range(kernel_h):
        at_h = h + pad_h - k_h * gap_h
        o_h = at_h // stride_h
        known_h = (at_h >= 0) & (at_h - o_h * stride_h == 0) & (o_h < count_h)
        for k_w in range(kernel_w):
            at_w = w + pad_w - k_w * gap_w
            o_w = at_w // stride_w
            known_w = (at_w >= 0) & (at_w - o_w * stride_w == 0) & (o_w < count_w)
            column = source + (k_h * kernel_w + k_w).to(tl.int64) * count_h * count_w
            mask = known_h[:, None] & known_w[None, :] & keep
            total += tl.load(column + (o_h * count_w)[:, None] + o_w[None, :], mask=mask, other=0).to(COMPUTE)
    tl.store(out + (h * W)[:, None] + w[None, :], total.to(out.dtype.element_ty), mask=keep)


@triton.jit
def unfold_gradient_kernel(
    out,
    source,
    size,
    count,
    after,
    length,
    step,
    most,
    COMPUTE: tl.constexpr,
    BLOCK_I: tl.constexpr,
    BLOCK_A: tl.constexpr,
):
    """out[b, i, a] = sum over the windows o that i is in of source[b, o, a, i - o * step]."""
    tiles_a = tl.cdiv(after, BLOCK_A)
    tiles_i = tl.cdiv(size, BLOCK_I)
    program = tl.program_id(0)
    a = (program % tiles_a) * BLOCK_A + tl.arange(0, BLOCK_A)
    rest = program // tiles_a
    i = (rest % tiles_i) * BLOCK_I + tl.arange(0, BLOCK_I)
    before = (rest // tiles_i).to(tl.int64)
    source += before * count * after * length
    keep = (i < size)[:, None] & (a < after)[None, :]
    last = tl.minimum(i // step, count - 1)
    total = tl.zeros((BLOCK_I, BLOCK_A), COMPUTE)
    for k in range(most):
        o = last - k
        place = i - o * step
        known = (o >= 0) & (place < length)
        row = (o.to(tl.int64) * after * length + place)[:, None] + (a.to(tl.int64) * length)[None, :]
        total += tl.load(source + row, mask=known[:, None] & keep, other=0).to(COMPUTE)
    at = (before * size + i)[:, None] * after + a[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=keep)


# ---- operators ------------------------------------------------------------------------------------


def _deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def _windows(name: str, size: Sequence[int], settings: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Number of windows along both dimensions; `settings`: kernel, dilation, padding, stride."""
    kernel, dilation, padding, stride = settings
    if any(len(x) != 2 for x in settings):
        raise ArgumentError(f"It is expected that kernel_size, dilation, padding, stride of {name} are pairs")
    if min(kernel) <= 0 or min(dilation) <= 0 or min(stride) <= 0 or min(padding) < 0:
        raise ArgumentError(
            f"{name}: kernel size, dilation and stride should be greater than zero and padding non-negative, "
            f"but got {list(settings)}"
        )
    counts = [output_size(size[k], kernel[k], stride[k], padding[k], dilation[k]) for k in (0, 1)]
    if min(counts) < 1:
        raise ArgumentError(
            f"{name}: given input with spatial size {list(size)}, the calculated shape of the array of "
            f"sliding blocks is {counts}, but its components must be at least one"
        )
    return counts[0], counts[1]


def _blocks(x: torch.Tensor, height: int, width: int) -> tuple[int, dict[str, int]]:
    tiles = TILES.on(x)
    row = min(power_of_two(width), tiles["row"])
    column = min(power_of_two(height), tiles["elements"] // row)
    return cdiv(height, column) * cdiv(width, row), {"BLOCK_H": column, "BLOCK_W": row}


def im2col(
    self: torch.Tensor,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
    *,
    out: Any = None,
) -> torch.Tensor:
    """Windows of [n, c, h, w] as columns [n, c * kernel positions, windows]; the batch may be missing."""
    if self.dtype not in ALL:
        raise NotServed("im2col", f"dtype {self.dtype} is not served")
    if self.ndim not in (3, 4) or 0 in self.shape[-3:]:
        raise ArgumentError(
            f"Expected 3D or 4D (batch mode) tensor for input with possibly 0 batch size and non-zero "
            f"dimensions for input, but got: {list(self.shape)}"
        )
    counts = _windows("im2col", self.shape[-2:], (kernel_size, dilation, padding, stride))
    channels = self.shape[-3]
    taps = kernel_size[0] * kernel_size[1]
    shape = (*self.shape[:-3], channels * taps, counts[0] * counts[1])
    result = torch.empty(shape, dtype=self.dtype, device=self.device)
    key = ("im2col", signature(self), *map(tuple, (kernel_size, dilation, padding, stride)))
    plan = PLANS.get(key)
    if plan is None:
        tiles, blocks = _blocks(self, *counts)
        strides = self.stride() if self.ndim == 4 else (0, *self.stride())
        sizes = (*self.shape[-3:], *counts, *kernel_size, *stride, *padding, *dilation, *strides)
        programs = math.prod(self.shape[:-2]) * taps * tiles
        plan = PLANS.remember(key, Plan(im2col_kernel, programs, sizes, blocks))
    plan.launch(result, self)
    return _deliver(result, out)


def col2im(
    self: torch.Tensor,
    output_size: Sequence[int],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
    *,
    out: Any = None,
) -> torch.Tensor:
    """The adjoint of `im2col`: columns added up into images of `output_size`."""
    if self.dtype not in FLOATING:
        raise NotServed("col2im", f"dtype {self.dtype} is not served")
    counts = _windows("col2im", output_size, (kernel_size, dilation, padding, stride))
    taps = kernel_size[0] * kernel_size[1]
    if self.ndim not in (2, 3) or 0 in self.shape[-2:] or self.shape[-2] % taps:
        raise ArgumentError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input of size {list(self.shape)} and kernel_size={list(kernel_size)}"
        )
    if self.shape[-1] != counts[0] * counts[1]:
        raise ArgumentError(
            f"Given output_size={list(output_size)}, kernel_size={list(kernel_size)}, expected size of "
            f"input's dimension 2 to match the calculated number of sliding blocks {counts[0] * counts[1]}, "
            f"but got input.size(2)={self.shape[-1]}"
        )
    channels = self.shape[-2] // taps
    shape = (*self.shape[:-2], channels, *output_size)
    result = torch.empty(shape, dtype=self.dtype, device=self.device)
    source = self.contiguous()
    key = (
        "col2im",
        signature(source),
        tuple(output_size),
        *map(tuple, (kernel_size, dilation, padding, stride)),
    )
    plan = PLANS.get(key)
    if plan is None:
        tiles, blocks = _blocks(self, output_size[0], output_size[1])
        sizes = (*output_size, *counts, *kernel_size, *stride, *padding, *dilation)
        programs = math.prod(shape[:-2]) * tiles
        constants = {"COMPUTE": TRITON_DTYPES[accumulator(self.dtype)], **blocks}
        plan = PLANS.remember(key, Plan(col2im_kernel, programs, sizes, constants))
    plan.launch(result, source)
    return _deliver(result, out)


def unfold_backward(
    grad_in: torch.Tensor, input_sizes: Sequence[int], dim: int, size: int, step: int
) -> torch.Tensor:
    """Gradient of a tensor of `input_sizes` from that of its windows along `dim`."""
    if grad_in.dtype not in FLOATING:
        raise NotServed("unfold_backward", f"dtype {grad_in.dtype} is not served")
    result = torch.empty(tuple(input_sizes), dtype=grad_in.dtype, device=grad_in.device)
    if not grad_in.numel():
        return zero_(result)
    if not input_sizes:
        return copy_(result, grad_in.reshape(()))
    dim = dim % len(input_sizes)
    source = grad_in.contiguous()
    key = ("unfold", signature(source), tuple(input_sizes), dim, size, step)
    plan = PLANS.get(key)
    if plan is None:
        after = math.prod(input_sizes[dim + 1 :])
        budget = TILES.on(grad_in)["elements"]
        block_a = min(power_of_two(after), budget)
        block_i = min(power_of_two(input_sizes[dim]), budget // block_a)
        programs = math.prod(input_sizes[:dim]) * cdiv(input_sizes[dim], block_i) * cdiv(after, block_a)
        sizes = (input_sizes[dim], grad_in.shape[dim], after, size, step, cdiv(size, step))
        constants = {
            "COMPUTE": TRITON_DTYPES[accumulator(grad_in.dtype)],
            "BLOCK_I": block_i,
            "BLOCK_A": block_a,
        }
        plan = PLANS.remember(key, Plan(unfold_gradient_kernel, programs, sizes, constants))
    plan.launch(result, source)
    return result


# ---- record ---------------------------------------------------------------------------------------


def _images(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 3, 6, 7), dtype), [3, 2], [1, 1], [1, 1], [2, 1]))
    yield Sample((tensor((3, 7, 6), dtype).transpose(1, 2), [2, 2], [2, 1], [0, 1], [1, 3]))


def _columns(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 18, 24), dtype), [6, 7], [3, 2], [1, 1], [1, 1], [2, 1]))
    yield Sample((tensor((12, 12), dtype), [6, 7], [2, 2], [2, 1], [0, 1], [1, 3]))


def _unfolded(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 4, 3, 3), dtype), [2, 9, 3], 1, 3, 2))
    yield Sample((tensor((3, 2, 5), dtype), [3, 11], 1, 5, 6))
    yield Sample((tensor((4, 3, 4), dtype), [7, 3], 0, 4, 1))


def _layer(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4, 32, 56, 56), dtype), [3, 3], [1, 1], [1, 1], [1, 1]))


def _layer_columns(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4, 288, 3136), dtype), [56, 56], [3, 3], [1, 1], [1, 1], [1, 1]))


for _overload, _kernels, _labels, _draw in (
    (Overload("im2col", im2col, _images), (im2col_kernel,), (), _layer),
    (Overload("col2im", col2im, _columns), (col2im_kernel,), (), _layer_columns),
    (
        Overload("unfold_backward", unfold_backward, _unfolded, takes_out=False),
        (unfold_gradient_kernel, flat_kernel),
        (COPYING,),  # the gradient of a tensor without dimensions
        None,
    ),
):
    register(
        Operator(
            name=_overload.name,
            overloads=(_overload,),
            kernels=_kernels,
            labels=_labels,
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=() if _draw is None else (Benchmark(_overload.name, _draw),),
        )
    )
