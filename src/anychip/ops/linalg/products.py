"""Products built on the matrix product or made of elements: addbmm, vdot, linalg_cross and
_addmm_activation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton

from ..activation.gelu import gelu
from ..activation.rectifier import relu
from ..complex_pointwise import PARTS, ComplexPointwise
from ..elementwise.complex_arithmetic import product
from ..errors import ArgumentError, DimensionError, NotServed
from ..iteration import broadcast_shape
from ..pointwise import TILES, Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduction import reduce_kernel
from ..registry import FLOATING, INTEGRAL, Operator, Overload, Sample, register
from ..samples import tensor
from .matmul import addmm, dot, dot_kernel, matmul_kernel
from .matrices import delivered

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def area(a, b, c, d):
    """One coordinate of a cross product."""
    return a * b - c * d


@triton.jit
def complex_area(a, b, c, d, e, f, g, h):
    """The same of four complex numbers."""
    real, imaginary = product(a, b, c, d)
    other_real, other_imaginary = product(e, f, g, h)
    return real - other_real, imaginary - other_imaginary


AREA = Pointwise(area, of_complex=ComplexPointwise(complex_area))

# ---- forward --------------------------------------------------------------------------------------


def addbmm(
    self: torch.Tensor,
    batch1: torch.Tensor,
    batch2: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Any = None,
) -> torch.Tensor:
    """beta self + alpha times the sum of the products of a batch: one product of longer matrices."""
    if batch1.ndim != 3 or batch2.ndim != 3:
        raise ArgumentError(
            f"batch1 and batch2 must be 3D tensors, but their shapes are {list(batch1.shape)} and "
            f"{list(batch2.shape)}"
        )
    batch, rows, inner = batch1.shape
    columns = batch2.shape[2]
    if batch2.shape[:2] != (batch, inner):
        raise ArgumentError(
            f"addbmm: Incompatible matrix sizes for the product of batches ({list(batch1.shape)} and "
            f"{list(batch2.shape)})"
        )
    if broadcast_shape(self.shape, (rows, columns)) != (rows, columns):
        raise ArgumentError(f"addbmm: {list(self.shape)} does not broadcast to {[rows, columns]}")
    left = batch1.transpose(0, 1).reshape(rows, batch * inner)
    right = batch2.reshape(batch * inner, columns)
    return delivered([addmm(self, left, right, beta=beta, alpha=alpha, operator="addbmm")], out)


def vdot(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Sum of products of two vectors, the first one conjugate."""
    if self.dtype != other.dtype or self.shape != other.shape or self.ndim != 1:
        raise ArgumentError(
            "vdot : expected both vectors to be 1D tensors of same dtype and size, but found "
            f"{self.dtype} {list(self.shape)} and {other.dtype} {list(other.shape)}"
        )
    return dot(self.conj(), other)


def linalg_cross(self: torch.Tensor, other: torch.Tensor, *, dim: int = -1, out: Any = None) -> torch.Tensor:
    """Cross products of vectors of three elements along `dim`; the rest broadcasts."""
    if self.ndim != other.ndim:
        raise ArgumentError("linalg.cross: inputs must have the same number of dimensions.")
    if not -self.ndim <= dim < self.ndim:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-self.ndim}, {self.ndim - 1}], but got "
            f"{dim})"
        )
    if self.shape[dim] != 3 or other.shape[dim] != 3:
        raise ArgumentError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {list(self.shape)} and "
            f"{list(other.shape)}"
        )
    shape = broadcast_shape(self.shape, other.shape)
    dtype = torch.promote_types(self.dtype, other.dtype)
    if dtype not in (*FLOATING, *INTEGRAL, *PARTS):
        raise NotServed("linalg_cross", f"dtype {dtype} is not served")
    result = torch.empty(shape, dtype=dtype, device=self.device)
    a, b = self.expand(shape), other.expand(shape)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        AREA(
            a.select(dim, i), b.select(dim, j), a.select(dim, j), b.select(dim, i), out=result.select(dim, k)
        )
    return delivered([result], out)


def addmm_activation(
    self: torch.Tensor,
    mat1: torch.Tensor,
    mat2: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    use_gelu: bool = False,
    out: Any = None,
) -> torch.Tensor:
    """relu (gelu if `use_gelu`) of beta self + alpha mat1 @ mat2."""
    total = addmm(self, mat1, mat2, beta=beta, alpha=alpha, operator="_addmm_activation")
    return delivered([gelu(total) if use_gelu else relu(total)], out)


# ---- record ---------------------------------------------------------------------------------------


def _batches(dtype: torch.dtype) -> Iterable[Sample]:
    a, b = tensor((3, 4, 5), dtype, -1, 1), tensor((3, 5, 6), dtype, -1, 1, seed=1)
    yield Sample((tensor((4, 6), dtype), a, b))
    yield Sample((tensor((6,), dtype), a, b), {"beta": 2, "alpha": 3})
    yield Sample((tensor((4, 6), dtype), a.mT.contiguous().mT, b[:, :, ::2].repeat(1, 1, 2)), {"beta": 0})


def _dots(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((37,), dtype, -1, 1), tensor((37,), dtype, -1, 1, seed=1)))


def _crosses(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 3), dtype, 0, 5), tensor((5, 3), dtype, 0, 5, seed=1)))
    yield Sample((tensor((4, 3, 5), dtype, 0, 5), tensor((1, 3, 5), dtype, 0, 5, seed=1)), {"dim": 1})


def _layers(dtype: torch.dtype) -> Iterable[Sample]:
    bias, a, b = tensor((6,), dtype), tensor((4, 5), dtype, -1, 1), tensor((5, 6), dtype, -1, 1, seed=1)
    yield Sample((bias, a, b), {"beta": 2, "alpha": 3})
    yield Sample((bias, a, b), {"use_gelu": True})


_numeric = (*FLOATING, *INTEGRAL)
_elements = (flat_kernel, tiled_kernel)
for _name, _overload, _dtypes, _kernels in (
    ("addbmm", Overload("addbmm", addbmm, _batches), (*FLOATING, torch.int64, torch.int32), (matmul_kernel,)),
    (
        "vdot",
        Overload("vdot", vdot, _dots, takes_out=False),
        (*FLOATING, torch.int64),
        (dot_kernel, reduce_kernel),
    ),
    ("cross", Overload("linalg_cross", linalg_cross, _crosses), _numeric, _elements),
    (
        "addmm_activation",
        Overload("_addmm_activation", addmm_activation, _layers),
        FLOATING,
        (matmul_kernel, *_elements),
    ),
):
    register(
        Operator(
            name=_name,
            overloads=(_overload,),
            kernels=_kernels,
            dtypes=_dtypes,
            tiles=TILES,
            tolerance=8.0,
        )
    )
