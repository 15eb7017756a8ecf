"""Systems with a band matrix under the name and signature of `scipy.linalg.solve_banded`, by elimination with
exchanged rows, and products of Kronecker, Khatri and Rao, and Walsh and Hadamard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.samples import tensor
from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue
from ..registry import PRECISE, Fused, Sample, register
from .batches import Times

BLOCK = 32
CALM = 1.4375
"""A number that rounding moves by little beside its square."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n", "many", "lower", "reach", "width"])
def banded_kernel(work, x, info, n, many, lower, reach, width, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """x [n, many] becomes the solution of a band matrix in work [n, width], of which row i holds columns
    i - lower to i + reach (`reach` also counts what fills in above); info[0] is the number of a column
    without a pivot, from 1, or 0. One program."""
    distinct(work, x)
    lane = tl.arange(0, WIDTH).to(tl.int64)
    zero = tl.zeros((), tl.int64)
    singular = zero
    for step in range(n):
        k = zero + step
        last = tl.minimum(k + lower, n - 1)
        best = tl.abs(tl.load(work + k * width + lower))
        pivot = k
        for i in range(k + 1, last + 1):
            size = tl.abs(tl.load(work + i * width + k - i + lower))
            if size > best:
                best = size
                pivot = i
        if (best == 0) & (singular == 0):
            singular = k + 1
        mask = (lane <= reach) & (k + lane < n)
        mine = work + k * width + lower + lane
        top = tl.load(mine, mask=mask, other=0)
        if pivot != k:
            theirs = work + pivot * width + k - pivot + lower + lane
            other = tl.load(theirs, mask=mask, other=0)
            tl.debug_barrier()
            tl.store(theirs, top, mask=mask)
            tl.store(mine, other, mask=mask)
            top = other
            for start in range(0, many, BLOCK):
                at = start + tl.arange(0, BLOCK)
                p = tl.load(x + k * many + at, mask=at < many, other=0)
                q = tl.load(x + pivot * many + at, mask=at < many, other=0)
                tl.store(x + k * many + at, q, mask=at < many)
                tl.store(x + pivot * many + at, p, mask=at < many)
        tl.debug_barrier()
        head = tl.load(work + k * width + lower)
        for i in range(k + 1, last + 1):
            factor = tl.load(work + i * width + k - i + lower) / head
            row = work + i * width + k - i + lower + lane
            tl.store(row, tl.load(row, mask=mask, other=0) - factor * top, mask=mask)
            for start in range(0, many, BLOCK):
                at = start + tl.arange(0, BLOCK)
                p = tl.load(x + k * many + at, mask=at < many, other=0)
                q = tl.load(x + i * many + at, mask=at < many, other=0)
                tl.store(x + i * many + at, q - factor * p, mask=at < many)
        tl.debug_barrier()
    tl.store(info, singular)
    for step in range(n):
        k = zero + n - 1 - step
        head = tl.load(work + k * width + lower)
        for start in range(0, many, BLOCK):
            at = start + tl.arange(0, BLOCK)
            value = tl.load(x + k * many + at, mask=at < many, other=0)
            for j in range(k + 1, tl.minimum(k + reach + 1, n)):
                value -= tl.load(work + k * width + j - k + lower) * tl.load(
                    x + j * many + at, mask=at < many, other=0
                )
            tl.store(x + k * many + at, value / head, mask=at < many)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["half", "pairs"])
def butterfly_kernel(out, x, half, pairs, BLOCK: tl.constexpr):
    """out = sums and differences of elements of x that are `half` apart, in blocks of twice that. A program
    takes BLOCK pairs."""
    distinct(out, x)
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = k < pairs
    at = k // half * 2 * half + k % half
    first = tl.load(x + at, mask=mask, other=0)
    second = tl.load(x + at + half, mask=mask, other=0)
    tl.store(out + at, first + second, mask=mask)
    tl.store(out + at + half, first - second, mask=mask)


