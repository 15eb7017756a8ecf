"""PyTorch's operators of its sparse layouts, on the kernels of this folder: what `anychip.enable` puts under
`torch.sparse`. Flows in: tensors [n, m] in the layouts CSR, CSC, BSR and COO, of float32 or float64. What is
not served raises NotServed."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import NotServed
from ...ops.launching import launch
from .canonical import canonical
from .kernels import share_of
from .matrix import Rows, matrix, programs, sorted_by
from .multiply import product
from .products import multiply, sample

TYPES = (torch.float32, torch.float64)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["rows", "count"])
def dense_kernel(out, starts, columns, values, rows, count, width):
    """Add the elements of a matrix to out [rows, width], which holds zeros."""
    first, last = share_of(starts, rows, count)
    for row in range(first, last):
        for j in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
            at = out + row * width + tl.load(columns + j).to(tl.int64)
            tl.store(at, tl.load(at) + tl.load(values + j))


@triton.jit(do_not_specialize=["rows", "count"])
def softmax_rows_kernel(out, starts, values, rows, count, LOG: tl.constexpr):
    """The softmax of each row's elements, or its logarithm."""
    first, last = share_of(starts, rows, count)
    for row in range(first, last):
        start = tl.load(starts + row).to(tl.int64)
        stop = tl.load(starts + row + 1).to(tl.int64)
        largest = tl.full((), -float("inf"), values.dtype.element_ty)
        for j in range(start, stop):
            largest = tl.maximum(largest, tl.load(values + j))
        total = tl.zeros((), values.dtype.element_ty)
        for j in range(start, stop):
            total += tl.exp(tl.load(values + j) - largest)
        for j in range(start, stop):
            shifted = tl.load(values + j) - largest
            if LOG:
                tl.store(out + j, shifted - tl.log(total))
            else:
                tl.store(out + j, tl.exp(shifted) / total)


# ---- what is served -------------------------------------------------------------------------------


def _rows(name: str, x: torch.Tensor) -> Rows:
    if x.ndim != 2 or x.dtype not in TYPES:
        raise NotServed(name, f"sparse tensors of {x.ndim} dimensions and {x.dtype} are not served")
    if x.layout == torch.sparse_bsc or x.dense_dim():
        raise NotServed(name, f"the layout {x.layout} with {x.dense_dim()} dense dimensions is not served")
    return matrix(x.detach())[0]


