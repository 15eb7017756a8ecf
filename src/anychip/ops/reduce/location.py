"""Where the largest or smallest element is: argmax, argmin, and max and min along a dimension with the
place. Of equal elements the first counts, and NaN is larger and smaller than all, as in PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import Around, around, delivered, normal_dim, without
from ..errors import ArgumentError, DimensionError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, signature
from ..registry import ALL, FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, special, tensor
from .extremes import larger, smaller

TILES = Tiles(
    simt={"elements": 2048, "rows": 64, "split": 1 << 14},
    simd={"elements": 2048, "rows": 128, "split": 1 << 18},
)
PLANS: Plans[tuple[Plan, Plan | None, int]] = Plans()
Pair = tuple[torch.Tensor, torch.Tensor]

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def locate_kernel(
    values,
    indices,
    source,
    places,
    kept,
    length,
    kept_stride,
    outer_stride,
    stride,
    share,
    shares,
    LARGEST: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """Extreme of each kept column over one share of its elements, and its first place (looked up in
    `places`, if that is given): values[outer, k, share], indices[outer, k, share]."""
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
    base = outer * outer_stride + column[:, None] * kept_stride
    first = tl.load(source + base + start * stride, mask=inside[:, None], other=0).to(COMPUTE)
    best = tl.broadcast_to(first, (BLOCK_K, BLOCK_R))
    at_best = tl.zeros((BLOCK_K, BLOCK_R), tl.int64) + start
    for block in range(start, stop, BLOCK_R):
        place = (block + lane)[None, :]
        mask = inside[:, None] & (place < stop)
        value = tl.load(source + base + place * stride, mask=mask, other=0).to(COMPUTE)
        if LARGEST:
            better = value > best
        else:
            better = value < best
        better = mask & (better | ((value != value) & (best == best)))
        best = tl.where(better, value, best)
        at_best = tl.where(better, place, at_best)
    if LARGEST:
        peak = tl.reduce(best, 1, larger)
    else:
        peak = tl.reduce(best, 1, smaller)
    highest = tl.expand_dims(peak, 1)
    same = (best == highest) | ((best != best) & (highest != highest))
    where = tl.min(tl.where(same, at_best, 0x7FFFFFFFFFFFFFFF), 1)
    at = (outer * kept + column) * shares + part
    if places is not None:
        where = tl.load(places + (outer * kept + column) * length + where, mask=inside, other=0)
    if values is not None:
        tl.store(values + at, peak.to(values.dtype.element_ty), mask=inside)
    tl.store(indices + at, where, mask=inside)


# ---- forward --------------------------------------------------------------------------------------


def _plan(
    space: Around, largest: bool, device: torch.device, compute: torch.dtype
) -> tuple[Plan, Plan | None, int]:
    """The launch for a contiguous [outer, length, inner], or two where few columns are long; and the
    number of shares."""
    outer, length, inner = space
    sizes = TILES.on(device)
    constants: dict[str, Any] = {"LARGEST": largest, "COMPUTE": TRITON_DTYPES[compute]}

    def plan(length: int, share: int, shares: int) -> Plan:
        if inner == 1:
            groups, kept, kept_stride, outer_stride = 1, outer, length, 0
            block_r = min(power_of_two(share), sizes["elements"])
            block_k = min(power_of_two(kept), max(1, sizes["elements"] // block_r // 4))
        else:
            groups, kept, kept_stride, outer_stride = outer, inner, 1, length * inner
            block_k = min(power_of_two(kept), sizes["rows"])
            block_r = min(power_of_two(share), max(1, sizes["elements"] // block_k // 8))
        numbers = (kept, length, kept_stride, outer_stride, inner, share, shares)
        programs = groups * cdiv(kept, block_k) * shares
        label = "max" if largest else "min"
        return Plan(
            locate_kernel,
            programs,
            numbers,
            {**constants, "BLOCK_K": block_k, "BLOCK_R": block_r},
            label=label,
        )

    shares = min(16, length // sizes["split"]) if inner == 1 and outer < 8 else 1
    if shares < 2:
        return plan(length, length, 1), None, 1
    share = cdiv(length, shares)
    return plan(length, share, cdiv(length, share)), plan(cdiv(length, share), shares, 1), cdiv(length, share)


def located(
    self: torch.Tensor, dim: int, keepdim: bool, largest: bool, with_values: bool = True
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """(extreme values, first places) along a normal `dim` that is not empty."""
    if self.dtype not in TRITON_DTYPES:
        raise NotServed("max and min along a dimension", f"dtype {self.dtype} is not served")
    source = self.contiguous()
    shape = without(self.shape, dim, keepdim)
    values = torch.empty(shape, dtype=self.dtype, device=self.device) if with_values else None
    indices = torch.empty(shape, dtype=torch.int64, device=self.device)
    if not indices.numel():
        return values, indices
    key = (signature(source), dim, largest, with_values)
    plans = PLANS.get(key)
    if plans is None:
        space = around(self.shape, dim)
        plans = PLANS.remember(key, _plan(space, largest, self.device, compute_dtype(self.dtype)))
    first, second, shares = plans
    if second is None:
        first.launch(values, indices, source, None)
    else:
        partial = torch.empty((indices.numel(), shares), dtype=self.dtype, device=self.device)
        places = torch.empty((indices.numel(), shares), dtype=torch.int64, device=self.device)
        first.launch(partial, places, source, None)
        second.launch(values, indices, partial, places)
    return values, indices


def _checked(name: str, self: torch.Tensor, dim: int) -> int:
    dim = normal_dim(dim, self.ndim)
    if self.ndim and self.shape[dim] == 0:
        raise DimensionError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return dim


def max_along(self: torch.Tensor, dim: int, keepdim: bool = False) -> Pair:
    """(largest values, where they are first) along `dim`."""
    values, indices = located(self, _checked("max", self, dim), keepdim, True)
    assert values is not None
    return values, indices


def min_along(self: torch.Tensor, dim: int, keepdim: bool = False) -> Pair:
    """(smallest values, where they are first) along `dim`."""
    values, indices = located(self, _checked("min", self, dim), keepdim, False)
    assert values is not None
    return values, indices


def _place(name: str, self: torch.Tensor, dim: int | None, keepdim: bool, out: Any) -> torch.Tensor:
    if self.dtype == torch.bool:
        raise ArgumentError(f'"{name}_cpu" not implemented for Bool')
    if dim is None:
        if not self.numel():
            raise DimensionError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        found = located(self.contiguous().view(-1), 0, False, name == "argmax", False)[1]
        return delivered(found.view((1,) * self.ndim) if keepdim else found, out)
    place = _checked(name, self, dim)
    return delivered(located(self, place, keepdim, name == "argmax", False)[1], out)


def argmax(self: torch.Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Place of the largest element along `dim`, or in the flattened tensor."""
    return _place("argmax", self, dim, keepdim, out)


