"""Least squares: linalg_lstsq, by Householder QR for the driver that takes full rank for granted, else by
singular values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..elementwise.arithmetic import mul
from ..errors import ArgumentError
from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import Tiles, launch, scalar_bits
from ..reduce.sums import SUM
from ..registry import Operator, Overload, Sample, register
from ..samples import tensor
from .jacobi import linalg_svd, rotations_kernel
from .matmul import product
from .matrices import SERVED, broadcast_batch, copied, delivered, flat, matrices, served
from .qr import apply, apply_kernel, factor, reflectors_kernel
from .triangular import solve_in_place, solve_kernel

TILES = Tiles(simt={"columns": 128}, simd={"columns": 256})
DRIVERS = ("gels", "gelsy", "gelsd", "gelss")

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["share"])
def divide_kernel(c, sizes, rank, count, columns, share: tl.int64, BLOCK: tl.constexpr):
    """c[batch, i] divided by sizes[batch, i]; zero where that is not above a share of sizes[batch, 0].
    rank[batch] counts those that are."""
    batch = tl.program_id(0).to(tl.int64)
    sizes += batch * count
    c += batch * count * columns
    limit = tl.load(sizes) * double(share).to(c.dtype.element_ty)
    lane = tl.arange(0, BLOCK)
    found = batch * 0
    for i in range(count):
        size = tl.load(sizes + i)
        known = size > limit
        found += known.to(tl.int64)
        for start in range(0, columns, BLOCK):
            at = c + i.to(tl.int64) * columns + start + lane
            value = tl.load(at, mask=start + lane < columns, other=0)
            value = tl.where(known, value / tl.where(known, size, 1.0), 0.0).to(c.dtype.element_ty)
            tl.store(at, value, mask=start + lane < columns)
    tl.store(rank + batch, found)


# ---- forward --------------------------------------------------------------------------------------


def _full_rank(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The solution of least squares, or of least norm, for a [batch, rows, columns] of full rank."""
    batch, rows, columns = a.shape
    if rows >= columns:
        work, c = copied(a), copied(b)
        tau = factor(work)
        apply(c, work, tau, reverse=False)
        return solve_in_place(c[:, :columns], work[:, :columns], upper=True)
    work = copied(a.mT)
    tau = factor(work)
    c = torch.empty((batch, columns, b.shape[2]), dtype=a.dtype, device=a.device).zero_()
    c[:, :rows].copy_(b)
    solve_in_place(c[:, :rows], work[:, :rows].mT, upper=False)
    return apply(c, work, tau, reverse=True)


def _by_singular_values(
    a: torch.Tensor, b: torch.Tensor, rcond: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(solution of least norm, rank, singular values)."""
    left, values, right = linalg_svd(a)
    c = product(left.mT, b).contiguous()
    rank = torch.empty((len(a),), dtype=torch.int64, device=a.device)
    launch(
        divide_kernel,
        len(a),
        c,
        values.contiguous(),
        rank,
        values.shape[1],
        c.shape[2],
        scalar_bits(rcond, True),
        BLOCK=min(power_of_two(c.shape[2]), TILES.on(a)["columns"]),
    )
    return product(right.mT, c), rank, values


def lstsq(
    self: torch.Tensor, b: torch.Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(solution, squared residuals, rank, singular values); what the driver does not give is empty."""
    name = "torch.linalg.lstsq"
    served(name, self, b)
    matrices(name, self)
    chosen = driver or ("gelsy" if self.device.type == "cpu" else "gels")
    if chosen not in DRIVERS:
        raise ArgumentError(f"{name}: parameter `driver` should be one of {DRIVERS}, but it is {driver!r}")
    vector = b.ndim == 1 or (self.ndim - 1 == b.ndim and b.shape == self.shape[:-1])
    right = b[..., None] if vector else b
    if right.ndim < 2 or right.shape[-2] != self.shape[-2]:
        raise ArgumentError(
            f"{name}: input.size(-2) should match other.size(-2), but the shapes are {list(self.shape)} and "
            f"{list(b.shape)}"
        )
    batch = broadcast_batch(self, right)
    a = flat(self.expand(*batch, *self.shape[-2:]))
    c = flat(right.expand(*batch, *right.shape[-2:]))
    rows, columns = self.shape[-2:]

    def empty(*shape: int, dtype: torch.dtype = self.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    residuals, rank, values = empty(0), empty(0, dtype=torch.int64), empty(0)
    full = chosen == "gels"
    if not a.numel() or not c.numel():
        x = empty(len(a), columns, c.shape[2]).zero_()
        if chosen != "gels":
            rank = empty(*batch, dtype=torch.int64).zero_()
    elif chosen == "gels":
        x = _full_rank(a, c)
    else:
        share = torch.finfo(self.dtype).eps * max(rows, columns) if rcond is None else rcond
        x, rank, found = _by_singular_values(a, c, share)
        full = chosen != "gelsy" and min(rank.tolist()) == columns
        rank = rank.view(batch)
        if chosen != "gelsy":
            values = found.view(*batch, found.shape[-1])
    if full and rows > columns and a.numel() and c.numel():
        rest = product(a, x.contiguous(), c, alpha=-1)
        residuals = SUM(mul(rest, rest), [1], False, compute=self.dtype, result=self.dtype)
        residuals = residuals.view(*batch, -1)
    x = x.reshape(*batch, columns, c.shape[2])
    return (x[..., 0] if vector else x), residuals, rank, values


def linalg_lstsq_out(
    self: torch.Tensor,
    b: torch.Tensor,
    rcond: float | None = None,
    *,
    driver: str | None = None,
    solution: torch.Tensor,
    residuals: torch.Tensor,
    rank: torch.Tensor,
    singular_values: torch.Tensor,
) -> Any:
    """`lstsq` into given tensors."""
    return delivered(lstsq(self, b, rcond, driver=driver), (solution, residuals, rank, singular_values))


# ---- record ---------------------------------------------------------------------------------------


def _systems(dtype: torch.dtype) -> Iterable[Sample]:
    for driver in DRIVERS:
        for shape in ((6, 4), (4, 6), (2, 5, 5)):
            a = tensor(shape, dtype) + 3 * torch.eye(*shape[-2:], dtype=dtype)
            b = tensor((*shape[:-1], 3), dtype, seed=1)
            outs = {
                "solution": torch.empty(0, dtype=dtype),
                "residuals": torch.empty(0, dtype=dtype),
                "rank": torch.empty(0, dtype=torch.int64),
                "singular_values": torch.empty(0, dtype=dtype),
            }
            yield Sample((a, b, None), {"driver": driver, **outs})


register(
    Operator(
        name="lstsq",
        overloads=(Overload("linalg_lstsq.out", linalg_lstsq_out, _systems, takes_out=False),),
        kernels=(divide_kernel, reflectors_kernel, apply_kernel, solve_kernel, rotations_kernel),
        dtypes=SERVED,
        tiles=TILES,
        tolerance=64.0,
    )
)
