"""Variance and standard deviation over any dimensions, alone and with the mean. Where sums are kept in a
wider type than the elements have, a share of them is read once, as distances from its first element; else
twice, for its mean and for its squares around it. Shares are merged by the formula of Chan, Golub and
LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979; both ways of
summing are in their "Algorithms for computing the sample variance: analysis and recommendations", 1983."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import Around, delivered
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, scalar_bits, signature
from ..reduction import accumulator, normal_dims, reduced_shape, wide_accumulator
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor

TILES = Tiles(
    simt={"elements": 2048, "rows": 64, "split": 1 << 14, "once": 256, "rows_once": 64},
    simd={"elements": 4096, "rows": 128, "split": 1 << 17, "once": 256, "rows_once": 64},
)
"""`once` and `rows_once`: elements of a block, and columns of one, whose totals stay in registers."""
RANGE = {torch.bfloat16: torch.float32}
"""A type whose squares need the range of another one's."""
PLANS: Plans[tuple[Plan, Plan | None, int]] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def finished(squares, count, correction, ROOT: tl.constexpr):
    """Variance, or its root, from the sum of squares around the mean."""
    freedom = count - correction
    value = squares / tl.where(freedom > 0, freedom, 0.0)
    if ROOT:
        value = tl.sqrt(value)
    return value


