"""Connectionist temporal classification: the negative log likelihood of label sequences, summed over all
alignments with blanks by the forward recursion, and its gradient by the backward one. A program takes one
sequence; its states are the labels with a blank before, between and behind them.
Graves et al., "Connectionist Temporal Classification", ICML 2006, sections 4.1 and 4.2."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.running_softmax import shift_of
from ..launching import TRITON_DTYPES, Tiles, launch
from ..memory.copy import fill_
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"classes": 256}, simd={"classes": 1024})
Lengths = Sequence[int] | torch.Tensor

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def log_sum(a, b, c):
    """log(exp(a) + exp(b) + exp(c)), also where all are minus infinity."""
    largest = tl.maximum(tl.maximum(a, b), c)
    shift = shift_of(largest)
    return tl.log(tl.exp(a - shift) + tl.exp(b - shift) + tl.exp(c - shift)) + shift


@triton.jit(do_not_specialize=["width"])
def ctc_kernel(
    losses,
    alphas,
    source,
    targets,
    starts,
    target_lengths,
    input_lengths,
    blank,
    width,
    times,
    time_stride,
    batch_stride,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """alphas[n, t, s] = log of the probability of being in state s after time t; losses[n]."""
    n = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    length = tl.load(input_lengths + n).to(tl.int32)
    states = tl.load(target_lengths + n).to(tl.int32) * 2 + 1
    inside = lane < states
    odd = inside & (lane % 2 == 1)
    labels = targets + tl.load(starts + n)
    label = tl.load(labels + lane // 2, mask=odd, other=blank).to(tl.int64)
    before = tl.load(labels + lane // 2 - 1, mask=odd & (lane >= 3), other=blank).to(tl.int64)
    skips = odd & (lane >= 3) & (label != before)
    source += n * batch_stride
    row = alphas + n * times * width
    first = tl.load(source + label, mask=inside & (lane < 2) & (length > 0), other=float("-inf")).to(COMPUTE)
    tl.store(row + lane, first, mask=lane < width)
    for _ in range(1, length):
        tl.debug_barrier()
        stay = tl.load(row + lane, mask=inside, other=float("-inf"))
        step = tl.load(row + lane - 1, mask=inside & (lane >= 1), other=float("-inf"))
        skip = tl.load(row + lane - 2, mask=skips, other=float("-inf"))
        row += width
        source += time_stride
        score = tl.load(source + label, mask=inside, other=float("-inf")).to(COMPUTE)
        tl.store(row + lane, log_sum(stay, step, skip) + score, mask=lane < width)
    tl.debug_barrier()
    last = tl.load(row + states - 1)
    other = tl.load(row + states - 2, mask=states > 1, other=float("-inf"))
    nothing = tl.where(states == 1, 0.0, float("inf"))
    value = -log_sum(last, other, tl.where(last == last, float("-inf"), last))
    tl.store(losses + n, tl.where(length > 0, value, nothing).to(losses.dtype.element_ty))


@triton.jit(do_not_specialize=["width", "classes"])
def ctc_backward_kernel(
    out,
    betas,
    gradient,
    source,
    losses,
    alphas,
    targets,
    starts,
    target_lengths,
    input_lengths,
    blank,
    width,
    times,
    classes,
    time_stride,
    batch_stride,
    out_time_stride,
    out_batch_stride,
    ZERO_INFINITY: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
    CLASSES: tl.constexpr,
):
    """out[t, n, c] = g (exp(x[t, n, c]) - sum over states s with label c of the share of alignments that
    are in s at time t), backward in time, NaN where no alignment is possible; betas[n, t, s] is the log
    probability of the rest from there."""
    n = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    column = tl.arange(0, CLASSES)
    length = tl.load(input_lengths + n).to(tl.int32)
    states = tl.load(target_lengths + n).to(tl.int32) * 2 + 1
    inside = lane < states
    odd = inside & (lane % 2 == 1)
    labels = targets + tl.load(starts + n)
    label = tl.load(labels + lane // 2, mask=odd, other=blank).to(tl.int64)
    after = tl.load(labels + lane // 2 + 1, mask=odd & (lane + 2 < states), other=blank).to(tl.int64)
    skips = odd & (lane + 2 < states) & (label != after)
    loss = tl.load(losses + n).to(COMPUTE)
    factor = tl.load(gradient + n).to(COMPUTE)
    impossible = loss == float("inf")
    counted = states > 0
    if ZERO_INFINITY:
        counted = loss != float("inf")
    source += n * batch_stride
    out += n * out_batch_stride
    alphas += n * times * width
    betas += n * times * width
    for k in range(length):
        t = length - 1 - k
        scores = source + t * time_stride
        score = tl.load(scores + label, mask=inside, other=float("-inf")).to(COMPUTE)
        ends = inside & (lane + 2 >= states) & (k == 0)
        tl.debug_barrier()
        following = betas + (t + 1) * width
        stay = tl.load(following + lane, mask=inside & (k > 0), other=float("-inf"))
        stay = tl.where(ends, 0.0, stay)
        step = tl.load(following + lane + 1, mask=(lane + 1 < states) & (k > 0), other=float("-inf"))
        skip = tl.load(following + lane + 2, mask=skips & (k > 0), other=float("-inf"))
        beta = log_sum(stay, step, skip) + score
        tl.store(betas + t * width + lane, beta, mask=lane < width)
        row = out + t * out_time_stride
        for block in range(0, classes, CLASSES):
            whole = block + column < classes
            x = tl.load(scores + block + column, mask=whole, other=float("-inf")).to(COMPUTE)
            slope = tl.where(impossible, float("nan"), tl.exp(x) * factor)
            tl.store(row + block + column, tl.where(counted, slope, 0.0), mask=whole)
        tl.debug_barrier()
        alpha = tl.load(alphas + t * width + lane, mask=inside, other=float("-inf")).to(COMPUTE)
        share = tl.exp(alpha + beta + loss - score) * -factor
        tl.atomic_add(row + label, share, mask=inside & counted & (score > float("-inf")))


# ---- forward, backward ----------------------------------------------------------------------------


def _lengths(lengths: Lengths) -> list[int]:
    return lengths.tolist() if isinstance(lengths, torch.Tensor) else list(lengths)


def _checked(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int,
) -> tuple[list[int], list[int], list[int]]:
    """Lengths of the inputs and of the targets, and where each target begins."""
    if log_probs.dtype not in (torch.float32, torch.float64):
        raise NotServed("_ctc_loss", f"dtype {log_probs.dtype} is not served")
    if targets.dtype not in (torch.int64, torch.int32):
        raise ArgumentError(f"ctc_loss: targets must be int32 or int64, got {targets.dtype}")
    times, batch, classes = log_probs.shape
    inputs, labels = _lengths(input_lengths), _lengths(target_lengths)
    if not 0 <= blank < classes:
        raise ArgumentError(f"blank must be in label range [0, {classes}), got {blank}")
    if len(inputs) != batch or len(labels) != batch:
        raise ArgumentError(
            f"input_lengths and target_lengths must be of size {batch} (batch size); "
            f"got {len(inputs)} and {len(labels)}"
        )
    if any(not 0 <= length <= times for length in inputs):
        raise ArgumentError(f"Expected input_lengths to have value at most {times}, got {inputs}")
    if any(length < 0 for length in labels):
        raise ArgumentError(f"Expected target_lengths to be non-negative, got {labels}")
    if targets.ndim == 1:
        starts = [0, *itertools.accumulate(labels)]
        if starts[-1] != targets.shape[0]:
            raise ArgumentError(
                f"Expected tensor to have size {starts[-1]} at dimension 0, but got size {targets.shape[0]}"
            )
        return inputs, labels, starts[:-1]
    if targets.shape[0] != batch or max(labels, default=0) > targets.shape[1]:
        raise ArgumentError(
            f"Expected tensor to have size at least {max(labels, default=0)} at dimension 1, "
            f"but got targets of shape {list(targets.shape)}"
        )
    return inputs, labels, [n * targets.shape[1] for n in range(batch)]


def ctc_loss(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses [batch], log alphas [batch, times, 2 * longest target + 1]) of log probabilities
    [times, batch, classes] and targets, [batch, longest] or one after another."""
    inputs, labels, starts = _checked(log_probs, targets, input_lengths, target_lengths, blank)
    times, batch, _ = log_probs.shape
    width = 2 * max(labels, default=0) + 1
    device = log_probs.device
    losses = torch.empty((batch,), dtype=log_probs.dtype, device=device)
    alphas = fill_(torch.empty((batch, times, width), dtype=log_probs.dtype, device=device), float("-inf"))
    source = log_probs.contiguous()
    lists = [torch.tensor(x, dtype=torch.int64, device=device) for x in (starts, labels, inputs)]
    launch(
        ctc_kernel,
        batch,
        losses,
        alphas,
        source,
        targets.contiguous(),
        *lists,
        blank,
        width,
        times,
        source.stride(0),
        source.stride(1),
        COMPUTE=TRITON_DTYPES[log_probs.dtype],
        BLOCK=power_of_two(width),
    )
    return losses, alphas


