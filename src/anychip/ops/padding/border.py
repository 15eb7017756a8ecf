"""Reflection and replication padding of one to three spatial dimensions, forward and backward. Backward
each input element gathers from the places that it was copied to, so that no two programs add to one place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launch import TRITON_DTYPES, Plan, Plans, signature
from ..memory.copy import copy_
from ..pooling.window import TILES, UNROLLED_TAPS, blocks, channels, result_for, strides, tile_place
from ..reduction import accumulator
from ..registry import ALL, FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor

PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def copied_from(o, before, size, REFLECT: tl.constexpr):
    """The input's position that output position o repeats."""
    i = o - before
    if REFLECT:
        i = tl.abs(i)
        i = size - 1 - tl.abs(size - 1 - i)
    else:
        i = tl.minimum(tl.maximum(i, 0), size - 1)
    return i


@triton.jit
def copied_to(i, k, before, size, count, REFLECT: tl.constexpr):
    """The k-th output position that repeats input position i, or -1."""
    if REFLECT:
        o = i + before
        known = k == 0
        if k == 1:
            o = before - i
            known = i >= 1
        if k == 2:
            o = before + 2 * (size - 1) - i
            known = i <= size - 2
    else:
        first = tl.maximum(tl.where(i == 0, 0, i + before), 0)
        stop = tl.where(i == size - 1, count, i + before + 1)
        o = first + k
        known = o < stop
    return tl.where(known & (o >= 0) & (o < count), o, -1)


