"""Sparse matrices as compressed rows. Flows in: matrices of scipy.sparse and of torch.sparse in any of their
formats, and dense ones. Flows out: `Rows`, whose memory is the given one's where that has compressed rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...ops.launching import launch
from ..arrays import Restore, inexact, taken
from ..errors import InvalidType, InvalidValue
from .kernels import rows_kernel, sort_kernel

LEAST = 4096
"""Elements from which on a product is shared by threads."""


@dataclass(frozen=True)
class Rows:
    """A matrix [shape]: element k of row i is one of starts[i] <= k < starts[i + 1], in column columns[k].
    Elements of equal place are summed."""

    shape: tuple[int, int]
    starts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    @property
    def count(self) -> int:
        """How many elements are stored."""
        return self.values.numel()

    def rows(self) -> torch.Tensor:
        """The row of each element."""
        out = torch.empty(self.count, dtype=torch.int64, device=self.values.device)
        if self.count:
            launch(rows_kernel, self.shape[0], out, self.starts, self.shape[0])
        return out

    def transposed(self) -> Rows:
        """The transposed matrix, its elements ordered by row and column."""
        starts, order = sorted_by(self.columns, self.shape[1])
        return Rows((self.shape[1], self.shape[0]), starts, self.rows()[order], self.values[order])

    def to(self, dtype: torch.dtype) -> Rows:
        """With values of a type."""
        return replace(self, values=self.values.to(dtype))


def sorted_by(key: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each number below `count` begins among the sorted ones, and their order, which is stable."""
    starts, place = (torch.empty(count + 1, dtype=torch.int64, device=key.device) for _ in range(2))
    order = torch.empty(key.numel(), dtype=torch.int64, device=key.device)
    launch(sort_kernel, 1, starts, order, key.contiguous(), place, count, key.numel())
    return starts, order


def coordinates(
    shape: tuple[int, int], row: torch.Tensor, column: torch.Tensor, values: torch.Tensor
) -> Rows:
    """Compressed rows of elements at given places, in their order within each row."""
    starts, order = sorted_by(row, shape[0])
    return Rows(shape, starts, column[order], values[order])


def _blocks(x: torch.Tensor) -> Rows:
    """Compressed rows of blocks, element by element."""
    blocks = x.values().detach()
    _, height, width = blocks.shape
    shape = x.shape[0], x.shape[1]
    starts = x.crow_indices()
    number = torch.repeat_interleave(torch.arange(starts.numel() - 1, device=x.device), starts.diff())
    row = (number[:, None] * height + torch.arange(height, device=x.device))[:, :, None].expand(blocks.shape)
    column = (x.col_indices()[:, None] * width + torch.arange(width, device=x.device))[:, None, :]
    row, column = row.reshape(-1), column.expand(blocks.shape).reshape(-1)
    return coordinates((shape[0], shape[1]), row, column, blocks.reshape(-1))


def _of_torch(x: torch.Tensor) -> Rows:
    if x.ndim != 2:
        raise InvalidValue(f"a sparse matrix has two dimensions, not the shape {tuple(x.shape)}")
    shape = x.shape[0], x.shape[1]
    if x.layout == torch.sparse_csr:
        return Rows(shape, x.crow_indices(), x.col_indices(), x.values())
    if x.layout == torch.sparse_csc:
        return Rows((shape[1], shape[0]), x.ccol_indices(), x.row_indices(), x.values()).transposed()
    if x.layout == torch.sparse_coo:
        indices = x._indices()
        return coordinates(shape, indices[0], indices[1], x._values())
    if x.layout == torch.sparse_bsr:
        return _blocks(x)
    if x.layout == torch.strided:
        row, column = torch.nonzero(x, as_tuple=True)
        return coordinates(shape, row, column, x[row, column])
    raise InvalidType(f"the layout {x.layout} is not served", "Convert the matrix by to_sparse_csr().")


def is_sparse(x: Any) -> bool:
    """Whether something is a sparse matrix of SciPy or of PyTorch."""
    return is_scipy(x) or (isinstance(x, torch.Tensor) and x.layout != torch.strided)


def given_back(a: Rows, like: Any) -> Any:
    """Compressed rows as a tensor, or as a CSR array of SciPy where `like` is not a tensor."""
    if isinstance(like, torch.Tensor):
        return torch.sparse_csr_tensor(a.starts, a.columns, a.values, a.shape, check_invariants=False)
    from scipy.sparse import csr_array

    return csr_array((a.values.numpy(), a.columns.numpy(), a.starts.numpy()), a.shape)


def is_scipy(x: Any) -> bool:
    """Whether something is a sparse matrix or array of SciPy."""
    return type(x).__module__.startswith("scipy.sparse") and hasattr(x, "tocoo")


def _of_scipy(x: Any) -> Rows:
    if x.ndim == 1:  # a row of a sparse array
        x = x.reshape(1, -1)
    if x.format in ("csr", "csc"):
        shape = x.shape if x.format == "csr" else x.shape[::-1]
        parts = (taken(part)[0] for part in (x.indptr, x.indices, x.data))
        given = Rows(shape, *parts)
        return given if x.format == "csr" else given.transposed()
    x = x.tocoo()
    row, column, values = (taken(np.ascontiguousarray(part))[0] for part in (*x.coords, x.data))
    return coordinates(x.shape, row, column, values)


def matrix(x: Any, name: str = "A") -> tuple[Rows, Restore]:
    """Any matrix as compressed rows with inexact values, and what makes results of the kind that goes with
    it: arrays of NumPy, unless the matrix is a tensor."""
    if isinstance(x, torch.Tensor):
        rows, restore = _of_torch(x), taken(x.new_empty(0) if x.layout == torch.strided else x)[1]
    elif is_scipy(x):
        rows, restore = _of_scipy(x), taken(np.empty(0))[1]
    else:
        tensor, restore = taken(x, name)
        rows = _of_torch(tensor)
    values = inexact(rows.values)
    if values.is_complex():
        raise InvalidType(
            f"{name} has complex elements, which are not served",
            "Solve for real and imaginary parts together.",
        )
    return replace(rows, values=values.contiguous()), restore


def programs(a: Rows) -> int:
    """How many programs share a matrix."""
    device = a.values.device
    most = 8 * torch.get_num_threads() if device.type == "cpu" else a.shape[0]
    return max(1, min(most, a.count // LEAST if device.type == "cpu" else a.shape[0]))
