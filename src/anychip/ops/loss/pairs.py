"""Losses of a prediction and a target of one shape, element by element, summed or averaged: the machinery
that mse, smooth_l1, huber and binary cross entropy share. A loss is a scalar function; its sum reads both
tensors once, in shares whose totals a second launch adds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import broadcast_shape, power_of_two
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, scalar_bits, signature
from ..memory.copy import COPY
from ..pointwise import Pointwise
from ..pointwise_kernels import apply
from ..reduce.sums import SUM
from ..registry import Sample
from ..samples import layouts, tensor

TILES = Tiles(simt={"block": 1024, "shares": 1024}, simd={"block": 2048, "shares": 16})
NONE, MEAN, TOTAL = 0, 1, 2
"""PyTorch's numbers of the reductions."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["parameter"])
def pair_sum_kernel(
    partial,
    first,
    second,
    third,
    n,
    blocks,
    parameter: tl.int64,
    FUNCTION: tl.constexpr,
    ARITY: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """partial[p] = sum of FUNCTION(first[i], second[i], ...) over the p-th share of `blocks` blocks."""
    program = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    number = double(parameter).to(COMPUTE)
    total = tl.zeros((BLOCK,), COMPUTE)
    start = program * blocks * BLOCK
    stop = tl.minimum(start + blocks * BLOCK, n)
    for block in range(start, stop, BLOCK):
        mask = lane < stop - block
        x = tl.load(first + block + lane, mask=mask, other=0).to(COMPUTE)
        y = tl.load(second + block + lane, mask=mask, other=0).to(COMPUTE)
        if third is not None:
            weight = tl.load(third + block + lane, mask=mask, other=0).to(COMPUTE)
            value = apply(x, y, weight, number, number, FUNCTION, ARITY)
        else:
            value = apply(x, y, number, number, number, FUNCTION, ARITY)
        total += tl.where(mask, value, 0.0)
    tl.store(partial + program, tl.sum(total, 0))


@triton.jit(do_not_specialize=["divisor"])
def pair_total_kernel(result, partial, shares, divisor, MEAN: tl.constexpr, BLOCK: tl.constexpr):
    """result = the sum of the shares, for a mean divided by `divisor`."""
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), partial.dtype.element_ty)
    for start in range(0, shares, BLOCK):
        total += tl.load(partial + start + lane, mask=start + lane < shares, other=0)
    value = tl.sum(total, 0)
    if MEAN:
        value = value / divisor.to(partial.dtype.element_ty)
    tl.store(result, value.to(result.dtype.element_ty))


# ---- forward --------------------------------------------------------------------------------------