@triton.jit
def border_kernel(
    out, source, channels, D, H, W, count_d, count_h, count_w, before_d, before_h, before_w,
    s_n: tl.int64, s_c: tl.int64, s_d, s_h, s_w, o_n: tl.int64, o_c: tl.int64, o_d, o_h, o_w,
    REFLECT: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """out[plane, o] = source[plane, the position that o repeats]."""
    plane, d, h, w, keep = tile_place(count_d, count_h, count_w, BLOCK_H, BLOCK_W)
    source += (plane // channels).to(tl.int64) * s_n + (plane % channels).to(tl.int64) * s_c
    out += (plane // channels).to(tl.int64) * o_n + (plane % channels).to(tl.int64) * o_c
    source += copied_from(d, before_d, D, REFLECT) * s_d
    row = copied_from(tl.minimum(h, count_h - 1), before_h, H, REFLECT) * s_h
    column = copied_from(tl.minimum(w, count_w - 1), before_w, W, REFLECT) * s_w
    value = tl.load(source + row[:, None] + column[None, :])
    at = d * o_d + (h * o_h)[:, None] + (w * o_w)[None, :]
    tl.store(out + at, value, mask=keep)


@triton.jit
def gathered(gradient, d, h, w, g_d, g_h, g_w, keep, COMPUTE: tl.constexpr):
    """gradient[d, h, w], zero where a position is -1."""
    mask = ((h >= 0) & (d >= 0))[:, None] & (w >= 0)[None, :] & keep
    at = d * g_d + (h * g_h)[:, None] + (w * g_w)[None, :]
    return tl.load(gradient + at, mask=mask, other=0).to(COMPUTE)


@triton.jit
def border_gradient_kernel(
    out, gradient, channels, D, H, W, count_d, count_h, count_w, before_d, before_h, before_w,
    g_n: tl.int64, g_c: tl.int64, g_d, g_h, g_w, o_n: tl.int64, o_c: tl.int64, o_d, o_h, o_w,
    MOST_D: tl.constexpr, MOST_H: tl.constexpr, MOST_W: tl.constexpr, UNROLL: tl.constexpr,
    REFLECT: tl.constexpr, COMPUTE: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """out[plane, i] = sum of the gradients of the positions that repeat i."""
    plane, d, h, w, keep = tile_place(D, H, W, BLOCK_H, BLOCK_W)
    gradient += (plane // channels).to(tl.int64) * g_n + (plane % channels).to(tl.int64) * g_c
    out += (plane // channels).to(tl.int64) * o_n + (plane % channels).to(tl.int64) * o_c
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    if UNROLL:
        for k_d in tl.static_range(MOST_D):
            for k_h in tl.static_range(MOST_H):
                for k_w in tl.static_range(MOST_W):
                    total += gathered(
                        gradient, copied_to(d, k_d, before_d, D, count_d, REFLECT),
                        copied_to(h, k_h, before_h, H, count_h, REFLECT),
                        copied_to(w, k_w, before_w, W, count_w, REFLECT), g_d, g_h, g_w, keep, COMPUTE,
                    )  # fmt: skip
    else:
        for k_d in range(MOST_D):
            for k_h in range(MOST_H):
                for k_w in range(MOST_W):
                    total += gathered(
                        gradient, copied_to(d, k_d, before_d, D, count_d, REFLECT),
                        copied_to(h, k_h, before_h, H, count_h, REFLECT),
                        copied_to(w, k_w, before_w, W, count_w, REFLECT), g_d, g_h, g_w, keep, COMPUTE,
                    )  # fmt: skip
    at = d * o_d + (h * o_h)[:, None] + (w * o_w)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=keep)


# ---- forward, backward ----------------------------------------------------------------------------


def _margins(
    name: str, x: torch.Tensor, padding: Sequence[int], rank: int, reflect: bool
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Sizes, output sizes, and margins before and after, as three numbers each."""
    if len(padding) != 2 * rank:
        raise ArgumentError(f"{name}: padding size is expected to be {2 * rank}, but got: {len(padding)}")
    batched = x.ndim == rank + 2
    if x.ndim not in (rank + 1, rank + 2) or 0 in x.shape[1 if batched else 0 :]:
        raise ArgumentError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with possibly 0 batch size and "
            f"other non-zero dimensions for input, but got: {list(x.shape)}"
        )
    before = (0,) * (3 - rank) + tuple(padding[2 * k] for k in reversed(range(rank)))
    after = (0,) * (3 - rank) + tuple(padding[2 * k + 1] for k in reversed(range(rank)))
    size = (1,) * (3 - rank) + tuple(x.shape[-rank:])
    if reflect and any(max(b, a) >= n for b, a, n in zip(before, after, size, strict=True)):
        raise ArgumentError(
            f"{name}: Padding size should be less than the corresponding input dimension, but got: padding "
            f"{list(padding)} for input of size {list(x.shape)}"
        )
    count = tuple(n + b + a for n, b, a in zip(size, before, after, strict=True))
    if any(c < 1 for c in count):
        raise ArgumentError(
            f"{name}: input {list(x.shape[-rank:])} is too small. Calculated output: "
            f"{list(count[3 - rank :])}"
        )
    return size, count, before, after


def _deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def forward(name: str, rank: int, reflect: bool) -> Any:
    """The operator of `rank` dimensions."""

    def pad(self: torch.Tensor, padding: Sequence[int], *, out: Any = None) -> torch.Tensor:
        if self.dtype not in ALL:
            raise NotServed(name, f"dtype {self.dtype} is not served")
        size, count, before, _ = _margins(name, self, padding, rank, reflect)
        result = result_for(self, rank, count, self.dtype)
        key = (signature(self), tuple(padding), name)
        plan = PLANS.get(key)
        if plan is None:
            programs, tile = blocks(result, rank, count)
            sizes = (channels(self, rank), *size, *count, *before)
            plan = Plan(
                border_kernel, programs, (*sizes, *strides(self, rank), *strides(result, rank)),
                {"REFLECT": reflect, **tile}, label=name,
            )  # fmt: skip
            PLANS.remember(key, plan)
        plan.launch(result, self)
        return _deliver(result, out)

    return pad


def backward(name: str, rank: int, reflect: bool) -> Any:
    """The backward operator of `rank` dimensions."""

    def pad_backward(
        grad_output: torch.Tensor, self: torch.Tensor, padding: Sequence[int], *, out: Any = None
    ) -> torch.Tensor:
        if self.dtype not in FLOATING:
            raise NotServed(name, f"dtype {self.dtype} is not served")
        size, count, before, after = _margins(name, self, padding, rank, reflect)
        wanted = (*self.shape[:-rank], *count[3 - rank :])
        if tuple(grad_output.shape) != wanted:
            raise ArgumentError(
                f"{name}: gradOutput of sizes {list(wanted)} expected, but got {list(grad_output.shape)}"
            )
        result = result_for(self, rank, size, self.dtype)
        key = (signature(grad_output, self), tuple(padding), name)
        plan = PLANS.get(key)
        if plan is None:
            programs, tile = blocks(result, rank, size)
            most = _most(size, before, after, reflect)
            sizes = (channels(self, rank), *size, *count, *before)
            plan = Plan(
                border_gradient_kernel,
                programs,
                (*sizes, *strides(grad_output, rank), *strides(result, rank)),
                {
                    **dict(zip(("MOST_D", "MOST_H", "MOST_W"), most, strict=True)),
                    "UNROLL": reflect or math.prod(most) <= UNROLLED_TAPS, "REFLECT": reflect,
                    "COMPUTE": TRITON_DTYPES[accumulator(self.dtype)], **tile,
                },
                label=name,
            )  # fmt: skip
            PLANS.remember(key, plan)
        plan.launch(result, grad_output)
        return _deliver(result, out)

    return pad_backward


def _most(size: Sequence[int], before: Sequence[int], after: Sequence[int], reflect: bool) -> tuple[int, ...]:
    """The largest number of places that one element is copied to, along each dimension."""
    if reflect:
        return tuple(3 if b or a else 1 for b, a in zip(before, after, strict=True))
    return tuple(
        1 + max(0, b) + max(0, a) if n == 1 else 1 + max(0, b, a)
        for n, b, a in zip(size, before, after, strict=True)
    )


# ---- record ---------------------------------------------------------------------------------------

CASES: dict[int, tuple[tuple[tuple[int, ...], list[int]], ...]] = {
    1: (((2, 3, 5), [2, 1]), ((3, 6), [0, 4]), ((2, 3, 5), [-1, 2])),
    2: (((2, 3, 5, 6), [2, 1, 3, 0]), ((3, 5, 6), [1, 2, -1, 2])),
    3: (((1, 2, 3, 5, 4), [1, 2, 0, 3, 2, 1]), ((2, 3, 5, 4), [3, 3, 1, -1, 0, 0])),
}


def _samples(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for shape, padding in CASES[rank][: None if dtype == torch.float32 else 1]:
            yield Sample((tensor(shape, dtype), padding))
        if dtype == torch.float32:
            shape, padding = CASES[rank][0]
            yield Sample((tensor(shape[::-1], dtype).permute(*reversed(range(len(shape)))), padding))

    return draw


def _gradients(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for shape, padding in CASES[rank][: None if dtype == torch.float32 else 1]:
            x = tensor(shape, dtype)
            wide = list(shape[:-rank])
            for k, n in enumerate(shape[-rank:]):
                margin = padding[2 * (rank - 1 - k) : 2 * (rank - k)]
                wide.append(n + sum(margin))
            yield Sample((tensor(wide, dtype, seed=1), x, padding))

    return draw


def _image(dtype: torch.dtype) -> Sample:
    return Sample((tensor((8, 64, 112, 112), dtype), [1, 1, 1, 1]))


for _kind, _reflects in (("reflection_pad", True), ("replication_pad", False)):
    register(
        Operator(
            name=_kind,
            domain="padding",
            overloads=tuple(
                overload
                for rank in (1, 2, 3)
                for overload in (
                    Overload(f"{_kind}{rank}d", forward(f"{_kind}{rank}d", rank, _reflects), _samples(rank)),
                    Overload(
                        f"{_kind}{rank}d_backward",
                        backward(f"{_kind}{rank}d_backward", rank, _reflects),
                        _gradients(rank),
                    ),
                )
            ),
            kernels=(border_kernel, border_gradient_kernel),
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=(Benchmark(f"{_kind}2d", _image),),
        )
    )
