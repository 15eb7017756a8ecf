"""Reflection and replication padding of one to three spatial dimensions, forward and backward. Backward
each input element gathers from the places that it was copied to, so that no two programs add to one place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, signature
from ..pooling.geometry import TILES, blocks, channels, deliver, result_for, strides
from ..reduction import accumulator
from ..registry import ALL, FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .padding_kernels import border_gradient_kernel, border_kernel

UNROLLED_ROWS = 9
WIDEST_EDGE = 16
PLANS: Plans[Plan] = Plans()

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


def forward(name: str, rank: int, reflect: bool) -> Any:
    """The operator of `rank` dimensions."""

    def pad(self: torch.Tensor, padding: Sequence[int], *, out: Any = None) -> torch.Tensor:
        if self.dtype not in ALL:
            raise NotServed(name, f"dtype {self.dtype} is not served")
        size, count, before, after = _margins(name, self, padding, rank, reflect)
        result = result_for(self, rank, count, self.dtype)
        key = (signature(self), tuple(padding), name)
        plan = PLANS.get(key)
        if plan is None:
            programs, tile = blocks(result, rank, (count[0], count[1], size[2]))
            sizes = (channels(self, rank), size, count, before)
            plan = Plan(
                border_kernel,
                programs,
                (*sizes, strides(self, rank), strides(result, rank)),
                {"REFLECT": reflect, "EDGE": _edge(before, after), **tile},
                label=name,
            )
            PLANS.remember(key, plan)
        plan.launch(result, self)
        return deliver(result, out)

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
            sizes = (channels(self, rank), size, count, before)
            plan = Plan(
                border_gradient_kernel,
                programs,
                (*sizes, strides(grad_output, rank), strides(result, rank)),
                {
                    "MOST_D": most[0],
                    "MOST_H": most[1],
                    "UNROLL": math.prod(most) <= UNROLLED_ROWS,
                    "REFLECT": reflect,
                    "EDGE": _edge(before, after),
                    "COMPUTE": TRITON_DTYPES[accumulator(self.dtype)],
                    **tile,
                },
                label=name,
            )
            PLANS.remember(key, plan)
        plan.launch(result, grad_output)
        return deliver(result, out)

    return pad_backward


def _edge(before: Sequence[int], after: Sequence[int]) -> int:
    """The columns beyond an end of the input that are handled together."""
    return min(WIDEST_EDGE, power_of_two(max(before[2], after[2], 1)))


def _most(size: Sequence[int], before: Sequence[int], after: Sequence[int], reflect: bool) -> tuple[int, ...]:
    """The largest number of places that one element is copied to, along depth and height."""
    along = list(zip(size, before, after, strict=True))[:2]
    if reflect:
        return tuple(3 if b or a else 1 for _, b, a in along)
    return tuple(1 + max(0, b) + max(0, a) if n == 1 else 1 + max(0, b, a) for n, b, a in along)


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


def _image_gradient(dtype: torch.dtype) -> Sample:
    x, padding = _image(dtype).arguments
    return Sample((tensor((8, 64, 114, 114), dtype, seed=1), x, padding))


for _kind, _reflects in (("reflection_pad", True), ("replication_pad", False)):
    register(
        Operator(
            name=_kind,
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
            benchmarks=(Benchmark(f"{_kind}2d", _image), Benchmark(f"{_kind}2d_backward", _image_gradient)),
        )
    )