def ctc_loss_backward(
    grad: torch.Tensor,
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    neg_log_likelihood: torch.Tensor,
    log_alpha: torch.Tensor,
    blank: int,
    zero_infinity: bool = False,
) -> torch.Tensor:
    """Gradient of the log probabilities; NaN for impossible targets, zero if `zero_infinity`."""
    inputs, labels, starts = _checked(log_probs, targets, input_lengths, target_lengths, blank)
    times, batch, classes = log_probs.shape
    device = log_probs.device
    source, alphas = log_probs.contiguous(), log_alpha.contiguous()
    out = fill_(torch.empty(source.shape, dtype=log_probs.dtype, device=device), 0)
    betas = torch.empty_like(alphas)
    lists = [torch.tensor(x, dtype=torch.int64, device=device) for x in (starts, labels, inputs)]
    launch(
        ctc_backward_kernel,
        batch,
        out,
        betas,
        grad.contiguous(),
        source,
        neg_log_likelihood.contiguous(),
        alphas,
        targets.contiguous(),
        *lists,
        blank,
        alphas.shape[2],
        times,
        classes,
        source.stride(0),
        source.stride(1),
        out.stride(0),
        out.stride(1),
        ZERO_INFINITY=zero_infinity,
        COMPUTE=TRITON_DTYPES[log_probs.dtype],
        BLOCK=power_of_two(alphas.shape[2]),
        CLASSES=min(power_of_two(classes), TILES.on(device)["classes"]),
    )
    return out


