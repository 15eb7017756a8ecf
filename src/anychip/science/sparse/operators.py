"""The records of products with sparse matrices: samples, and compositions of PyTorch's operators as
references."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ...ops.samples import tensor
from ..registry import PRECISE, Fused, Sample, register
from .kernels import multiply_kernel, rows_kernel, sample_kernel, sort_kernel
from .products import sddmm, spmm

# (lengths of rows, columns)
PATTERNS = (((3, 0, 1, 5, 2), 7), ((0, 0, 9), 9), ((1,) * 40, 40))


def _pattern(lengths: tuple[int, ...], columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    starts = torch.tensor([0, *lengths]).cumsum(0)
    listed = [(7 * row + 3 * k) % columns for row, length in enumerate(lengths) for k in range(length)]
    return starts, torch.tensor(listed)


def _row(starts: torch.Tensor) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(starts.numel() - 1), starts.diff())


def _products(dtype: torch.dtype) -> Iterable[Sample]:
    for (lengths, columns), shape in zip(PATTERNS, ((), (5,), (40,))):
        starts, listed = _pattern(lengths, columns)
        values = tensor((listed.numel(),), dtype)
        yield Sample((starts, listed, values, tensor((columns, *shape), dtype, seed=1)))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for (lengths, columns), depth in zip(PATTERNS, (3, 20, 150)):
        starts, listed = _pattern(lengths, columns)
        x, y = tensor((len(lengths), depth), dtype), tensor((columns, depth), dtype, seed=1)
        yield Sample((starts, listed, x, y))


def _product(
    starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    parts = values.reshape([-1] + [1] * (x.ndim - 1)) * x[columns]
    return x.new_zeros((starts.numel() - 1, *x.shape[1:])).index_add(0, _row(starts), parts)


def _sampled(starts: torch.Tensor, columns: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x[_row(starts)] * y[columns]).sum(1)


KERNELS = (multiply_kernel, sample_kernel, sort_kernel, rows_kernel)
for _name, _function, _reference, _arguments in (
    ("spmm", spmm, _product, _products),
    ("sddmm", sddmm, _sampled, _samples),
):
    register(
        Fused(
            _name, "sparse", _function, _reference, _arguments, KERNELS, dtypes=PRECISE, differentiable=True
        )
    )