@dataclass(eq=False)
class PairLoss:
    """A loss by the scalar functions of its value and of its slope.

    The value's operands are prediction, target, a weight if there is one, and the parameter if
    `parametric`; the slope's are the gradient, the same, and the factor that a mean divides by.
    """

    name: str
    value: Any
    slope: Any
    parametric: bool
    _plans: Plans[Plan] = field(default_factory=Plans)

    def __post_init__(self) -> None:
        self._value, self._slope = Pointwise(self.value), Pointwise(self.slope)

    def forward(
        self,
        prediction: torch.Tensor,
        target: torch.Tensor,
        reduction: int,
        parameter: float,
        weight: torch.Tensor | None = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The losses (reduction 0), their mean (1) or sum (2)."""
        dtype = self._dtype(prediction, target)
        numbers = (parameter,) if self.parametric else ()
        weights = () if weight is None else (weight,)
        if reduction == NONE:
            return self._value(prediction, target, *weights, *numbers, out=out)
        operands = (prediction, target, *weights)
        shape = broadcast_shape(*(x.shape for x in operands))
        result = torch.empty((), dtype=dtype, device=prediction.device) if out is None else out
        if result.shape:
            result.resize_(())
        count = math.prod(shape)
        compute = compute_dtype(dtype)
        if any(x.shape != shape or not x.is_contiguous() for x in operands) or not count:
            losses = torch.empty(shape, dtype=compute, device=prediction.device)
            partial = self._value(*operands, *numbers, out=losses)
        else:
            partial = self._partial(operands, count, compute, parameter)
            shares = partial.numel()
            launch(
                pair_total_kernel,
                1,
                result,
                partial,
                shares,
                count,
                MEAN=reduction == MEAN,
                BLOCK=power_of_two(min(shares, TILES.on(result)["shares"])),
            )
            return result
        total = SUM(partial, None, False, compute=compute, result=compute)
        if reduction == MEAN:
            return AVERAGE(total, count, out=result)
        return COPY(total, out=result)

    def _partial(
        self, operands: tuple[torch.Tensor, ...], count: int, compute: torch.dtype, parameter: float
    ) -> torch.Tensor:
        """Sums of the losses of shares of contiguous operands."""
        key = signature(*operands)
        plan = self._plans.get(key)
        if plan is None:
            tiles = TILES.on(operands[0].device)
            blocks = cdiv(cdiv(count, tiles["block"]), tiles["shares"])
            programs = cdiv(count, blocks * tiles["block"])
            arity = len(operands) + self.parametric
            constants = {
                "FUNCTION": self.value,
                "ARITY": arity,
                "COMPUTE": TRITON_DTYPES[compute],
                "BLOCK": tiles["block"],
            }
            sizes = (count, blocks)
            plan = Plan(pair_sum_kernel, programs, sizes, constants, label=self.name, result=programs)
            self._plans.remember(key, plan)
        partial = torch.empty((plan.result,), dtype=compute, device=operands[0].device)
        third = operands[2] if len(operands) > 2 else None
        plan.launch(partial, *operands[:2], third, numbers=(scalar_bits(parameter, True),))
        return partial

    def backward(
        self,
        gradient: torch.Tensor,
        prediction: torch.Tensor,
        target: torch.Tensor,
        reduction: int,
        parameter: float,
        weight: torch.Tensor | None = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Gradient of the prediction; a target that requires one gets it with arguments exchanged."""
        self._dtype(prediction, target)
        factor = 1.0 / max(prediction.numel(), 1) if reduction == MEAN else 1.0
        numbers = (parameter,) if self.parametric else ()
        weights = () if weight is None else (weight,)
        return self._slope(gradient, prediction, target, *weights, *numbers, factor, out=out)

    def _dtype(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.dtype:
        dtype = torch.promote_types(prediction.dtype, target.dtype)
        if dtype.is_complex or dtype not in TRITON_DTYPES:
            raise NotServed(self.name, f"dtype {dtype} is not served")
        if not dtype.is_floating_point:
            raise ArgumentError(f'"{self.name}" not implemented for {dtype}')
        return dtype


@triton.jit
def average(total, count):
    return total / count


AVERAGE = Pointwise(average)

# ---- samples --------------------------------------------------------------------------------------


def pair_cases(
    dtype: torch.dtype, low: float | None = None, high: float | None = None
) -> Iterable[tuple[torch.Tensor, torch.Tensor, int]]:
    """Predictions, targets and reductions: contiguous, strided, long enough for several shares."""
    for reduction in (NONE, MEAN, TOTAL):
        yield tensor((5, 7), dtype, low, high), tensor((5, 7), dtype, low, high, seed=1), reduction
        strided = next(layouts(tensor((3, 4, 5), dtype, low, high)))
        yield strided, tensor((3, 4, 5), dtype, low, high, seed=1), reduction
    yield tensor((9000,), dtype, low, high), tensor((9000,), dtype, low, high, seed=1), MEAN


def pair_gradients(
    dtype: torch.dtype, low: float | None = None, high: float | None = None
) -> Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]]:
    """The same with gradients of the loss before them."""
    for prediction, target, reduction in pair_cases(dtype, low, high):
        shape = prediction.shape if reduction == NONE else ()
        yield tensor(shape, dtype, seed=2), prediction, target, reduction


def pair_large(dtype: torch.dtype, *rest: Any, low: float | None = None, high: float | None = None) -> Sample:
    """4096 x 1024 elements, averaged."""
    pair = (tensor((4096, 1024), dtype, low, high), tensor((4096, 1024), dtype, low, high, seed=1))
    return Sample((*pair, *rest))
