"""multi_margin_loss and multilabel_margin_loss with their backward operators: hinge losses between the
scores of a row. A program takes one row; rows are summed or averaged by a reduction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Tiles, compute_dtype, launch, scalar_bits
from ..memory.copy import COPY
from ..reduce.sums import MEAN as MEAN_OF
from ..reduce.sums import SUM
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .margin_kernels import multi_margin_kernel, multilabel_backward_kernel, multilabel_kernel
from .pairs import MEAN, NONE, TOTAL

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- forward, backward ----------------------------------------------------------------------------


def _rows(name: str, self: torch.Tensor, target: torch.Tensor, per_class: bool) -> tuple[Any, Any]:
    """Scores as contiguous [rows, classes], and the targets, contiguous."""
    if self.dtype not in FLOATING:
        raise NotServed(name, f"dtype {self.dtype} is not served")
    if self.ndim > 2 or (self.ndim and self.shape[-1] == 0):
        raise ArgumentError(
            f"{name}: expected non-empty vector or matrix with optional 0-dim batch size, "
            f"but got: {list(self.shape)}"
        )
    source = self.contiguous().view(-1, self.shape[-1] if self.ndim else 1)
    if per_class:
        if target.numel() != self.numel() or target.ndim > max(self.ndim, 1):
            raise ArgumentError(f"inconsistent target size: {list(target.shape)} for {list(self.shape)}")
    elif target.ndim > 1 or target.numel() != source.shape[0]:
        raise ArgumentError(
            f"inconsistent target size, expected {source.shape[0]} but got {list(target.shape)}"
        )
    if target.dtype != torch.int64:
        raise ArgumentError(f"expected scalar type Long but found {target.dtype} ({name})")
    return source, target.contiguous()


def _reduced(
    losses: torch.Tensor, reduction: int, self: torch.Tensor, listed: bool, out: torch.Tensor | None
) -> torch.Tensor:
    """The rows' losses as PyTorch returns them; `listed`: one each, even of a single row."""
    if reduction == NONE and listed:
        target = torch.empty(losses.shape, dtype=self.dtype, device=self.device) if out is None else out
        if target.shape != losses.shape:
            target.resize_(losses.shape)
        return COPY(losses, out=target)
    compute = MEAN_OF if reduction == MEAN else SUM
    return compute(losses, None, False, compute=losses.dtype, result=self.dtype, out=out)


def _margin(p: Any, weight: torch.Tensor | None, classes: int) -> bool:
    """Whether the hinge is squared, after checks."""
    if p not in (1, 2):
        raise ArgumentError(f"only p == 1 and p == 2 supported; got {p}")
    if weight is not None and (weight.ndim != 1 or weight.numel() != classes):
        raise ArgumentError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    return p == 2


