"""Negative log likelihood of class labels, the second half of cross entropy, forward and backward."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch
from ..memory.copy import COPY, fill_
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 256}, simd={"block": 1024})
NONE, MEAN, TOTAL = 0, 1, 2

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def nll_kernel(
    losses,
    weights,
    source,
    target,
    weight,
    rows,
    classes,
    ignored,
    SUMMED: tl.constexpr,
    MEAN: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """losses[r] = -w source[r, target[r]] with w = weight[target[r]], 0 if ignored. SUMMED: losses and
    weights get the sums over the rows of each program instead, and weights those of w. MEAN: the first is
    divided by the second, where one program has all rows."""
    program = tl.program_id(0)
    row = program.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
    label = tl.load(target + row, mask=inside, other=0).to(tl.int64)
    counted = inside & (label != ignored)
    known = (label >= 0) & (label < classes)
    tl.device_assert(known | (label == ignored), "index of a class out of range")
    mask = counted & known
    value = tl.load(source + row * classes + label, mask=mask, other=0.0).to(COMPUTE)
    factor = tl.where(mask, 1.0, 0.0).to(COMPUTE)
    if weight is not None:
        factor = tl.load(weight + label, mask=mask, other=0.0).to(COMPUTE)
    loss = tl.where(mask, -factor * value, 0.0)
    if SUMMED:
        summed = tl.sum(loss, 0)
        whole = tl.sum(factor, 0)
        if MEAN:
            summed = summed / whole
        tl.store(losses + program, summed.to(losses.dtype.element_ty))
        tl.store(weights + program, whole.to(weights.dtype.element_ty))
    else:
        tl.store(losses + row, loss.to(losses.dtype.element_ty), mask=inside)


@triton.jit
def nll_total_kernel(result, total, losses, weights, count, MEAN: tl.constexpr, BLOCK: tl.constexpr):
    """result = the sum of `losses`, for a mean divided by that of `weights`, which is `total`."""
    lane = tl.arange(0, BLOCK)
    loss = tl.zeros((BLOCK,), losses.dtype.element_ty)
    weight = tl.zeros((BLOCK,), losses.dtype.element_ty)
    for start in range(0, count, BLOCK):
        loss += tl.load(losses + start + lane, mask=start + lane < count, other=0.0)
        weight += tl.load(weights + start + lane, mask=start + lane < count, other=0.0)
    summed = tl.sum(loss, 0)
    whole = tl.sum(weight, 0)
    if MEAN:
        summed = summed / whole
    tl.store(result, summed.to(result.dtype.element_ty))
    tl.store(total, whole.to(total.dtype.element_ty))


@triton.jit
def nll_backward_kernel(
    out,
    gradient,
    target,
    weight,
    total,
    rows,
    classes,
    ignored,
    gradient_stride,
    MEAN: tl.constexpr,
    BLOCK: tl.constexpr,
):
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
    like = {"dtype": self.dtype, "device": self.device}
    block = TILES.on(self)["block"]
    programs = cdiv(rows, block)
    factor = None if weight is None else weight.contiguous()
    summed, alone = reduction != NONE, programs == 1
    if summed and alone:
        losses, weights = torch.empty((), **like), torch.empty((), **like)
    elif summed:
        losses, weights = torch.empty((2, max(1, programs)), dtype=compute, device=self.device).unbind()
    else:
        losses, weights = torch.empty(target.shape, **like), None
    launch(
        nll_kernel,
        programs,
        losses,
        weights,
        source,
        labels,
        factor,
        rows,
        classes,
        ignore_index,
        SUMMED=summed,
        MEAN=alone and reduction == MEAN,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    if summed and alone:
        assert weights is not None
        return losses, weights
    total = torch.empty((), **like)
    if not summed:
        return losses, fill_(total, 0)
    result = torch.empty((), **like)
    launch(nll_total_kernel, 1, result, total, losses, weights, programs, MEAN=reduction == MEAN, BLOCK=block)
    return result, total


def nll_loss_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: torch.Tensor,
    *,
    out: Any = None,
) -> torch.Tensor:
    """Gradient of the log probabilities."""
    source, labels = _checked(self, target)
    rows, classes = source.shape
    result = fill_(torch.empty(self.shape, dtype=self.dtype, device=self.device), 0)
    block = TILES.on(self)["block"]
    gradient = grad_output.contiguous()
    launch(
        nll_backward_kernel,
        cdiv(rows, block),
        result,
        gradient,
        labels,
        None if weight is None else weight.contiguous(),
        total_weight,
        rows,
        classes,
        ignore_index,
        1 if gradient.ndim else 0,
        MEAN=reduction == MEAN,
        BLOCK=block,
    )
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
        overloads=(
            Overload("nll_loss_forward", nll_loss_forward, _samples, takes_out=False),
            Overload("nll_loss_backward", nll_loss_backward, _gradients),
        ),
        kernels=(nll_kernel, nll_total_kernel, nll_backward_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        tolerance=2.0,
    )
)