@triton.jit(do_not_specialize=["count", "columns", "columns_a", "rows_b", "columns_b"])
def kron_kernel(out, a, b, count, columns, columns_a, rows_b, columns_b, BLOCK: tl.constexpr):
    """out [rows_a rows_b, columns = columns_a columns_b] = every element of a times b. A program takes BLOCK
    elements."""
    distinct(out, a)
    distinct(out, b)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    i = at // columns
    j = at % columns
    x = tl.load(a + i // rows_b * columns_a + j // columns_b, mask=mask, other=0)
    y = tl.load(b + i % rows_b * columns_b + j % columns_b, mask=mask, other=0)
    tl.store(out + at, x * y, mask=mask)


# ---- forward and backward -------------------------------------------------------------------------


def _turned(ab: torch.Tensor, lower: int, upper: int) -> torch.Tensor:
    """The band of the transposed matrix, with `upper` diagonals below."""
    out = torch.zeros_like(ab)
    n = ab.shape[1]
    for d in range(-upper, lower + 1):
        # elements (i, i - d) of the matrix, and (i - d, i) of the transposed one
        first, size = max(0, d), n - abs(d)
        if size > 0:
            out[lower - d, first : first + size] = ab[upper + d, max(0, -d) : max(0, -d) + size]
    return out


class BandedSolution(torch.autograd.Function):
    """x [n, many] of a band matrix ab [lower + upper + 1, n], diagonals in rows as SciPy has them."""

    @staticmethod
    def forward(ctx: Any, ab: torch.Tensor, b: torch.Tensor, lower: int, upper: int) -> torch.Tensor:
        """[n, many]."""
        n, reach = len(b), lower + upper
        work = ab.new_zeros((n, lower + reach + 1))
        for d in range(-lower, upper + 1):
            first, size = max(0, -d), n - abs(d)
            if size > 0:
                work[first : first + size, lower + d] = ab[upper - d, max(0, d) : max(0, d) + size]
        x = b.clone(memory_format=torch.contiguous_format)
        info = torch.zeros(1, dtype=torch.int64, device=b.device)
        launch(
            banded_kernel, 1, work, x, info, n, x.shape[1], lower, reach, work.shape[1],
            WIDTH=power_of_two(reach + 1), BLOCK=BLOCK,
        )  # fmt: skip
        if int(info):
            raise np.linalg.LinAlgError(f"singular matrix: column {int(info) - 1} has no pivot")
        ctx.save_for_backward(ab, x)
        ctx.band = lower, upper
        return x

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """One more solution, with the transposed matrix, and its products with the first."""
        ab, x = ctx.saved_tensors
        lower, upper = ctx.band
        of_b = BandedSolution.apply(_turned(ab, lower, upper), grad_outputs[0], upper, lower)
        if not ctx.needs_input_grad[0]:
            return None, of_b, None, None
        n, rows = len(x), []
        for d in range(upper, -lower - 1, -1):
            size = max(0, n - abs(d))
            products = -(of_b[max(0, -d) :][:size] * x[max(0, d) :][:size]).sum(1)
            before = min(n, max(0, d))
            rows.append(torch.nn.functional.pad(products, (before, n - before - size)))
        return torch.stack(rows), of_b, None, None


class Hadamard(torch.autograd.Function):
    """Sums of the last axis, [..., 2^k], with signs by the parity of common bits of both indices."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """[..., 2^k]."""
        x, half = x.contiguous(), 1
        while half < x.shape[-1]:
            out, pairs = torch.empty_like(x), x.numel() // 2
            launch(butterfly_kernel, cdiv(pairs, BLOCK), out, x, half, pairs, BLOCK=BLOCK)
            x, half = out, 2 * half
        return x.clone() if half == 1 else x

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The same of the gradient."""
        return Hadamard.apply(grad_outputs[0])


class Kronecker(torch.autograd.Function):
    """Every element of a times b."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """[rows of both, columns of both]."""
        a, b = a.contiguous(), b.contiguous()
        ctx.save_for_backward(a, b)
        out = a.new_empty((a.shape[0] * b.shape[0], a.shape[1] * b.shape[1]))
        launch(
            kron_kernel, cdiv(out.numel(), BLOCK), out, a, b, out.numel(), out.shape[1], a.shape[1],
            *b.shape, BLOCK=BLOCK,
        )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Sums over the blocks, and over the blocks' elements."""
        a, b = ctx.saved_tensors
        g = grad_outputs[0].reshape(a.shape[0], b.shape[0], a.shape[1], b.shape[1])
        blocks = g.permute(0, 2, 1, 3).reshape(a.numel(), b.numel())
        of_a = Times.apply(blocks, b.reshape(-1, 1)).reshape(a.shape)
        return of_a, Times.apply(blocks.T, a.reshape(-1, 1)).reshape(b.shape)


# ---- names ----------------------------------------------------------------------------------------


def _real(x: Any, name: str) -> tuple[torch.Tensor, Any]:
    given, restore = taken(x, name)
    if given.is_complex():
        raise InvalidType(f"{name} has complex elements, which are not served")
    return inexact(given), restore


def solve_banded(
    l_and_u: tuple[int, int], ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """x of A x = b [n] or [n, m], A [n, n] with l diagonals below and u above the main one, which are the
    rows of ab [l + u + 1, n], the uppermost first. Differentiable. float32, float64. Raises InvalidValue,
    InvalidType, and NumPy's LinAlgError for a matrix without an inverse."""
    lower, upper = (int(one) for one in l_and_u)
    band, _ = _real(ab, "ab")
    right, restore = _real(b, "b")
    if isinstance(ab, torch.Tensor):
        restore = taken(ab)[1]
    if lower < 0 or upper < 0 or band.ndim != 2 or band.shape[0] != lower + upper + 1:
        raise InvalidValue(
            f"invalid values for the number of lower and upper diagonals: l+u+1 ({lower + upper + 1}) does "
            f"not equal ab.shape[0] ({band.shape[0] if band.ndim else 0})"
        )
    if right.ndim not in (1, 2) or right.shape[0] != band.shape[1]:
        raise InvalidValue(f"shapes of ab {tuple(band.shape)} and b {tuple(right.shape)} are not compatible.")
    if check_finite and not bool(
        torch.isfinite(band.detach()).all() and torch.isfinite(right.detach()).all()
    ):
        raise InvalidValue("array must not contain infs or NaNs")
    dtype = torch.promote_types(band.dtype, right.dtype)
    if not right.numel():
        return restore(right.to(dtype))
    columns = right.to(dtype).reshape(len(right), -1)
    return restore(BandedSolution.apply(band.to(dtype), columns, lower, upper).reshape(right.shape))


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product of a [m, n] and b [p, q], [m p, n q]. Differentiable. float32, float64. Raises
    InvalidValue, InvalidType."""
    x, restore = _real(a, "a")
    y, other = _real(b, "b")
    if x.ndim != 2 or y.ndim != 2:
        raise InvalidValue(f"kron takes matrices, not the shapes {tuple(x.shape)} and {tuple(y.shape)}")
    dtype = torch.promote_types(x.dtype, y.dtype)
    found = Kronecker.apply(x.to(dtype), y.to(dtype))
    return other(found) if isinstance(b, torch.Tensor) else restore(found)


def khatri_rao(a: Any, b: Any) -> Any:
    """The Kronecker products of the columns of a [m, n] and b [p, n], [m p, n]. Differentiable. float32,
    float64. Raises InvalidValue, InvalidType."""
    x, y = _real(a, "a")[0], _real(b, "b")[0]
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise InvalidValue("The number of columns for both arrays should be equal.")
    whole = kron(a, b)
    return whole.reshape(len(whole), x.shape[1], x.shape[1]).diagonal(0, 1, 2) if x.shape[1] else whole


def fwht(x: Any) -> Any:
    """The transform of Walsh and Hadamard of x [..., 2^k] along its last axis, in the order of
    `scipy.linalg.hadamard`: that matrix times x. Differentiable. float32, float64. Raises InvalidValue,
    InvalidType."""
    given, restore = _real(x, "x")
    n = given.shape[-1] if given.ndim else 0
    if n < 1 or n & (n - 1):
        raise InvalidValue(f"the last axis must have 2^k elements, not {n}")
    return restore(Hadamard.apply(given))


# ---- records --------------------------------------------------------------------------------------


def _dense(l_and_u: tuple[int, int], ab: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    lower, upper = l_and_u
    n = ab.shape[1]
    i, j = torch.arange(n)[:, None], torch.arange(n)[None]
    inside = (i - j <= lower) & (j - i <= upper)
    a = torch.where(inside, ab[(upper + i - j).clamp(0, lower + upper), j.expand(n, n)], 0.0)
    return torch.linalg.solve(a, b)


def _bands(dtype: torch.dtype) -> Iterable[Sample]:
    for lower, upper, n in ((1, 1, 6), (2, 1, 9)):
        ab = tensor((lower + upper + 1, n), dtype, 0.1, 0.3)
        ab[upper] += 2
        yield Sample(((lower, upper), ab, tensor((n,), dtype, 0.5, 1.5)))
    yield Sample(((0, 0), torch.full((1, 1), CALM, dtype=dtype), torch.full((1,), CALM, dtype=dtype)))


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 3), dtype), tensor((4, 2), dtype, seed=1)))
    yield Sample((torch.full((1, 1), CALM, dtype=dtype), torch.full((1, 1), CALM, dtype=dtype)))


def _walsh(x: torch.Tensor) -> torch.Tensor:
    matrix = torch.ones((1, 1), dtype=x.dtype)
    while len(matrix) < x.shape[-1]:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return x @ matrix


def _powers(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 8), dtype),))
    yield Sample((tensor((2,), dtype),))


for _name, _call, _reference, _drawn, _kernel in (
    ("solve_banded", solve_banded, _dense, _bands, banded_kernel),
    ("kron", kron, torch.kron, _matrices, kron_kernel),
    ("fwht", fwht, _walsh, _powers, butterfly_kernel),
):
    register(
        Fused(
            _name,
            "structured matrices",
            _call,
            _reference,
            _drawn,
            (_kernel, matmul_kernel),
            dtypes=PRECISE,
            differentiable=True,
        )
    )
