"""Distances of any order between rows of matrices, forward and backward: _cdist_forward and _backward
(rows of two matrices), _pdist_forward and _backward (pairs of rows of one)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import broadcast_shape, power_of_two
from ..launching import Plan, Plans, Tiles, cdiv, launch, scalar_bits
from ..memory.copy import COPY
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .distance_kernels import cdist_backward_kernel, cdist_kernel, pdist_backward_kernel, pdist_kernel

SERVED = (torch.float32, torch.float64)
TILES = Tiles(simt={"rows": 32, "columns": 32}, simd={"rows": 16, "columns": 64})
PLANS: Plans[Plan] = Plans()
ZERO, ONE, TWO, LARGEST, BELOW, ABOVE = 0, 1, 2, 3, 4, 5
"""Orders with a formula of their own; BELOW and ABOVE are the others, on either side of two."""
STRETCH = 32
"""Coordinates, at least, that are joined before their totals are."""

# ---- forward, backward ----------------------------------------------------------------------------


def _order(p: float) -> int:
    special = {0.0: ZERO, 1.0: ONE, 2.0: TWO, math.inf: LARGEST}
    return special.get(p, BELOW if p < 2 else ABOVE)


def _checked(operator: str, p: float, *tensors: torch.Tensor) -> None:
    for x in tensors:
        if x.dtype not in SERVED or x.dtype != tensors[0].dtype:
            raise NotServed(operator, f"dtypes {[str(y.dtype) for y in tensors]} are not served")
    if not p >= 0:
        raise ArgumentError(f"{operator} only supports non-negative p values, but got {p}")


def _batched(x: torch.Tensor, batch: tuple[int, ...]) -> torch.Tensor:
    return x.expand(*batch, *x.shape[-2:]).contiguous()


def cdist_forward(
    x1: torch.Tensor, x2: torch.Tensor, p: float, compute_mode: int | None = None
) -> torch.Tensor:
    """Distances [..., rows, columns] of order p between rows of x1 [..., rows, width] and of x2."""
    _checked("cdist", p, x1, x2)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ArgumentError(
            f"X1 and X2 must be matrices with the same number of columns, but their shapes are "
            f"{list(x1.shape)} and {list(x2.shape)}"
        )
    if compute_mode not in (None, 0, 1, 2):
        raise ArgumentError(f"possible modes: None, 0, 1, 2, but was: {compute_mode}")
    batch = tuple(broadcast_shape(x1.shape[:-2], x2.shape[:-2]))
    rows, columns, width = x1.shape[-2], x2.shape[-2], x1.shape[-1]
    out = torch.empty((*batch, rows, columns), dtype=x1.dtype, device=x1.device)
    key = (out.shape, width, p, x1.dtype, x1.device)
    plan = PLANS.get(key)
    if plan is None:
        tiles = TILES.on(x1)
        block_m, block_n = (min(power_of_two(n), tiles[k]) for n, k in ((rows, "rows"), (columns, "columns")))
        constants = {"ORDER": _order(p), "BLOCK_M": block_m, "BLOCK_N": block_n}
        programs = math.prod(batch) * cdiv(rows, block_m) * cdiv(columns, block_n)
        plan = PLANS.remember(key, Plan(cdist_kernel, programs, (rows, columns, width), constants))
    plan.launch(out, _batched(x1, batch), _batched(x2, batch), numbers=(scalar_bits(p, True),))
    return out


def cdist_backward(
    grad: torch.Tensor, x1: torch.Tensor, x2: torch.Tensor, p: float, cdist: torch.Tensor
) -> torch.Tensor:
    """Gradient of x1, with the batch dimensions of both."""
    _checked("_cdist_backward", p, x1, x2, grad)
    batch = tuple(broadcast_shape(x1.shape[:-2], x2.shape[:-2]))
    rows, columns, width = x1.shape[-2], x2.shape[-2], x1.shape[-1]
    out = torch.empty((*batch, rows, width), dtype=x1.dtype, device=x1.device)
    tiles = TILES.on(x1)
    block_m, block_n = (min(power_of_two(n), tiles[k]) for n, k in ((rows, "rows"), (width, "columns")))
    launch(
        cdist_backward_kernel,
        math.prod(batch) * cdiv(rows, block_m) * cdiv(width, block_n),
        out,
        _batched(grad, batch),
        _batched(x1, batch),
        _batched(x2, batch),
        _batched(cdist, batch),
        rows,
        columns,
        width,
        scalar_bits(p, True),
        ORDER=_order(p),
        BLOCK_M=block_m,
        BLOCK_N=block_n,
    )
    return out


def pdist_forward(self: torch.Tensor, p: float = 2.0) -> torch.Tensor:
    """Distances of all pairs of rows of a matrix, (0, 1), (0, 2), ..., as a vector."""
    _checked("pdist", p, self)
    rows, width = self.shape
    out = torch.empty((rows * (rows - 1) // 2,), dtype=self.dtype, device=self.device)
    block = min(power_of_two(rows), TILES.on(self)["columns"])
    turned = COPY(self.t(), out=torch.empty((width, rows), dtype=self.dtype, device=self.device))
    launch(
        pdist_kernel,
        max(0, rows - 1),
        out,
        turned,
        rows,
        width,
        max(STRETCH, math.isqrt(width)),
        scalar_bits(p, True),
        ORDER=_order(p),
        BLOCK=block,
    )
    return out


def pdist_backward(grad: torch.Tensor, self: torch.Tensor, p: float, pdist: torch.Tensor) -> torch.Tensor:
    """Gradient of the rows."""
    _checked("_pdist_backward", p, self, grad)
    rows, width = self.shape
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    block = min(power_of_two(width), 4 * TILES.on(self)["columns"])
    launch(
        pdist_backward_kernel,
        rows * cdiv(width, block),
        out,
        grad.contiguous(),
        self.contiguous(),
        pdist.contiguous(),
        rows,
        width,
        scalar_bits(p, True),
        ORDER=_order(p),
        BLOCK=block,
    )
    return out


# ---- record ---------------------------------------------------------------------------------------

ORDERS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.5, math.inf)


def _pairs(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    yield tensor((5, 3), dtype), tensor((7, 3), dtype, seed=1)
    yield tensor((2, 1, 40, 6), dtype), tensor((3, 70, 6), dtype, seed=1)


def _forward(dtype: torch.dtype) -> Iterable[Sample]:
    for x, y in _pairs(dtype):
        for p in ORDERS:
            yield Sample((x, y, p, 2))
    yield Sample((tensor((3, 5), dtype).t(), tensor((2, 3), dtype), 2.0, None))
    yield Sample((tensor((4, 0), dtype), tensor((2, 0), dtype), 2.0, None))
    yield Sample((tensor((0, 3), dtype), tensor((2, 3), dtype), 2.0, None))


def _backward(dtype: torch.dtype) -> Iterable[Sample]:
    x, y = tensor((2, 6, 5), dtype), tensor((2, 7, 5), dtype, seed=1)
    for p in ORDERS:
        distances = torch.cdist(x.double(), y.double(), p).to(dtype)
        yield Sample((tensor((2, 6, 7), dtype, seed=2), x, y, p, distances))


def _self_forward(dtype: torch.dtype) -> Iterable[Sample]:
    for p in ORDERS:
        yield Sample((tensor((6, 5), dtype), p))
    yield Sample((tensor((70, 3), dtype), 2.0))
    yield Sample((tensor((1, 4), dtype), 2.0))


def _self_backward(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((6, 5), dtype)
    for p in ORDERS:
        distances = torch.ops.aten._pdist_forward(x.double(), p).to(dtype)
        yield Sample((tensor((15,), dtype, seed=2), x, p, distances))


def _clouds(dtype: torch.dtype) -> Sample:
    return Sample((tensor((1024, 64), dtype), tensor((1024, 64), dtype, seed=1), 1.0, None))


def _without_largest(draw: Any) -> Any:
    """Without the largest coordinate: rounding decides which of the oracle's coordinates it is."""

    def drawn(dtype: torch.dtype) -> Iterable[Sample]:
        for sample in draw(dtype):
            orders = [x for x in sample.arguments if isinstance(x, float)]
            if dtype == torch.float64 or math.inf not in orders:
                yield sample

    return drawn


register(
    Operator(
        name="cdist",
        overloads=(
            Overload("_cdist_forward", cdist_forward, _forward, takes_out=False),
            Overload("_cdist_backward", cdist_backward, _without_largest(_backward), takes_out=False),
        ),
        kernels=(cdist_kernel, cdist_backward_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(Benchmark("_cdist_forward", _clouds),),
        tolerance=4.0,
    )
)
register(
    Operator(
        name="pdist",
        overloads=(
            Overload("_pdist_forward", pdist_forward, _self_forward, takes_out=False),
            Overload("_pdist_backward", pdist_backward, _without_largest(_self_backward), takes_out=False),
        ),
        kernels=(pdist_kernel, pdist_backward_kernel),
        dtypes=SERVED,
        tiles=TILES,
        tolerance=4.0,
    )
)
