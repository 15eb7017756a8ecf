"""Cross entropy of rows of logits with what training of language models adds to it: smoothed labels, a
penalty on the normaliser (z-loss, PaLM, arXiv:2204.02311), ignored rows and capped logits; and the same
fused with the last linear layer, chunk by chunk, so that the logits of all rows never exist at once.
Flows in: logits, or hidden states and a weight, and class numbers. Flows out: the loss; gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..products import product, product_kernel
from ..registry import Fused, register
from .cross_entropy_kernels import (
    add_bias_kernel,
    column_sum_kernel,
    cross_entropy_backward_kernel,
    cross_entropy_kernel,
    scaled_kernel,
)
from .rows import mean_kernel

TILES = Tiles(simt={"block": 2048}, simd={"block": 2048})
CHUNK = 64
"""Fewest rows whose logits the fused loss holds at a time."""
CHUNKS = 8
"""Chunks that the fused loss cuts many rows into."""
REDUCTIONS = ("mean", "sum", "none")

# ---- forward, backward ----------------------------------------------------------------------------


def _block(classes: int, device: torch.device) -> int:
    return min(TILES.on(device)["block"], power_of_two(classes))


def _constants(numbers: tuple[float, ...], block: int) -> dict[str, Any]:
    smoothing, z_weight, soft_cap = numbers
    return {
        "CAPPED": soft_cap > 0.0,
        "SMOOTHED": smoothing != 0.0,
        "PENALIZED": z_weight != 0.0,
        "BLOCK": block,
    }


def _checked(name: str, rows: tuple[int, ...], target: torch.Tensor, reduction: str) -> None:
    if tuple(target.shape) != rows or target.dtype not in (torch.int32, torch.int64):
        raise ArgumentError(
            f"{name}: target {tuple(target.shape)} of {target.dtype} does not fit rows {rows}; give one "
            f"int32 or int64 class number a row"
        )
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"{name}: reduction {reduction!r} is none of {', '.join(REDUCTIONS)}")


def _reduced(
    losses: torch.Tensor, target: torch.Tensor, ignore: int, mean: bool, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    out = torch.empty((), dtype=dtype, device=losses.device)
    count = torch.empty((), dtype=torch.float32, device=losses.device)
    launch(mean_kernel, 1, out, count, losses, target, losses.numel(), ignore, MEAN=mean, BLOCK=1024)
    return out, count


class CrossEntropy(torch.autograd.Function):
    """Of logits that exist."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        target: torch.Tensor,
        ignore: int,
        numbers: tuple[float, ...],
        reduction: str,
    ) -> torch.Tensor:
        """The loss of logits [rows, classes] with target [rows]: one number, or one for each row where
        `reduction` is "none"."""
        logits, target = logits.contiguous(), target.contiguous()
        rows, classes = logits.shape
        constants = _constants(numbers, _block(classes, logits.device))
        sums = torch.empty((rows, 2), dtype=torch.float32, device=logits.device)
        whole = reduction == "none"
        losses = torch.empty(rows, dtype=logits.dtype if whole else torch.float32, device=logits.device)
        launch(
            cross_entropy_kernel,
            rows,
            losses,
            sums,
            logits,
            target,
            classes,
            classes,
            ignore,
            *numbers,
            **constants,
        )
        if whole:
            out, count = losses, torch.ones((), dtype=torch.float32, device=logits.device)
        else:
            out, count = _reduced(losses, target, ignore, reduction == "mean", logits.dtype)
        ctx.save_for_backward(logits, target, sums, count)
        ctx.settings = (ignore, numbers, constants, int(whole))
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of the logits."""
        logits, target, sums, count = ctx.saved_tensors
        ignore, numbers, constants, step = ctx.settings
        rows, classes = logits.shape
        result = torch.empty_like(logits)
        launch(
            cross_entropy_backward_kernel,
            (cdiv(classes, constants["BLOCK"]), rows),
            result,
            logits,
            target,
            sums,
            grad_outputs[0].contiguous(),
            step,
            count,
            classes,
            classes,
            ignore,
            *numbers,
            **constants,
        )
        return result, None, None, None, None


class LinearCrossEntropy(torch.autograd.Function):
    """Of hidden states times a weight. The gradients of both are found on the way, as the logits of a
    chunk are there, and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        target: torch.Tensor,
        ignore: int,
        numbers: tuple[float, ...],
        reduction: str,
    ) -> torch.Tensor:
        """The loss of the logits hidden weight^T + bias, chunk by chunk of rows: they never exist all at
        once."""
        hidden, weight, target = hidden.contiguous(), weight.contiguous(), target.contiguous()
        (rows, _), classes, device = hidden.shape, weight.shape[0], hidden.device
        single: dict[str, Any] = {"dtype": torch.float32, "device": device}
        block = _block(classes, device)
        constants = _constants(numbers, block)
        chunk = max(CHUNK, cdiv(rows, CHUNKS))
        buffer = torch.empty((min(chunk, rows), classes), **single)
        losses, sums = torch.empty(rows, **single), torch.empty((rows, 2), **single)
        dhidden = torch.empty(hidden.shape, **single)
        dweight = torch.zeros(weight.shape, **single)
        dbias = None if bias is None else torch.zeros(classes, **single)
        for first in range(0, rows, chunk):
            part = slice(first, min(first + chunk, rows))
            x, label, total = hidden[part], target[part], sums[part]
            logits = buffer[: x.shape[0]]
            grid = (cdiv(classes, block), x.shape[0])
            product(logits, x, weight.t())
            if bias is not None:
                launch(add_bias_kernel, grid, logits, bias.contiguous(), classes, BLOCK=block)
            launch(
                cross_entropy_kernel,
                x.shape[0],
                losses[part],
                total,
                logits,
                label,
                classes,
                classes,
                ignore,
                *numbers,
                **constants,
            )
            launch(
                cross_entropy_backward_kernel,
                grid,
                logits,
                logits,
                label,
                total,
                None,
                0,
                None,
                classes,
                classes,
                ignore,
                *numbers,
                **constants,
            )
            product(dhidden[part], logits, weight)
            product(dweight, logits.t(), x, dweight)
            if dbias is not None:
                launch(column_sum_kernel, grid[0], dbias, logits, x.shape[0], classes, BLOCK=block)
        out, count = _reduced(losses, target, ignore, reduction == "mean", hidden.dtype)
        ctx.save_for_backward(dhidden, dweight, dbias, count)
        ctx.dtype = hidden.dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of hidden states, weight and bias, scaled by that of the loss."""
        dhidden, dweight, dbias, count = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        results: list[torch.Tensor | None] = []
        for value in (dhidden, dweight, dbias):
            if value is None:
                results.append(None)
                continue
            out = torch.empty(value.shape, dtype=ctx.dtype, device=value.device)
            programs = cdiv(value.numel(), 1024)
            launch(scaled_kernel, programs, out, value, gradient, count, value.numel(), BLOCK=1024)
            results.append(out)
        return (*results, None, None, None, None)


def cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    label_smoothing: float = 0.0,
    z_weight: float = 0.0,
    soft_cap: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """Cross entropy of logits [rows, classes] with target [rows], int32 or int64 class numbers.

    Adds `z_weight` (log sum exp)^2; `soft_cap` c > 0 turns a logit x into c tanh(x / c) first. Rows whose
    target is `ignore_index` give zero and do not count in the mean. A target outside of the classes is
    undefined. Reduction "mean", "sum" or "none". Differentiable in logits. Raises ArgumentError.
    """
    if logits.ndim != 2:
        raise ArgumentError(f"cross_entropy: expected logits [rows, classes], got {tuple(logits.shape)}")
    _checked("cross_entropy", tuple(logits.shape[:1]), target, reduction)
    numbers = (label_smoothing, z_weight, soft_cap)
    return CrossEntropy.apply(logits, target, ignore_index, numbers, reduction)


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    target: torch.Tensor,
    bias: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    z_weight: float = 0.0,
    soft_cap: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """`cross_entropy` of hidden weight^T + bias without ever holding the logits of all rows.

    hidden [rows, width], weight [classes, width], bias [classes], target [rows]; reduction "mean" or "sum".
    Differentiable in hidden, weight and bias. Raises ArgumentError.
    """
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise ArgumentError(
            f"linear_cross_entropy: hidden {tuple(hidden.shape)} and weight {tuple(weight.shape)} must be "
            f"[rows, width] and [classes, width]"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ArgumentError(f"linear_cross_entropy: bias {tuple(bias.shape)} for {weight.shape[0]} classes")
    _checked("linear_cross_entropy", tuple(hidden.shape[:1]), target, reduction)
    if reduction == "none":
        raise ArgumentError('linear_cross_entropy: reduction "none" has no gradient here; use "sum"')
    numbers = (label_smoothing, z_weight, soft_cap)
    return LinearCrossEntropy.apply(hidden, weight, bias, target, ignore_index, numbers, reduction)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    logits: torch.Tensor,
    target: torch.Tensor,
    label_smoothing: float = 0.0,
    z_weight: float = 0.0,
    soft_cap: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    if soft_cap:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    target = target.long()
    kept = target != ignore_index
    each = F.cross_entropy(
        logits, target, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="none"
    )
    each = each + z_weight * logits.logsumexp(-1).square() * kept
    if reduction == "none":
        return each
    return each.sum() / kept.sum() if reduction == "mean" else each.sum()


def _linear_reference(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    target: torch.Tensor,
    bias: torch.Tensor | None = None,
    **keywords: Any,
) -> torch.Tensor:
    return _reference(F.linear(hidden, weight, bias), target, **keywords)


def _labels(rows: int, classes: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    labels = torch.randint(0, classes, (rows,), generator=torch.Generator().manual_seed(rows), dtype=dtype)
    labels[rows // 2] = -100
    return labels


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), _labels(5, 7)))
    yield Sample(
        (tensor((3000, 4), dtype).t(), _labels(4, 3000, torch.int32)),
        {"label_smoothing": 0.1, "z_weight": 1e-2, "reduction": "sum"},
    )
    yield Sample(
        (tensor((9, 50), dtype), _labels(9, 50)),
        {"soft_cap": 2.0, "z_weight": 1e-2, "label_smoothing": 0.2, "reduction": "none"},
    )


def _linear_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, width, classes, biased, keywords in (
        (5, 7, 11, False, {}),
        (70, 48, 100, True, {"label_smoothing": 0.1, "z_weight": 1e-2, "soft_cap": 3.0}),
    ):
        x, w = tensor((rows, width), dtype, -1, 1), tensor((classes, width), dtype, -1, 1)
        bias = tensor((classes,), dtype, seed=2) if biased else None
        yield Sample((x, w, _labels(rows, classes), bias), keywords)


_KERNELS = (cross_entropy_kernel, cross_entropy_backward_kernel, mean_kernel)
register(Fused("cross_entropy", "loss", cross_entropy, _reference, _samples, _KERNELS, differentiable=True))
register(
    Fused(
        "linear_cross_entropy",
        "loss",
        linear_cross_entropy,
        _linear_reference,
        _linear_samples,
        (*_KERNELS, product_kernel, scaled_kernel, add_bias_kernel, column_sum_kernel),
        differentiable=True,
    )
)