@triton.jit(do_not_specialize=["correction"])
def spread_kernel(
    spreads,
    means,
    source,
    kept,
    length,
    kept_stride,
    outer_stride,
    stride,
    share,
    shares,
    correction: tl.int64,
    ROOT: tl.constexpr,
    LAST: tl.constexpr,
    ONCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """Mean, and sum of squares around it (the finished spread if LAST), of one share of each column.

    ONCE: sums are of distances d from the first element of the share, so that their squares, sum(d^2) less
    sum(d)^2 / n, lose at most log2(n) bits of COMPUTE: (first - mean)^2 is at most n variances. Else of
    distances from the mean, whose own rounding the same term takes off."""
    tiles = tl.cdiv(kept, BLOCK_K)
    program = tl.program_id(0)
    part = program % shares
    tile = (program // shares) % tiles
    outer = (program // shares // tiles).to(tl.int64)
    column = tile.to(tl.int64) * BLOCK_K + tl.arange(0, BLOCK_K)
    inside = column < kept
    lane = tl.arange(0, BLOCK_R)
    start = part.to(tl.int64) * share
    stop = tl.minimum(start + share, length)
    base = source + outer * outer_stride + column[:, None] * kept_stride
    count = (stop - start).to(COMPUTE)
    total = tl.zeros((BLOCK_K, BLOCK_R), COMPUTE)
    squares = tl.zeros((BLOCK_K, BLOCK_R), COMPUTE)
    if ONCE:
        at_first = source + outer * outer_stride + column * kept_stride + start * stride
        centre = tl.load(at_first, mask=inside & (start < stop), other=0).to(COMPUTE)
        centre = tl.where(tl.abs(centre) < float("inf"), centre, 0.0)
    else:
        for block in range(start, stop, BLOCK_R):
            place = (block + lane)[None, :]
            mask = inside[:, None] & (place < stop)
            total += tl.load(base + place * stride, mask=mask, other=0).to(COMPUTE)
        centre = tl.sum(total, 1) / count
        total = tl.zeros((BLOCK_K, BLOCK_R), COMPUTE)
    for block in range(start, stop, BLOCK_R):
        place = (block + lane)[None, :]
        mask = inside[:, None] & (place < stop)
        value = tl.load(base + place * stride, mask=mask, other=0).to(COMPUTE)
        distance = tl.where(mask, value - centre[:, None], 0.0)
        total += distance
        squares += distance * distance
    beside = tl.sum(total, 1) / count
    spread = tl.sum(squares, 1) - beside * beside * count
    spread = tl.where(spread < 0, 0.0, spread)
    if ONCE:
        mean = centre + beside
    else:
        mean = centre
    if LAST:
        wide = double(correction).to(COMPUTE)
        spread = finished(spread, count, wide, ROOT)
    at = (outer * kept + column) * shares + part
    tl.store(spreads + at, spread.to(spreads.dtype.element_ty), mask=inside)
    if means is not None:
        tl.store(means + at, mean.to(means.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["correction"])
def merge_kernel(
    spreads,
    means,
    squares,
    shared,
    kept,
    length,
    share,
    shares,
    correction: tl.int64,
    ROOT: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One column's shares (their squares and means) into its spread and mean."""
    column = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < shares
    count = tl.minimum(length - lane.to(tl.int64) * share, share).to(COMPUTE)
    mean = tl.load(shared + column * shares + lane, mask=mask, other=0).to(COMPUTE)
    square = tl.load(squares + column * shares + lane, mask=mask, other=0).to(COMPUTE)
    whole = tl.full((), 0, COMPUTE) + length
    centre = tl.sum(tl.where(mask, mean * count, 0.0), 0) / whole
    distance = mean - centre
    total = tl.sum(tl.where(mask, square + count * distance * distance, 0.0), 0)
    wide = double(correction).to(COMPUTE)
    tl.store(spreads + column, finished(total, whole, wide, ROOT).to(spreads.dtype.element_ty))
    if means is not None:
        tl.store(means + column, centre.to(means.dtype.element_ty))


# ---- forward --------------------------------------------------------------------------------------


def merged(self: torch.Tensor, reduced: list[int]) -> tuple[torch.Tensor, Around]:
    """A contiguous tensor and the sizes around the reduced dimensions, merged into one."""
    kept = [d for d in range(self.ndim) if d not in reduced]
    listed = sorted(reduced)
    length = math.prod(self.shape[d] for d in listed)
    if not listed:
        return self.contiguous(), Around(self.numel(), 1, 1)
    if listed == list(range(listed[0], listed[0] + len(listed))) and self.is_contiguous():
        before = math.prod(self.shape[: listed[0]])
        return self, Around(before, length, math.prod(self.shape[listed[-1] + 1 :]))
    source = self.permute(*kept, *listed).contiguous()
    return source, Around(math.prod(self.shape[d] for d in kept), length, 1)


def _plan(
    space: Around, source: torch.Tensor, compute: torch.dtype, root: bool
) -> tuple[Plan, Plan | None, int]:
    """The launch for a contiguous [outer, length, inner], or two where few columns are long; and the
    number of shares."""
    outer, length, inner = space
    sizes = TILES.on(source.device)
    shares = min(16, length // sizes["split"]) if inner == 1 and outer < 8 else 1
    share = cdiv(length, max(shares, 1))
    shares = cdiv(length, share) if share else 1
    once = compute.itemsize > accumulator(source.dtype).itemsize
    if inner == 1:
        groups, kept, kept_stride, outer_stride = 1, outer, length, 0
        block_r = min(power_of_two(share), sizes["once" if once else "elements"])
        most = sizes["once"] // 2 if once else sizes["elements"] // 4
        block_r = max(block_r, 8) if once else block_r
        block_k = min(power_of_two(kept), max(1, most // block_r))
    else:
        groups, kept, kept_stride, outer_stride = outer, inner, 1, length * inner
        block_k = min(power_of_two(kept), sizes["rows_once" if once else "rows"])
        most = sizes["rows_once"] if once else sizes["elements"] // 8
        block_r = min(power_of_two(share), max(1, most // block_k))
    numbers = (kept, length, kept_stride, outer_stride, inner, share, shares)
    constants = {"ROOT": root, "COMPUTE": TRITON_DTYPES[compute]}
    blocks = {"LAST": shares == 1, "ONCE": once, **constants, "BLOCK_K": block_k, "BLOCK_R": block_r}
    first = Plan(spread_kernel, groups * cdiv(kept, block_k) * shares, numbers, blocks)
    if shares == 1:
        return first, None, 1
    merge = {**constants, "BLOCK": power_of_two(shares)}
    return first, Plan(merge_kernel, outer, (outer, length, share, shares), merge), shares


def spread(
    name: str, self: torch.Tensor, dim: Any, correction: float | None, keepdim: bool, with_mean: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(variance or deviation, mean) over `dim` (None or empty: all); `correction` is taken off the count."""
    if not self.dtype.is_floating_point:
        if self.dtype.is_complex:
            raise NotServed(name, f"dtype {self.dtype} is not served")
        raise ArgumentError(f"{name}(): only support floating point and complex dtypes, got {self.dtype}")
    root = name.startswith("std")
    freedom = 1.0 if correction is None else float(correction)
    reduced = normal_dims(dim, self.ndim)
    shape = reduced_shape(self.shape, reduced, keepdim)
    spreads = torch.empty(shape, dtype=self.dtype, device=self.device)
    means = torch.empty(shape, dtype=self.dtype, device=self.device) if with_mean else None
    if not spreads.numel():
        return spreads, means
    source, space = merged(self, reduced)
    compute = wide_accumulator(RANGE.get(self.dtype, self.dtype), self.device)
    key = (signature(source), space, root, with_mean)
    plans = PLANS.get(key)
    if plans is None:
        plans = PLANS.remember(key, _plan(space, source, compute, root))
    first, merge, shares = plans
    numbers = (scalar_bits(freedom, True),)
    if merge is None:
        first.launch(spreads, means, source, numbers=numbers)
    else:
        squares, shared = (
            torch.empty((spreads.numel(), shares), dtype=compute, device=self.device) for _ in range(2)
        )
        first.launch(squares, shared, source, numbers=numbers)
        merge.launch(spreads, means, squares, shared, numbers=numbers)
    return spreads, means


def var(
    self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False, out: Any = None
) -> torch.Tensor:
    """Sum of squares around the mean, divided by the count less `correction` (1 by default)."""
    return delivered(spread("var", self, dim, correction, keepdim, False)[0], out)


def std(
    self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False, out: Any = None
) -> torch.Tensor:
    """Root of the variance."""
    return delivered(spread("std", self, dim, correction, keepdim, False)[0], out)


def var_mean(self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    """(variance, mean)."""
    return spread("var_mean", self, dim, correction, keepdim, True)


def std_mean(self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    """(standard deviation, mean)."""
    return spread("std_mean", self, dim, correction, keepdim, True)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((33,), dtype),))
    yield Sample((tensor((5, 7), dtype), [1]), {"correction": 0})
    yield Sample((tensor((3, 4, 5), dtype), [0, 2]), {"keepdim": True})
    yield Sample((tensor((3, 4, 5), dtype), [1]), {"correction": 2})
    yield Sample((tensor((6, 4), dtype).t(), [0]), {"correction": 0.5})
    yield Sample((tensor((3, 0), dtype), [1]))
    yield Sample((tensor((), dtype),))
    yield Sample((tensor((2, 300000), torch.float32).to(dtype) * 0.1 + 4, [1]))


def _rows(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), [1]))


for _name, _function in (("var", var), ("std", std), ("var_mean", var_mean), ("std_mean", std_mean)):
    register(
        Operator(
            name=_name,
            overloads=(Overload(f"{_name}.correction", _function, _samples, takes_out="mean" not in _name),),
            kernels=(spread_kernel, merge_kernel),
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=(Benchmark(f"{_name}.correction", _rows),),
            tolerance=4.0,
        )
    )
