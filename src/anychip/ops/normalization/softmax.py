"""softmax and log_softmax along one dimension, and their backward operators.
A row is one program; rows longer than a block are read twice, with the running maximum and sum of
Milakov and Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import NotServed
from ..iteration import power_of_two
from ..kernels.running_softmax import shift_of
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, compute_dtype, launch, signature
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 8192}, simd={"block": 16384})
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def softmax_kernel(
    out,
    source,
    length,
    inner,
    LOG: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """Row r of [outer, length, inner]: r = (outer index) * inner + (inner index)."""
    row = tl.program_id(0).to(tl.int64)
    start = (row // inner) * length * inner + row % inner
    source += start
    out += start
    lane = tl.arange(0, BLOCK)
    if WHOLE:
        at = lane.to(tl.int64) * inner
        mask = lane < length
        value = tl.load(source + at, mask=mask, other=float("-inf")).to(COMPUTE)
        shifted = value - tl.max(value, 0)
        exponential = tl.exp(shifted)
        total = tl.sum(exponential, 0)
        if LOG:
            result = shifted - tl.log(total)
        else:
            result = exponential / total
        tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)
    else:
        largest = tl.full((BLOCK,), float("-inf"), COMPUTE)
        total = tl.zeros((BLOCK,), COMPUTE)
        for block in range(0, length, BLOCK):
            position = block + lane
            at = source + position.to(tl.int64) * inner
            value = tl.load(at, mask=position < length, other=float("-inf")).to(COMPUTE)
            update = tl.maximum(largest, value)
            safe = shift_of(update)
            total = total * tl.exp(largest - safe) + tl.exp(value - safe)
            largest = update
        peak = tl.max(largest, 0)
        total = tl.sum(total * tl.exp(largest - peak), 0)
        for block in range(0, length, BLOCK):
            position = block + lane
            mask = position < length
            at = position.to(tl.int64) * inner
            shifted = tl.load(source + at, mask=mask, other=0.0).to(COMPUTE) - peak
            if LOG:
                result = shifted - tl.log(total)
            else:
                result = tl.exp(shifted) / total
            tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def softmax_backward_kernel(
    out, gradient, output, length, inner, LOG: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """dx = y (dy - sum(dy y)); for the logarithm dx = dy - exp(y) sum(dy)."""
    row = tl.program_id(0).to(tl.int64)
    start = (row // inner) * length * inner + row % inner
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), COMPUTE)
    for block in range(0, length, BLOCK):
        position = block + lane
        mask = position < length
        at = start + position.to(tl.int64) * inner
        dy = tl.load(gradient + at, mask=mask, other=0.0).to(COMPUTE)
        if LOG:
            total += dy
        else:
            total += dy * tl.load(output + at, mask=mask, other=0.0).to(COMPUTE)
    weight = tl.sum(total, 0)
    for block in range(0, length, BLOCK):
        position = block + lane
        mask = position < length
        at = start + position.to(tl.int64) * inner
        dy = tl.load(gradient + at, mask=mask, other=0.0).to(COMPUTE)
        y = tl.load(output + at, mask=mask, other=0.0).to(COMPUTE)
        if LOG:
            dx = dy - tl.exp(y) * weight
        else:
            dx = y * (dy - weight)
        tl.store(out + at, dx.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


def _rows(shape: torch.Size, dim: int) -> tuple[int, int, int]:
    """Number of rows, their length, and the step between a row's elements (contiguous tensor)."""
    if not shape:
        return 1, 1, 1
    inner = math.prod(shape[dim % len(shape) + 1 :])
    length = shape[dim % len(shape)]
    return (math.prod(shape) // length if length else 0), length, inner


def _forward(self: torch.Tensor, dim: int, half_to_float: bool, log: bool, out: Any) -> torch.Tensor:
    if self.dtype not in FLOATING:
        raise NotServed("softmax", f"dtype {self.dtype} is not served")
    result = torch.float32 if half_to_float else self.dtype
    source = self.contiguous()
    if out is None:
        out = torch.empty(self.shape, dtype=result, device=self.device)
    elif out.shape != self.shape:
        out.resize_(self.shape)
    target = out if out.is_contiguous() else torch.empty(self.shape, dtype=out.dtype, device=self.device)
    key = (signature(source), dim, log)
    plan = PLANS.get(key)
    if plan is None:
        rows, length, inner = _rows(self.shape, dim)
        block = min(power_of_two(length), TILES.on(self)["block"])
        compute = TRITON_DTYPES[compute_dtype(self.dtype)]
        constants = {"LOG": log, "COMPUTE": compute, "BLOCK": block, "WHOLE": block >= length}
        label = "log_softmax" if log else "softmax"
        plan = PLANS.remember(key, Plan(softmax_kernel, rows, (length, inner), constants, label=label))
    plan.launch(target, source)
    if target is not out:
        out.copy_(target)
    return out


def softmax(self: torch.Tensor, dim: int, half_to_float: bool, *, out: Any = None) -> torch.Tensor:
    """exp(x) / sum(exp(x)) along `dim`; any shape, floating dtypes."""
    return _forward(self, dim, half_to_float, False, out)


def log_softmax(self: torch.Tensor, dim: int, half_to_float: bool, *, out: Any = None) -> torch.Tensor:
    """x - log(sum(exp(x))) along `dim`."""
    return _forward(self, dim, half_to_float, True, out)


def _backward(
    grad_output: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype, log: bool
) -> torch.Tensor:
    gradient, result = grad_output.contiguous(), output.contiguous()
    out = torch.empty(output.shape, dtype=input_dtype, device=output.device)
    rows, length, inner = _rows(output.shape, dim)
    block = min(power_of_two(length), TILES.on(output)["block"])
    launch(
        softmax_backward_kernel,
        rows,
        out,
        gradient,
        result,
        length,
        inner,
        label="log_softmax" if log else "softmax",
        LOG=log,
        COMPUTE=TRITON_DTYPES[compute_dtype(output.dtype)],
        BLOCK=block,
    )
    return out


def softmax_backward(
    grad_output: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype
) -> torch.Tensor:
    """Gradient of softmax, from its output."""
    return _backward(grad_output, output, dim, input_dtype, False)


def log_softmax_backward(
    grad_output: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype
) -> torch.Tensor:
    """Gradient of log_softmax, from its output."""
    return _backward(grad_output, output, dim, input_dtype, True)


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dim in (
        ((3, 7), 1),
        ((3, 7), 0),
        ((2, 5, 4), 1),
        ((9,), -1),
        ((), 0),
        ((0, 3), 1),
        ((2, 130), 1),
    ):
        yield Sample((tensor(shape, dtype), dim, False))
    yield Sample((tensor((4, 6), dtype).t(), -1, False))
    yield Sample((torch.tensor([[0.0, float("-inf")], [1.0, 2.0]], dtype=dtype), 1, False))


def _long(dtype: torch.dtype) -> Iterable[Sample]:
    yield from _samples(dtype)
    yield Sample((tensor((2, 20000), dtype), 1, False))


def _backward_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dim in (((3, 7), 1), ((3, 7), 0), ((2, 5, 4), 1), ((9,), -1)):
        output = torch.softmax(tensor(shape, torch.float64), dim).to(dtype)
        yield Sample((tensor(shape, dtype, seed=1), output, dim, dtype))


for _name, _function, _gradient in (
    ("softmax", softmax, softmax_backward),
    ("log_softmax", log_softmax, log_softmax_backward),
):
    register(
        Operator(
            name=_name,
            overloads=(
                Overload(f"_{_name}", _function, _long),
                Overload(f"_{_name}_backward_data", _gradient, _backward_samples, takes_out=False),
            ),
            kernels=(softmax_kernel, softmax_backward_kernel),
            dtypes=FLOATING,
            tiles=TILES,
            benchmarks=(
                Benchmark(f"_{_name}", lambda dtype: Sample((tensor((4096, 1024), dtype), 1, False))),
            ),
        )
    )
