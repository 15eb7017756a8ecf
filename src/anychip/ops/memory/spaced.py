"""linspace, logspace and range: numbers at even distances or even ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError, NotServed
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch, scalar_bits
from ..pointwise_kernels import store_as
from ..registry import FLOATING, INTEGRAL, Operator, Overload, Sample, register
from ..samples import sparingly

TILES = Tiles(simt={"block": 512}, simd={"block": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["start", "end", "step", "base"])
def spaced_kernel(
    out,
    n,
    start: tl.int64,
    end: tl.int64,
    step: tl.int64,
    base: tl.int64,
    POWER: tl.constexpr,
    BOTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] = start + i step, counted from `end` in the second half if BOTH; base to that if POWER."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = double(start) + lane.to(tl.float64) * double(step)
    if BOTH:
        value = tl.where(lane < n // 2, value, double(end) - (n - 1 - lane).to(tl.float64) * double(step))
    if POWER:
        value = libdevice.pow(double(base), value)
    store_as(out + lane, value, lane < n)


# ---- forward --------------------------------------------------------------------------------------


def _filled(
    out: torch.Tensor, n: int, start: float, end: float, step: float, *, base: float | None, both: bool
) -> torch.Tensor:
    """`out` as n numbers (resized if it has another count)."""
    if out.dtype not in TRITON_DTYPES:
        raise NotServed("linspace", f"dtype {out.dtype} is not served")
    if out.numel() != n:
        out.resize_((n,))
    target = out if out.is_contiguous() else torch.empty(out.shape, dtype=out.dtype, device=out.device)
    block = TILES.on(out)["block"]
    power = base is not None
    launch(
        spaced_kernel,
        cdiv(n, block),
        target,
        n,
        scalar_bits(start, True),
        scalar_bits(end, True),
        scalar_bits(step, True),
        scalar_bits(base if base is not None else 0, True),
        POWER=power,
        BOTH=both,
        BLOCK=block,
    )
    return out if target is out else out.copy_(target)


def _spaced(
    start: Any, end: Any, steps: int, base: float | None, out: torch.Tensor, name: str
) -> torch.Tensor:
    if steps < 0:
        raise ArgumentError("number of steps must be non-negative")
    if isinstance(start, complex) or isinstance(end, complex):
        raise NotServed(name, "complex ends are not served")
    if not out.dtype.is_floating_point:
        start, end = int(start), int(end)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    return _filled(out, steps, start, end, step, base=base, both=steps > 1)


def linspace(start: float, end: float, steps: int, *, out: torch.Tensor) -> torch.Tensor:
    """`steps` numbers at even distances from start to end, both included."""
    return _spaced(start, end, steps, None, out, "linspace")


def logspace(start: float, end: float, steps: int, base: float = 10.0, *, out: torch.Tensor) -> torch.Tensor:
    """`base` to the power of each of `steps` numbers at even distances from start to end."""
    return _spaced(start, end, steps, base, out, "logspace")


def range_out(start: float, end: float, step: float = 1, *, out: torch.Tensor) -> torch.Tensor:
    """start, start + step, ... up to `end`, which is included."""
    if step == 0:
        raise ArgumentError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ArgumentError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise ArgumentError("upper bound and larger bound inconsistent with step sign")
    count = math.floor((end - start) / step) + 1
    return _filled(out, count, start, end, step, base=None, both=False)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _lines(dtype: torch.dtype) -> Iterable[Sample]:
    for start, end, steps in ((0, 7, 8), (-3, 5, 5), (9, 1, 3), (2, 2, 1), (0, 1, 0)):
        if dtype != torch.uint8 or start >= 0:
            yield Sample((start, end, steps), {"out": torch.empty((0,), dtype=dtype)})


@sparingly
def _powers(dtype: torch.dtype) -> Iterable[Sample]:
    for start, end, steps in ((0, 3, 4), (-1, 2, 7)):
        yield Sample((start, end, steps, 2.0), {"out": torch.empty((0,), dtype=dtype)})


@sparingly
def _ranges(dtype: torch.dtype) -> Iterable[Sample]:
    for start, end, step in ((0, 7, 1), (2, 100, 3), (9, 0, -2)):
        yield Sample((start, end, step), {"out": torch.empty((0,), dtype=dtype)})


for _name, _overload, _dtypes in (
    ("linspace", Overload("linspace.out", linspace, _lines, takes_out=False), (*FLOATING, *INTEGRAL)),
    ("logspace", Overload("logspace.out", logspace, _powers, takes_out=False), FLOATING),
    ("range", Overload("range.out", range_out, _ranges, takes_out=False), (*FLOATING, *INTEGRAL)),
):
    register(
        Operator(
            name=_name,
            overloads=(_overload,),
            kernels=(spaced_kernel,),
            dtypes=_dtypes,
            differentiable=False,
            tiles=TILES,
        )
    )
