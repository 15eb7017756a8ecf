"""Negative log likelihood of class labels, the second half of cross entropy, forward and backward."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launch import Tiles, cdiv, compute_dtype, launch
from ..memory.copy import COPY, fill_
from ..pointwise import Pointwise
from ..reduce.sums import SUM
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 256}, simd={"block": 256})
NONE, MEAN, TOTAL = 0, 1, 2

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def nll_kernel(losses, weights, source, target, weight, rows, classes, ignored, BLOCK: tl.constexpr):
    """losses[r] = -w source[r, target[r]] and weights[r] = w, with w = weight[target[r]], 0 if ignored."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
    label = tl.load(target + row, mask=inside, other=0).to(tl.int64)
    counted = inside & (label != ignored)
    known = (label >= 0) & (label < classes)
    tl.device_assert(known | (label == ignored), "target label out of range")
    mask = counted & known
    value = tl.load(source + row * classes + label, mask=mask, other=0.0)
    factor = tl.where(mask, 1.0, 0.0).to(losses.dtype.element_ty)
    if weight is not None:
        factor = tl.load(weight + label, mask=mask, other=0.0).to(losses.dtype.element_ty)
    tl.store(losses + row, -factor * value.to(losses.dtype.element_ty), mask=inside)
    tl.store(weights + row, factor, mask=inside)


@triton.jit
def nll_backward_kernel(
    out, gradient, target, weight, total, rows, classes, ignored, gradient_stride,
    MEAN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[r, target[r]] = -w gradient (divided by the total weight for a mean); the rest stays zero."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
    label = tl.load(target + row, mask=inside, other=0).to(tl.int64)
    mask = inside & (label != ignored) & (label >= 0) & (label < classes)
    value = -tl.load(gradient + row * gradient_stride, mask=mask, other=0.0)
    if weight is not None:
        value = value * tl.load(weight + label, mask=mask, other=0.0)
    if MEAN:
        value = value / tl.load(total)
    tl.store(out + row * classes + label, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def quotient(x, y):
    return x / y


QUOTIENT = Pointwise(quotient)

# ---- forward, backward ----------------------------------------------------------------------------


def _checked(self: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores as [rows, classes] and labels as [rows], contiguous."""
    if self.dtype not in FLOATING or target.dtype not in (torch.int64, torch.uint8):
        raise NotServed("nll_loss_forward", f"dtypes {self.dtype} and {target.dtype} are not served")
    if self.ndim not in (1, 2) or target.numel() != (self.shape[0] if self.ndim == 2 else 1):
        raise ArgumentError(
            f"nll_loss: size mismatch (got input: {list(self.shape)}, target: {list(target.shape)})"
        )
    return self.contiguous().view(-1, self.shape[-1]), target.contiguous().view(-1)


def nll_loss_forward(
    self: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, reduction: int, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, total weight) from log probabilities [rows, classes] and labels [rows]."""
    source, labels = _checked(self, target)
    rows, classes = source.shape
    compute = compute_dtype(self.dtype)
    losses = torch.empty((rows,), dtype=compute, device=self.device)
    weights = torch.empty((rows,), dtype=compute, device=self.device)
    block = TILES.on(self.device)["block"]
    factor = None if weight is None else weight.contiguous()
    launch(
        nll_kernel, cdiv(rows, block), losses, weights, source, labels, factor, rows, classes, ignore_index,
        BLOCK=block, debug=True, sanitize_overflow=False,
    )  # fmt: skip
    if reduction == NONE:
        loss = COPY(
            losses.view(target.shape), out=torch.empty(target.shape, dtype=self.dtype, device=self.device)
        )
        return loss, fill_(torch.empty((), dtype=self.dtype, device=self.device), 0)
    result = torch.empty((), dtype=self.dtype, device=self.device)
    sums = SUM(losses, None, False, compute=compute, result=compute)
    total = SUM(weights, None, False, compute=compute, result=compute)
    if reduction == MEAN:
        sums = QUOTIENT(sums, total)
    total_weight = COPY(total, out=torch.empty((), dtype=self.dtype, device=self.device))
    return COPY(sums, out=result), total_weight


def nll_loss_backward(
    grad_output: torch.Tensor, self: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None,
    reduction: int, ignore_index: int, total_weight: torch.Tensor, *, out: Any = None,
) -> torch.Tensor:  # fmt: skip
    """Gradient of the log probabilities."""
    source, labels = _checked(self, target)
    rows, classes = source.shape
    result = fill_(torch.empty(self.shape, dtype=self.dtype, device=self.device), 0)
    block = TILES.on(self.device)["block"]
    gradient = grad_output.contiguous()
    launch(
        nll_backward_kernel, cdiv(rows, block), result, gradient, labels,
        None if weight is None else weight.contiguous(), total_weight, rows, classes, ignore_index,
        1 if gradient.ndim else 0, MEAN=reduction == MEAN, BLOCK=block,
    )  # fmt: skip
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return COPY(result, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _cases(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, int, int]]:
    scores = torch.log_softmax(tensor((6, 5), torch.float64), 1).to(dtype)
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    weight = tensor((5,), dtype, 0.5, 2.0)
    for reduction in (NONE, MEAN, TOTAL):
        yield scores, labels, None, reduction, -100
        yield scores, labels, weight, reduction, 2


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    return (Sample(case) for case in _cases(dtype))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for scores, labels, weight, reduction, ignored in _cases(dtype):
        total = torch.tensor(4.0, dtype=dtype)
        gradient = tensor((6,) if reduction == NONE else (), dtype)
        yield Sample((gradient, scores, labels, weight, reduction, ignored, total))


register(
    Operator(
        name="nll_loss",
        domain="loss",
        overloads=(
            Overload("nll_loss_forward", nll_loss_forward, _samples, takes_out=False),
            Overload("nll_loss_backward", nll_loss_backward, _gradients),
        ),
        kernels=(nll_kernel, nll_backward_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        tolerance=2.0,
    )
)
