"""cumsum, cumprod and logcumsumexp along any dimension. A row is scanned block by block with a carry;
other dimensions step through the rows with one lane per column. A long row that is alone is scanned
in chunks: totals of the chunks, their scan, and the chunks again with what came before. Carries of single
precision are double where `wide_accumulator` says so, as every error in one would stay to the row's end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..axis import Around, around, delivered, normal_dim
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.running_softmax import shift_of
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, signature
from ..pointwise_kernels import store_as
from ..reduce.extremes import larger
from ..reduce.sums import plus, times
from ..reduction import wide_accumulator
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, special, tensor

TILES = Tiles(
    simt={"elements": 2048, "columns": 128, "alone": 64, "chunk": 1 << 14},
    simd={"elements": 64, "columns": 256, "alone": 2, "chunk": 1 << 20},
)
"""`elements` of a block are few enough for a vector machine to keep them in registers. With
fewer rows than `alone`, each longer than two chunks, rows are split into chunks."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def log_plus(a, b):
    """log(exp(a) + exp(b)), without overflow."""
    high = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    low = tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    endless = (high == float("inf")) | (high == float("-inf"))
    return tl.where(endless, high, high + libdevice.log1p(tl.exp(tl.where(endless, 0.0, low - high))))


@cache
def row_scan_kernel(COMBINE: Any) -> Any:
    """Triton takes a scan's function by name only, so each has kernels of its own."""

    @triton.jit
    def row_scan_kernel(
        out,
        source,
        before,
        rows,
        length,
        chunk,
        chunks,
        IDENTITY: tl.constexpr,
        COMPUTE: tl.constexpr,
        TOTAL: tl.constexpr,
        BLOCK_K: tl.constexpr,
        BLOCK_R: tl.constexpr,
    ):
        """Scan of chunk c of the rows of a contiguous source [rows, length], going on from
        before[row, c - 1] if there is such; only its total, out[row, c], if TOTAL."""
        program = tl.program_id(0)
        part = program % chunks
        row = (program // chunks).to(tl.int64) * BLOCK_K + tl.arange(0, BLOCK_K)
        lane = tl.arange(0, BLOCK_R)
        inside = row < rows
        start = part.to(tl.int64) * chunk
        stop = tl.minimum(start + chunk, length)
        carry = tl.full((BLOCK_K,), IDENTITY, COMPUTE)
        if before is not None:
            earlier = before + row * chunks + part - 1
            carry = tl.load(earlier, mask=inside & (part > 0), other=IDENTITY).to(COMPUTE)
        for block in range(start, stop, BLOCK_R):
            at = row[:, None] * length + (block + lane)[None, :]
            mask = inside[:, None] & (block + lane < stop)[None, :]
            value = tl.load(source + at, mask=mask, other=IDENTITY).to(COMPUTE)
            if not TOTAL:
                running = COMBINE(carry[:, None], tl.associative_scan(value, 1, COMBINE))
                store_as(out + at, running, mask)
            carry = COMBINE(carry, tl.reduce(value, 1, COMBINE))
        if TOTAL:
            store_as(out + row * chunks + part, carry, inside)

    return row_scan_kernel


@cache
def column_scan_kernel(COMBINE: Any) -> Any:
    """The kernel for any dimension but the last."""

    @triton.jit
    def column_scan_kernel(
        out, source, length, inner, IDENTITY: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
    ):
        """Scan of a contiguous source [outer, length, inner] along the middle, BLOCK columns a program."""
        blocks = tl.cdiv(inner, BLOCK)
        program = tl.program_id(0)
        lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
        at = (program // blocks).to(tl.int64) * length * inner + lane
        mask = lane < inner
        carry = tl.full((BLOCK,), IDENTITY, COMPUTE)
        for _ in range(length):
            carry = COMBINE(carry, tl.load(source + at, mask=mask, other=IDENTITY).to(COMPUTE))
            store_as(out + at, carry, mask)
            at += inner

    return column_scan_kernel


@triton.jit
def log_of_scaled(high, total):
    """log(total exp(high)); an infinite or NaN `high` as it is."""
    return tl.where(tl.abs(high) < float("inf"), high + tl.log(total), high)


@triton.jit
def log_row_kernel(
    out,
    source,
    before,
    rows,
    length,
    chunk,
    chunks,
    IDENTITY: tl.constexpr,
    COMPUTE: tl.constexpr,
    TOTAL: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """`row_scan_kernel` of `log_plus`, carrying the largest value so far and the sum of exponentials below
    it. Where a block's first sum would vanish beside its last one, its values are combined one by one."""
    program = tl.program_id(0)
    part = program % chunks
    row = (program // chunks).to(tl.int64) * BLOCK_K + tl.arange(0, BLOCK_K)
    lane = tl.arange(0, BLOCK_R)
    inside = row < rows
    start = part.to(tl.int64) * chunk
    stop = tl.minimum(start + chunk, length)
    high = tl.full((BLOCK_K,), IDENTITY, COMPUTE)
    total = tl.full((BLOCK_K,), 1, COMPUTE)
    if before is not None:
        earlier = before + row * chunks + part - 1
        high = tl.load(earlier, mask=inside & (part > 0), other=IDENTITY).to(COMPUTE)
    for block in range(start, stop, BLOCK_R):
        at = row[:, None] * length + (block + lane)[None, :]
        mask = inside[:, None] & (block + lane < stop)[None, :]
        value = tl.load(source + at, mask=mask, other=IDENTITY).to(COMPUTE)
        higher = tl.maximum(high, tl.reduce(value, 1, larger), propagate_nan=tl.PropagateNan.ALL)
        first = tl.maximum(high, tl.sum(tl.where((lane == 0)[None, :], value, 0.0), 1))
        within = (first - higher >= (-600.0 if tl.float64 == COMPUTE else -80.0)) | (higher == float("-inf"))
        if tl.min(within.to(tl.int32), 0) != 0:
            base = shift_of(higher)
            weights = tl.exp(value - base[:, None])
            total *= tl.exp(high - base)
            if not TOTAL:
                sums = total[:, None] + tl.associative_scan(weights, 1, plus)
                store_as(out + at, base[:, None] + tl.log(sums), mask)
            total += tl.sum(weights, 1)
            high = higher
        else:
            carry = log_of_scaled(high, total)
            if not TOTAL:
                store_as(out + at, log_plus(carry[:, None], tl.associative_scan(value, 1, log_plus)), mask)
            high = log_plus(carry, tl.reduce(value, 1, log_plus))
            total = tl.full((BLOCK_K,), 1, COMPUTE)
    if TOTAL:
        store_as(out + row * chunks + part, log_of_scaled(high, total), inside)


@triton.jit
def log_column_kernel(
    out, source, length, inner, IDENTITY: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """`column_scan_kernel` of `log_plus`, with the largest value and a sum below it as what is carried."""
    blocks = tl.cdiv(inner, BLOCK)
    program = tl.program_id(0)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    at = (program // blocks).to(tl.int64) * length * inner + lane
    mask = lane < inner
    high = tl.full((BLOCK,), IDENTITY, COMPUTE)
    total = tl.zeros((BLOCK,), COMPUTE)
    for _ in range(length):
        value = tl.load(source + at, mask=mask, other=IDENTITY).to(COMPUTE)
        same = (value == high) & (tl.abs(value) == float("inf"))
        below = tl.exp(tl.where(same, 0.0, -tl.abs(value - high)))
        total = tl.where(value > high, total * below + 1.0, total + below)
        high = tl.maximum(high, value, propagate_nan=tl.PropagateNan.ALL)
        store_as(out + at, log_of_scaled(high, total), mask)
        at += inner


# ---- forward --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """An associative `combine` with its `identity`, as a function along a dimension."""

    name: str
    combine: Any
    identity: float
    own_kernels: tuple[Any, Any] | None = None
    """Kernels for rows and columns in place of those that every `combine` has."""
    _plans: Plans[tuple[Plan, ...]] = field(default_factory=Plans)

    @property
    def kernels(self) -> tuple[Any, Any]:
        """The kernels that run it."""
        return self.own_kernels or (row_scan_kernel(self.combine), column_scan_kernel(self.combine))

    def __call__(
        self,
        source: torch.Tensor,
        dim: int,
        compute: torch.dtype,
        result: torch.dtype,
        out: torch.Tensor | None = None,
        tiles: Tiles = TILES,
    ) -> torch.Tensor:
        """Scan along `dim` in type `compute` into type `result`; `out` is written where it is given."""
        if source.dtype not in TRITON_DTYPES or result not in TRITON_DTYPES:
            raise NotServed(self.name, f"dtype {source.dtype} into {result} is not served")
        dim = normal_dim(dim, source.ndim)
        dense = source.contiguous()
        fits = out is not None and out.shape == source.shape and out.is_contiguous() and out.dtype == result
        target = out if fits else torch.empty(source.shape, dtype=result, device=source.device)
        assert target is not None
        if target.numel():
            key = (signature(dense), dim, compute, result, tiles is TILES)
            plans = self._plans.get(key)
            if plans is None:
                plans = self._plans.remember(
                    key, self._plan(dense, around(source.shape, dim), compute, tiles)
                )
            if len(plans) == 1:
                plans[0].launch(target, dense, *plans[0].result)
            else:
                totals, scan, chunks = plans
                partial = torch.empty(totals.result, dtype=compute, device=source.device)
                totals.launch(partial, dense, None)
                before = torch.empty(totals.result, dtype=compute, device=source.device)
                scan.launch(before, partial, None)
                chunks.launch(target, dense, before)
        return target if fits else delivered(target, out)

    def _plan(
        self, source: torch.Tensor, space: Around, compute: torch.dtype, tiles: Tiles
    ) -> tuple[Plan, ...]:
        sizes = tiles.on(source)
        constants = {"IDENTITY": self.identity, "COMPUTE": TRITON_DTYPES[compute]}
        outer, length, inner = space
        if inner > 1:
            block = min(power_of_two(inner), sizes["columns"])
            return (
                Plan(
                    self.kernels[1],
                    outer * cdiv(inner, block),
                    (length, inner),
                    {**constants, "BLOCK": block},
                    label=self.name,
                    result=(),
                ),
            )
        block_r = min(power_of_two(length), sizes["elements"])
        block_k = max(1, min(power_of_two(outer), sizes["elements"] // block_r))

        def plan(rows: int, length: int, chunk: int, chunks: int, total: bool, result: Any = None) -> Plan:
            return Plan(
                self.kernels[0],
                cdiv(rows, block_k) * chunks,
                (rows, length, chunk, chunks),
                {**constants, "TOTAL": total, "BLOCK_K": block_k, "BLOCK_R": block_r},
                label=self.name,
                result=result,
            )

        if outer >= sizes["alone"] or length < 2 * sizes["chunk"]:
            return (plan(outer, length, length, 1, False, (None,)),)
        chunks = cdiv(length, sizes["chunk"])
        return (
            plan(outer, length, sizes["chunk"], chunks, True, (outer, chunks)),
            plan(outer, chunks, chunks, 1, False),
            plan(outer, length, sizes["chunk"], chunks, False),
        )


SUM = Scan("cumsum", plus, 0)
PRODUCT = Scan("cumprod", times, 1)
LOGARITHM = Scan("logcumsumexp", log_plus, float("-inf"), (log_row_kernel, log_column_kernel))


def _result(self: torch.Tensor, dtype: torch.dtype | None, out: Any) -> torch.dtype:
    if dtype is not None or out is not None:
        return dtype or out.dtype
    return self.dtype if self.dtype.is_floating_point or self.dtype.is_complex else torch.int64


def cumsum(self: torch.Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Running sum along `dim`; integers and booleans as int64."""
    result = _result(self, dtype, out)
    return SUM(self, dim, wide_accumulator(result, self.device), result, out)


def cumprod(self: torch.Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Running product along `dim`; integers and booleans as int64."""
    result = _result(self, dtype, out)
    return PRODUCT(self, dim, wide_accumulator(result, self.device), result, out)


def logcumsumexp(self: torch.Tensor, dim: int, *, out: Any = None) -> torch.Tensor:
    """Logarithm of the running sum of exponentials along `dim`."""
    if self.is_complex():
        raise NotServed("logcumsumexp", f"dtype {self.dtype} is not served")
    if not self.dtype.is_floating_point:
        raise ArgumentError(f'"logcumsumexp_out_cpu" not implemented for {self.dtype}')
    return LOGARITHM(self, dim, wide_accumulator(self.dtype, self.device), self.dtype, out)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dim in (((33,), 0), ((5, 7), 1), ((3, 4, 5), 1), ((), 0), ((0, 3), 1), ((2, 1500), -1)):
        low, high = (None, None) if len(shape) != 2 or dtype.is_floating_point else (0, 2)
        yield Sample((tensor(shape, dtype, low, high), dim))
    yield Sample((tensor((6, 4), dtype).t(), 1))
    if dtype.is_floating_point:
        yield Sample((special(dtype).reshape(2, 4), 0))


@sparingly
def _near_one(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dim in (((33,), 0), ((5, 7), 1), ((3, 4, 5), 1), ((), 0), ((0, 3), 1)):
        yield Sample((tensor(shape, dtype, 0.5, 1.5), dim))


def _rows(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), 1))


for _scan, _name, _function, _draw, _dtypes in (
    (SUM, "cumsum", cumsum, _samples, (*FLOATING, *INTEGRAL)),
    (PRODUCT, "cumprod", cumprod, _near_one, (*FLOATING, torch.int64)),
    (LOGARITHM, "_logcumsumexp", logcumsumexp, _samples, FLOATING),
):
    register(
        Operator(
            name=_scan.name,
            overloads=(Overload(_name, _function, _draw),),
            kernels=_scan.kernels,
            dtypes=_dtypes,
            tiles=TILES,
            benchmarks=(Benchmark(_name, _rows),),
            tolerance=4.0,
        )
    )
