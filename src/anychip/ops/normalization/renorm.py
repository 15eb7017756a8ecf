"""renorm and embedding_renorm_: slices whose norm is over a limit are scaled down to it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch, scalar_bits
from ..memory.copy import zero_
from ..pointwise import Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduce.norm import linalg_vector_norm
from ..reduction import reduce_kernel
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 1024, "marks": 256}, simd={"block": 1024, "marks": 256})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def limited(x, norm, limit):
    """x, scaled so that a norm over the limit becomes the limit."""
    return tl.where(norm > limit, x * (limit / (norm + 1e-7)), x)


@triton.jit
def mark_kernel(marks, indices, count, BLOCK: tl.constexpr):
    """marks[indices] = 1."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    row = tl.load(indices + at, mask=inside, other=0).to(tl.int64)
    tl.store(marks + row, tl.full((BLOCK,), 1, tl.int8), mask=inside)


@triton.jit(do_not_specialize=["limit", "order"])
def renorm_rows_kernel(
    rows,
    marks,
    length,
    row_stride,
    limit: tl.int64,
    order: tl.int64,
    KIND: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Scales one marked row in place. KIND: 1 and 2 are those norms, 0 the largest magnitude, 3 any order."""
    row = tl.program_id(0).to(tl.int64)
    rows += row * row_stride
    lane = tl.arange(0, BLOCK)
    p = double(order).to(COMPUTE)
    most = double(limit).to(COMPUTE)
    marked = tl.load(marks + row).to(tl.int32)
    columns = tl.where(marked != 0, length, 0)
    total = tl.zeros((BLOCK,), COMPUTE)
    for first in range(0, columns, BLOCK):
        x = tl.abs(tl.load(rows + first + lane, mask=lane < columns - first, other=0).to(COMPUTE))
        if KIND == 0:
            total = tl.maximum(total, x)
        elif KIND == 1:
            total += x
        elif KIND == 2:
            total += x * x
        else:
            total += tl.where(lane < columns - first, libdevice.pow(x, p), 0.0)
    if KIND == 0:
        norm = tl.max(total, 0)
    elif KIND == 1:
        norm = tl.sum(total, 0)
    elif KIND == 2:
        norm = tl.sqrt(tl.sum(total, 0))
    else:
        norm = libdevice.pow(tl.sum(total, 0), 1.0 / p)
    factor = tl.where(norm > most, most / (norm + 1e-7), 1.0)
    for first in range(0, columns, BLOCK):
        mask = lane < columns - first
        x = tl.load(rows + first + lane, mask=mask, other=0).to(COMPUTE)
        tl.store(rows + first + lane, (x * factor).to(rows.dtype.element_ty), mask=mask)


LIMITED = Pointwise(limited, converts=True)

# ---- operators ------------------------------------------------------------------------------------


def renorm(self: torch.Tensor, p: float, dim: int, maxnorm: float, *, out: Any = None) -> torch.Tensor:
    """self, each slice along `dim` scaled down to a p-norm of at most `maxnorm`."""
    if self.dtype not in FLOATING:
        raise NotServed("renorm", f"dtype {self.dtype} is not served")
    if not p > 0:
        raise ArgumentError("renorm: non-positive-norm not supported")
    if not maxnorm >= 0:
        raise ArgumentError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if self.ndim <= 1:
        raise ArgumentError(f"renorm: input needs at least 2 dimensions, got {self.ndim} dimensions")
    dim = dim % self.ndim
    norm = linalg_vector_norm(
        self, p, [d for d in range(self.ndim) if d != dim], True, dtype=compute_dtype(self.dtype)
    )
    if out is None:
        out = torch.empty_like(self)
    return LIMITED(self, norm, maxnorm, out=out)


KINDS = {math.inf: 0, 1.0: 1, 2.0: 2}


def embedding_renorm_(
    self: torch.Tensor, indices: torch.Tensor, max_norm: float, norm_type: float
) -> torch.Tensor:
    """The rows of self at `indices` scaled down in place to a norm of at most `max_norm`."""
    if self.ndim != 2 or indices.dtype not in (torch.int64, torch.int32):
        raise ArgumentError(
            f"embedding_renorm_: expected a matrix and integer indices, but got shape {list(self.shape)} and "
            f"dtype {indices.dtype}"
        )
    if self.dtype not in FLOATING:
        raise NotServed("embedding_renorm_", f"dtype {self.dtype} is not served")
    rows = self if self.stride(1) == 1 else self.contiguous()
    tiles = TILES.on(self)
    marks = zero_(torch.empty((self.shape[0],), dtype=torch.int8, device=self.device))
    listed = indices.contiguous()
    launch(
        mark_kernel, cdiv(listed.numel(), tiles["marks"]), marks, listed, listed.numel(), BLOCK=tiles["marks"]
    )
    launch(
        renorm_rows_kernel,
        self.shape[0],
        rows,
        marks,
        self.shape[1],
        rows.stride(0),
        scalar_bits(max_norm, True),
        scalar_bits(norm_type, True),
        KIND=KINDS.get(float(norm_type), 3),
        COMPUTE=TRITON_DTYPES[compute_dtype(self.dtype)],
        BLOCK=min(power_of_two(self.shape[1]), tiles["block"]),
    )
    return self if rows is self else self.copy_(rows)


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for p, dim in ((2, 0), (1, 1), (3, -1), (math.inf, 0)):
        yield Sample((tensor((4, 5, 6), dtype), p, dim, 6.0))
    yield Sample((tensor((4, 6), dtype).t(), 2, 0, 0.5))


def _rows(dtype: torch.dtype) -> Iterable[Sample]:
    indices = torch.tensor([[1, 4], [4, 0]])
    for norm_type in (1.0, 2.0, 2.5):
        yield Sample((tensor((6, 7), dtype), indices, 1.5, norm_type))


register(
    Operator(
        name="renorm",
        overloads=(
            Overload("renorm", renorm, _samples),
            Overload("embedding_renorm_", embedding_renorm_, _rows, takes_out=False),
        ),
        kernels=(mark_kernel, renorm_rows_kernel, reduce_kernel, flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        tolerance=4.0,
    )
)