def multi_margin_loss(
    self: torch.Tensor,
    target: torch.Tensor,
    p: Any = 1,
    margin: Any = 1,
    weight: Any = None,
    reduction: int = MEAN,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Hinge loss of the other classes' scores over the target's; self [rows, classes], target [rows]."""
    source, labels = _rows("multi_margin_loss", self, target, False)
    rows, classes = source.shape
    squared = _margin(p, weight, classes)
    compute = compute_dtype(self.dtype)
    losses = torch.empty((rows,), dtype=compute, device=self.device)
    launch(
        multi_margin_kernel,
        rows,
        losses,
        None,
        source,
        labels,
        None if weight is None else weight.contiguous(),
        classes,
        scalar_bits(margin, True),
        0,
        0,
        SQUARED=squared,
        BACKWARD=False,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=min(power_of_two(classes), TILES.on(self)["block"]),
        debug=True,
        sanitize_overflow=False,
    )
    return _reduced(losses, reduction, self, target.ndim > 0, out)


def multi_margin_loss_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    p: Any,
    margin: Any,
    weight: Any = None,
    reduction: int = MEAN,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient of the scores."""
    source, labels = _rows("multi_margin_loss", self, target, False)
    rows, classes = source.shape
    squared = _margin(p, weight, classes)
    result = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    gradient = grad_output.contiguous()
    launch(
        multi_margin_kernel,
        rows,
        result,
        gradient,
        source,
        labels,
        None if weight is None else weight.contiguous(),
        classes,
        scalar_bits(margin, True),
        1 if gradient.numel() > 1 else 0,
        scalar_bits(1.0 / rows if reduction == MEAN else 1.0, True),
        SQUARED=squared,
        BACKWARD=True,
        COMPUTE=TRITON_DTYPES[compute_dtype(self.dtype)],
        BLOCK=min(power_of_two(classes), TILES.on(self)["block"]),
        debug=True,
        sanitize_overflow=False,
    )
    return result if out is None else _delivered(result, out)


def multilabel_margin_loss_forward(
    self: torch.Tensor, target: torch.Tensor, reduction: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, marks of the targets); self and target [rows, classes], targets end with -1."""
    source, labels = _rows("multilabel_margin_loss", self, target, True)
    rows, classes = source.shape
    compute = compute_dtype(self.dtype)
    losses = torch.empty((rows,), dtype=compute, device=self.device)
    marks = torch.empty(target.shape, dtype=self.dtype, device=self.device)
    launch(
        multilabel_kernel,
        rows,
        losses,
        marks,
        source,
        labels,
        classes,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=power_of_two(classes),
        debug=True,
        sanitize_overflow=False,
    )
    return _reduced(losses, reduction, self, self.ndim == 2, None), marks


def multilabel_margin_loss_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    target: torch.Tensor,
    reduction: int,
    is_target: torch.Tensor,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient of the scores."""
    source, labels = _rows("multilabel_margin_loss", self, target, True)
    rows, classes = source.shape
    result = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    gradient = grad_output.contiguous()
    launch(
        multilabel_backward_kernel,
        rows,
        result,
        gradient,
        source,
        labels,
        is_target.contiguous(),
        classes,
        1 if gradient.numel() > 1 else 0,
        scalar_bits(1.0 / rows if reduction == MEAN else 1.0, True),
        COMPUTE=TRITON_DTYPES[compute_dtype(self.dtype)],
        BLOCK=power_of_two(classes),
    )
    return result if out is None else _delivered(result, out)


def _delivered(result: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    if out.shape != result.shape:
        out.resize_(result.shape)
    return COPY(result, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _margins(dtype: torch.dtype) -> Iterable[Sample]:
    scores, labels = tensor((5, 7), dtype), torch.tensor([0, 6, 2, 2, 5])
    weight = tensor((7,), dtype, 0.5, 2.0, seed=1)
    yield Sample((scores, labels, 1, 1.0, None, MEAN))
    yield Sample((scores, labels, 2, 0.5, weight, NONE))
    yield Sample((scores.t().contiguous().t(), labels, 2, 1.0, None, TOTAL))
    yield Sample((scores[0], labels[1], 1, 1.0, weight, MEAN))
    yield Sample((scores[:, :1], labels * 0, 1, 1.0, None, MEAN))


def _margin_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _margins(dtype):
        self, *rest, reduction = sample.arguments
        shape = (5,) if reduction == NONE else ()
        yield Sample((tensor(shape, dtype, seed=2), self, *rest, reduction))


def _labels(dtype: torch.dtype) -> Iterable[Sample]:
    labels = torch.tensor([[3, 0, -1, 1], [-1, 0, 1, 2], [0, 1, 2, 3]])
    for reduction in (NONE, MEAN, TOTAL):
        yield Sample((tensor((3, 4), dtype), labels, reduction))
    yield Sample((tensor((4,), dtype), labels[0], MEAN))


def _label_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _labels(dtype):
        self, labels, reduction = sample.arguments
        marks = torch.ops.aten.multilabel_margin_loss_forward(self.double(), labels, reduction)[1]
        shape = (3,) if reduction == NONE else ()
        yield Sample((tensor(shape, dtype, seed=2), self, labels, reduction, marks.to(dtype)))


register(
    Operator(
        name="multi_margin_loss",
        overloads=(
            Overload("multi_margin_loss", multi_margin_loss, _margins),
            Overload("multi_margin_loss_backward", multi_margin_loss_backward, _margin_gradients),
        ),
        kernels=(multi_margin_kernel,),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "multi_margin_loss",
                lambda dtype: Sample((tensor((4096, 1024), dtype), torch.arange(4096) % 1024)),
            ),
        ),
        tolerance=2.0,
    )
)
register(
    Operator(
        name="multilabel_margin_loss",
        overloads=(
            Overload(
                "multilabel_margin_loss_forward", multilabel_margin_loss_forward, _labels, takes_out=False
            ),
            Overload("multilabel_margin_loss_backward", multilabel_margin_loss_backward, _label_gradients),
        ),
        kernels=(multilabel_kernel, multilabel_backward_kernel),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        tolerance=2.0,
    )
)
