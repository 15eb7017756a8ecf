"""Negative log likelihood of a label at every position of an image, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch
from ..memory.copy import COPY, fill_
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .nll import nll_total_kernel
from .pairs import MEAN, NONE, TOTAL

TILES = Tiles(simt={"block": 256}, simd={"block": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def nll2d_kernel(
    losses,
    weights,
    source,
    target,
    weight,
    classes,
    positions,
    ignored,
    SUMMED: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """losses[n, p] = -w source[n, target[n, p], p], zero where ignored. SUMMED: losses and weights get the
    sums over the positions of each program instead, and weights those of w."""
    image = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < positions
    label = tl.load(target + image * positions + at, mask=inside, other=0).to(tl.int64)
    known = (label >= 0) & (label < classes)
    tl.device_assert(known | (label == ignored), "index of a class out of range")
    mask = inside & known & (label != ignored)
    value = tl.load(source + (image * classes + label) * positions + at, mask=mask, other=0.0).to(COMPUTE)
    factor = tl.where(mask, 1.0, 0.0).to(COMPUTE)
    if weight is not None:
        factor = tl.load(weight + label, mask=mask, other=0.0).to(COMPUTE)
    loss = tl.where(mask, -factor * value, 0.0)
    if SUMMED:
        program = image * tl.num_programs(0) + tl.program_id(0)
        tl.store(losses + program, tl.sum(loss, 0))
        tl.store(weights + program, tl.sum(factor, 0))
    else:
        tl.store(losses + image * positions + at, loss.to(losses.dtype.element_ty), mask=inside)


@triton.jit
def nll2d_backward_kernel(
    out,
    gradient,
    target,
    weight,
    total,
    classes,
    positions,
    ignored,
    gradient_stride,
    AVERAGED: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[n, target[n, p], p] = -w gradient (over the total weight for a mean); the rest stays zero."""
    image = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < positions
    label = tl.load(target + image * positions + at, mask=inside, other=0).to(tl.int64)
    mask = inside & (label != ignored) & (label >= 0) & (label < classes)
    place = (image * positions + at) * gradient_stride
    value = -tl.load(gradient + place, mask=mask, other=0.0).to(COMPUTE)
    if weight is not None:
        value = value * tl.load(weight + label, mask=mask, other=0.0).to(COMPUTE)
    if AVERAGED:
        value = value / tl.load(total).to(COMPUTE)
    tl.store(out + (image * classes + label) * positions + at, value.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


def _checked(
    self: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, int, int, int]:
    """Contiguous scores and labels, and images, classes and positions of an image."""
    if self.dtype not in FLOATING or target.dtype not in (torch.int64, torch.uint8):
        raise NotServed("nll_loss2d_forward", f"dtypes {self.dtype} and {target.dtype} are not served")
    if target.ndim != 3:
        raise ArgumentError(
            "only batches of spatial targets supported (3D tensors) but got targets of dimension: "
            f"{target.ndim}"
        )
    if self.ndim != 4:
        raise ArgumentError(
            f"only batches of spatial inputs supported (4D tensors), but got input of dimension: {self.ndim}"
        )
    if (self.shape[0], *self.shape[2:]) != tuple(target.shape):
        raise ArgumentError(f"size mismatch (got input: {list(self.shape)} , target: {list(target.shape)}")
    if weight is not None and weight.numel() != self.shape[1]:
        raise ArgumentError("weight tensor should be defined either for all or no classes")
    return self.contiguous(), target.contiguous(), self.shape[0], self.shape[1], math.prod(self.shape[2:])


def nll_loss2d_forward(
    self: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, reduction: int, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, total weight) from log probabilities [images, classes, height, width]."""
    source, labels, images, classes, positions = _checked(self, target, weight)
    compute = compute_dtype(self.dtype)
    like = {"dtype": self.dtype, "device": self.device}
    block = TILES.on(self)["block"]
    blocks = cdiv(positions, block)
    summed = reduction != NONE
    if summed:
        shares = torch.empty((2, max(1, blocks * images)), dtype=compute, device=self.device)
        losses, weights = shares.unbind()
    else:
        losses, weights = torch.empty(target.shape, **like), None
    launch(
        nll2d_kernel,
        (blocks, images),
        losses,
        weights,
        source,
        labels,
        None if weight is None else weight.contiguous(),
        classes,
        positions,
        ignore_index,
        SUMMED=summed,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    total = torch.empty((), **like)
    if not summed:
        return losses, fill_(total, 0)
    result = torch.empty((), **like)
    launch(
        nll_total_kernel,
        1,
        result,
        total,
        losses,
        weights,
        blocks * images,
        MEAN=reduction == MEAN,
        BLOCK=block,
    )
    return result, total


def nll_loss2d_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: torch.Tensor,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient of the log probabilities."""
    _, labels, images, classes, positions = _checked(self, target, weight)
    result = fill_(torch.empty(self.shape, dtype=self.dtype, device=self.device), 0)
    block = TILES.on(self)["block"]
    gradient = grad_output.contiguous()
    launch(
        nll2d_backward_kernel,
        (cdiv(positions, block), images),
        result,
        gradient,
        labels,
        None if weight is None else weight.contiguous(),
        total_weight,
        classes,
        positions,
        ignore_index,
        1 if gradient.ndim else 0,
        AVERAGED=reduction == MEAN,
        COMPUTE=TRITON_DTYPES[compute_dtype(self.dtype)],
        BLOCK=block,
    )
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return COPY(result, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    scores = tensor((2, 5, 3, 4), dtype, -4.0, 0.0)
    labels = tensor((2, 3, 4), torch.int64, 0, 5)
    weight = tensor((5,), dtype, 0.5, 2.0)
    for reduction in (NONE, MEAN, TOTAL):
        yield Sample((scores, labels, None, reduction, -100))
        yield Sample((scores, labels, weight, reduction, 2))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _samples(dtype):
        scores, labels, weight, reduction, ignored = sample.arguments
        gradient = tensor((2, 3, 4) if reduction == NONE else (), dtype, seed=2)
        total = torch.tensor(4.0, dtype=dtype)
        yield Sample((gradient, scores, labels, weight, reduction, ignored, total))


def _large(dtype: torch.dtype) -> Sample:
    return Sample(
        (tensor((8, 21, 256, 256), dtype), tensor((8, 256, 256), torch.int64, 0, 6), None, MEAN, -1)
    )


register(
    Operator(
        name="nll_loss2d",
        overloads=(
            Overload("nll_loss2d_forward", nll_loss2d_forward, _samples, takes_out=False),
            Overload("nll_loss2d_backward", nll_loss2d_backward, _gradients),
        ),
        kernels=(nll2d_kernel, nll_total_kernel, nll2d_backward_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("nll_loss2d_forward", _large),),
        tolerance=2.0,
    )
)