# ---- record ---------------------------------------------------------------------------------------


def _cases(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor, list[int], list[int]]]:
    scores = torch.log_softmax(tensor((9, 3, 5), torch.float64), 2).to(dtype)
    padded = torch.tensor([[1, 2, 2, 4], [3, 1, 0, 0], [0, 0, 0, 0]])
    yield scores, padded, [9, 6, 4], [4, 2, 0]
    yield scores, torch.tensor([1, 2, 2, 4, 3, 1, 4]), [9, 6, 4], [4, 2, 1]


def _samples(as_tensor: bool) -> Any:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for scores, targets, *lengths in _cases(dtype):
            yield Sample((scores, targets, *(torch.tensor(x) if as_tensor else x for x in lengths)))

    return draw


def _gradients(as_tensor: bool) -> Any:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for scores, targets, *lengths in _cases(dtype):
            losses, alphas = torch.ops.aten._ctc_loss(scores.double(), targets, *lengths)
            given = [torch.tensor(x) if as_tensor else x for x in lengths]
            known = (losses.to(dtype), alphas.to(dtype), 0)
            yield Sample((tensor((3,), dtype, 0.5, 2.0), scores, targets, *given, *known))

    return draw


def _large(dtype: torch.dtype) -> Sample:
    scores = torch.log_softmax(tensor((200, 32, 64), torch.float64), 2).to(dtype)
    return Sample((scores, torch.arange(32 * 40).view(32, 40) % 63 + 1, [200] * 32, [40] * 32))


register(
    Operator(
        name="ctc_loss",
        overloads=(
            Overload("_ctc_loss", ctc_loss, _samples(False), False, compared=lambda result: result[0]),
            Overload("_ctc_loss.Tensor", ctc_loss, _samples(True), False, compared=lambda result: result[0]),
            Overload("_ctc_loss_backward", ctc_loss_backward, _gradients(False), False),
            Overload("_ctc_loss_backward.Tensor", ctc_loss_backward, _gradients(True), False),
        ),
        kernels=(ctc_kernel, ctc_backward_kernel),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        benchmarks=(Benchmark("_ctc_loss", _large),),
        tolerance=8.0,  # logarithms of sums over all alignments
    )
)
