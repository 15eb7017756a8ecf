"""Memory that an operator writes and reads at once. Flows in: the arguments of an in-place or `out=` call.
Flows out: PyTorch's error where PyTorch refuses the call, else whether the result has to be made apart and
copied. The rules are those of ATen's MemoryOverlap.h; what cannot be told cheaply is no error there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..ops.errors import ArgumentError
from ..ops.schemas import overload_of

Function = Callable[..., Any]

_ADVICE = "Please clone() the tensor before performing the operation."
INTERNAL = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory "
    f"location. {_ADVICE}"
)
SHARED = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
    f"memory location. {_ADVICE}"
)

SEPARATE = frozenset(
    {
        "cat",
        "gather",
        "index.Tensor",
        "index_add",
        "index_copy",
        "index_reduce",
        "index_select",
        "linalg_cross",
        "masked_select",
        "nonzero",
        "nonzero_static",
        "scatter.reduce",
        "scatter.src",
        "scatter.value",
        "scatter.value_reduce",
        "scatter_add",
        "scatter_reduce.two",
        "take",
        "kthvalue",
        "mode",
        "median.dim",
        "nanmedian.dim",
    }
)
"""Operators that read elements in another order than they write them: their input may not be the written
tensor either."""

REPEATED = frozenset(
    {
        "_index_put_impl_",
        "fill_.Scalar",
        "index_fill_.int_Scalar",
        "index_fill_.int_Tensor",
        "masked_fill.Scalar",
        "masked_fill.Tensor",
        "zero_",
    }
)
"""Operators that PyTorch lets write one place several times."""

UNCHECKED_DOMAINS = frozenset(
    {
        "convolution",
        "fft",
        "linalg",
        "normalization",
        "pooling",
        "resampling",
        "scale",
    }
)
UNCHECKED = frozenset(
    {
        "_compute_linear_combination",
        "_histogramdd_bin_edges",
        "_histogramdd_from_bin_cts",
        "_histogramdd_from_bin_tensors",
        "all",
        "all.dims",
        "amax",
        "amin",
        "any",
        "any.dims",
        "argmax",
        "argmin",
        "bincount",
        "bucketize.Tensor",
        "col2im",
        "histc",
        "histogram.bin_ct",
        "histogram.bins_tensor",
        "im2col",
        "linalg_vector_norm",
        "log_sigmoid_forward",
        "mean.dim",
        "multi_margin_loss",
        "multi_margin_loss_backward",
        "multilabel_margin_loss_backward",
        "multilabel_margin_loss_forward",
        "mvlgamma",
        "nansum",
        "narrow_copy",
        "nll_loss2d_backward",
        "nll_loss2d_forward",
        "nll_loss_backward",
        "nll_loss_forward",
        "norm.ScalarOpt_dim",
        "norm.ScalarOpt_dim_dtype",
        "prod.dim_int",
        "searchsorted.Tensor",
        "std.correction",
        "sum.dim_IntList",
        "threshold",
        "threshold_backward",
        "tril",
        "triu",
        "var.correction",
    }
)
"""Operators for which PyTorch does not look: its own result is then undefined, ours is that of a copy."""


def spans(x: torch.Tensor) -> tuple[int, int]:
    """Addresses of the first byte of a tensor with elements, and of the one after its last."""
    steps = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + (steps + 1) * x.element_size()


def overlaps_itself(x: torch.Tensor) -> bool:
    """Whether several elements of a tensor are surely one place in memory."""
    return any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True))


def _is_dense(x: torch.Tensor) -> bool:
    """Whether the elements fill the span of memory that they lie in, each at a place of its own."""
    return torch.ops.aten.is_non_overlapping_and_dense.default(x)


def _look(written: torch.Tensor, x: torch.Tensor, separate: bool, checked: bool) -> bool:
    """Whether a result must be made apart from `x`, which shares its storage with `written`; raises
    ArgumentError where PyTorch does."""
    if written.numel() == 0 or x.numel() == 0:
        return False
    if x is not written:
        (start, stop), (first, last) = spans(written), spans(x)
        if last <= start or stop <= first:
            return False
        if not (_is_dense(written) and _is_dense(x)):
            return True
        if (start, stop, written.stride()) != (first, last, x.stride()):
            if checked:
                raise ArgumentError(SHARED)
            return True
    if separate:
        raise ArgumentError(SHARED)
    return x is not written or not checked


def written_arguments(name: str) -> tuple[int | str, ...]:
    """What an overload that is itself in place, or an `out=` form, writes: position 0, or the names of its
    results; nothing for the others, and for those that write lists."""
    arguments = overload_of(name)._schema.arguments
    results = tuple(a.name for a in arguments if a.is_out)
    if results or not name.partition(".")[0].endswith("_"):
        return results
    return (0,) if str(arguments[0].type) == "Tensor" else ()


def of_copies(function: Function, kept: tuple[int | str, ...]) -> Function:
    """`function` from copies of its tensors, but for those at the positions `kept`, which it writes."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        copies = [
            x.clone() if isinstance(x, torch.Tensor) and k not in kept else x for k, x in enumerate(arguments)
        ]
        return function(*copies, **keywords)

    return call


def checked(
    function: Function, apart: Function, name: str, domain: str, written: tuple[int | str, ...]
) -> Function:
    """`function`, which writes the arguments at positions or keywords `written`, or `apart`, which makes its
    result in memory of its own and copies it, where an input shares memory with it. `name` and `domain` are
    those of the functional overload. Where nothing is shared this costs a look at each tensor."""
    separate, single = name in SEPARATE, name not in REPEATED
    refuses = not (domain in UNCHECKED_DOMAINS or name in UNCHECKED)
    shares = torch._C._is_alias_of  # pyright: ignore[reportAttributeAccessIssue]

    def stands_alone(target: torch.Tensor, arguments: Sequence[Any]) -> bool:
        if single and 0 in target.stride() and target.numel() and overlaps_itself(target):
            raise ArgumentError(INTERNAL)
        alone = True
        for x in arguments:
            if isinstance(x, torch.Tensor):
                if shares(target, x) and _look(target, x, separate, refuses):
                    alone = False
            elif isinstance(x, list | tuple):
                alone = stands_alone(target, x) and alone
        return alone

    def write(self: torch.Tensor, *arguments: Any, **keywords: Any) -> Any:
        chosen = function if stands_alone(self, arguments) else apart
        return chosen(self, *arguments, **keywords)

    def deliver(*arguments: Any, **keywords: Any) -> Any:
        alone = [stands_alone(keywords[word], arguments) for word in results]
        return (function if all(alone) else apart)(*arguments, **keywords)

    results = [word for word in written if isinstance(word, str)]
    return deliver if results else write