def _dense(name: str, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if x.layout != torch.strided or x.ndim != 2 or x.dtype != like.dtype:
        raise NotServed(name, f"a second factor of the layout {x.layout} and {x.dtype} is not served")
    return x.contiguous()


def _number(name: str, value: Any) -> float:
    if isinstance(value, complex):
        raise NotServed(name, "complex factors are not served")
    return float(value)


def _csr(a: Rows) -> torch.Tensor:
    return torch.sparse_csr_tensor(a.starts, a.columns, a.values, a.shape, check_invariants=False)


def _coo(a: Rows) -> torch.Tensor:
    """Of a matrix in canonical form."""
    indices = torch.stack([a.rows(), a.columns.to(torch.int64)])
    options: dict[str, Any] = {"check_invariants": False, "is_coalesced": True}
    return torch.sparse_coo_tensor(indices, a.values, a.shape, **options)


# ---- operators ------------------------------------------------------------------------------------


def mm(self: torch.Tensor, mat2: torch.Tensor) -> torch.Tensor:
    """The product of two matrices, one of them sparse: dense, or sparse in the layout of both."""
    if self.shape[-1] != mat2.shape[0]:
        raise NotServed("mm", "the sizes do not match")
    if self.layout == torch.strided:
        turned = _rows("mm", mat2).transposed()
        return multiply(turned, _dense("mm", self, mat2).mT.contiguous()).mT
    if mat2.layout == torch.strided:
        return multiply(_rows("mm", self), _dense("mm", mat2, self))
    if self.layout != mat2.layout or self.layout not in (torch.sparse_csr, torch.sparse_coo):
        raise NotServed("mm", f"the product of {self.layout} and {mat2.layout} is not served")
    found = product(_rows("mm", self), _rows("mm", mat2))
    return _csr(found) if self.layout == torch.sparse_csr else _coo(found)


def addmm(
    self: torch.Tensor, mat1: torch.Tensor, mat2: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> torch.Tensor:
    """beta self + alpha mat1 mat2, mat1 sparse."""
    if mat1.layout == torch.strided or mat1.shape[-1] != mat2.shape[0]:
        raise NotServed("addmm", "the first factor is not sparse, or the sizes do not match")
    a, x = _rows("addmm", mat1), _dense("addmm", mat2, mat1)
    if self.layout != torch.strided or self.dtype != x.dtype:
        raise NotServed("addmm", f"a summand of the layout {self.layout} is not served")
    beta, alpha = _number("addmm", beta), _number("addmm", alpha)
    added = self.expand(a.shape[0], x.shape[1]).contiguous() if beta else None
    return multiply(a, x, added, alpha, beta)


def sampled_addmm(
    self: torch.Tensor, mat1: torch.Tensor, mat2: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> torch.Tensor:
    """beta self + alpha mat1 mat2 where self, in compressed rows, has elements."""
    name = "sparse_sampled_addmm"
    a = _rows(name, self)
    x, y = _dense(name, mat1, self), _dense(name, mat2.mT, self)
    if self.layout != torch.sparse_csr or (len(x), len(y)) != a.shape or x.shape[1] != y.shape[1]:
        raise NotServed(name, "the layout is not CSR, or the sizes do not match")
    beta, alpha = _number(name, beta), _number(name, alpha)
    values = sample(a, x, y, a.values if beta else None, alpha, beta)
    return torch.sparse_csr_tensor(a.starts, a.columns, values, a.shape, check_invariants=False)


def to_dense(
    self: torch.Tensor, dtype: torch.dtype | None = None, masked_grad: bool | None = None
) -> torch.Tensor:
    """The matrix with its zeros."""
    a = _rows("_to_dense", self)
    if dtype not in (None, self.dtype):
        raise NotServed("_to_dense", f"a conversion to {dtype} is not served")
    out = torch.zeros(a.shape, dtype=a.values.dtype, device=a.values.device)
    if a.count:
        launch(dense_kernel, programs(a), out, a.starts, a.columns, a.values, a.shape[0], a.count, a.shape[1])
    return out


def to_sparse_csr(self: torch.Tensor, dense_dim: int | None = None) -> torch.Tensor:
    """In compressed rows."""
    if dense_dim:
        raise NotServed("_to_sparse_csr", "dense dimensions are not served")
    return _csr(canonical(_rows("_to_sparse_csr", self)))


def to_sparse(
    self: torch.Tensor,
    *,
    layout: torch.layout | None = None,
    blocksize: Any = None,
    dense_dim: int | None = None,
) -> torch.Tensor:
    """In coordinates or in compressed rows."""
    name = "_to_sparse"
    if blocksize is not None or dense_dim or layout not in (None, torch.sparse_coo, torch.sparse_csr):
        raise NotServed(name, f"a conversion to {layout} is not served")
    found = canonical(_rows(name, self))
    return _csr(found) if layout == torch.sparse_csr else _coo(found)


def coalesce(self: torch.Tensor) -> torch.Tensor:
    """In coordinates, with one element for each place, in their order."""
    return _coo(canonical(_rows("_coalesce", self)))


def _softmax(name: str, self: torch.Tensor, dim: int, log: bool) -> torch.Tensor:
    a = canonical(_rows(name, self))
    out, values, starts, order = torch.empty_like(a.values), a.values, a.starts, None
    if dim % 2 == 0:
        starts, order = sorted_by(a.columns, a.shape[1])
        values = values[order]
    if a.count:
        grid = programs(Rows(a.shape, starts, a.columns, values))
        launch(softmax_rows_kernel, grid, out, starts, values, starts.numel() - 1, a.count, LOG=log)
    if order is not None:
        out = torch.empty_like(out).index_copy_(0, order, out)
    return _coo(Rows(a.shape, a.starts, a.columns, out))


def softmax(self: torch.Tensor, dim: int, half_to_float: bool) -> torch.Tensor:
    """Along a dimension, over stored elements."""
    return _softmax("_sparse_softmax", self, dim, False)


def log_softmax(self: torch.Tensor, dim: int, half_to_float: bool) -> torch.Tensor:
    """The logarithm of that."""
    return _softmax("_sparse_log_softmax", self, dim, True)