def argmin(self: torch.Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Place of the smallest element along `dim`, or in the flattened tensor."""
    return _place("argmin", self, dim, keepdim, out)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dim in (((33,), 0), ((5, 7), 1), ((5, 7), 0), ((3, 4, 5), -2), ((), 0), ((0, 3), 1)):
        yield Sample((tensor(shape, dtype), dim))
    yield Sample((tensor((6, 4), dtype).t(), 1, True))
    if dtype.is_floating_point:
        yield Sample((special(dtype).reshape(2, 4), 0))


@sparingly
def _places(dtype: torch.dtype) -> Iterable[Sample]:
    yield from _samples(dtype)
    yield Sample((tensor((6, 4), dtype).t(),))
    yield Sample((tensor((3, 4), dtype), None, True))
    if dtype == torch.float32:
        yield Sample((tensor((600000,), dtype),))


def _rows(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), 1))


for _name, _overload, _draw, _dtypes in (
    ("max_dim", Overload("max.dim", max_along, _samples, takes_out=False), _samples, ALL),
    ("min_dim", Overload("min.dim", min_along, _samples, takes_out=False), _samples, ALL),
    ("argmax", Overload("argmax", argmax, _places), _places, (*FLOATING, *INTEGRAL)),
    ("argmin", Overload("argmin", argmin, _places), _places, (*FLOATING, *INTEGRAL)),
):
    register(
        Operator(
            name=_name,
            overloads=(_overload,),
            kernels=(locate_kernel,),
            dtypes=_dtypes,
            tiles=TILES,
            benchmarks=(Benchmark(_overload.name, _rows),),
        )
    )
