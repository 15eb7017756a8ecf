"""Exponentials of matrices by scaling and squaring of a Taylor polynomial (Higham, "Functions of
Matrices", 2008, chapter 10), and the linear combinations of matrices it is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import Tiles, cdiv, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .matmul import matmul_kernel, product
from .matrices import SERVED, copied, matrices, served
from .references import matrix_exp

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})
POWERS = 4
DEGREE = {torch.float32: 15, torch.float64: 23}
"""Degree of the polynomial: with a norm of at most two the next term is below the rounding."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def combination_kernel(out, source, coefficients, terms, size, accumulated, BLOCK: tl.constexpr):
    """out[r] = sum over t of coefficients[r, t] source[t], added to what is there if `accumulated`."""
    tiles = tl.cdiv(size, BLOCK)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    at = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    total = tl.zeros((BLOCK,), out.dtype.element_ty)
    if accumulated:
        total = tl.load(out + row * size + at, mask=inside, other=0)
    for t in range(terms):
        factor = tl.load(coefficients + row * terms + t)
        total += factor * tl.load(source + t.to(tl.int64) * size + at, mask=inside, other=0)
    tl.store(out + row * size + at, total, mask=inside)


@triton.jit
def norm_kernel(squarings, scaled, a, n, BLOCK: tl.constexpr):
    """squarings[batch] = how often a[batch] must be halved for the norm of its rows to be at most two,
    and scaled[batch] is that."""
    batch = tl.program_id(0).to(tl.int64) * n * n
    lane = tl.arange(0, BLOCK)
    largest = tl.max(tl.zeros((BLOCK,), tl.float64), 0)
    for i in range(n):
        total = tl.zeros((BLOCK,), tl.float64)
        for start in range(0, n, BLOCK):
            inside = start + lane < n
            value = tl.load(a + batch + i.to(tl.int64) * n + start + lane, mask=inside, other=0)
            total += tl.abs(value.to(tl.float64))
        largest = tl.maximum(largest, tl.sum(total, 0))
    bounded = tl.where(largest < 1e300, largest, 0.5)
    count = tl.maximum(tl.ceil(tl.log2(tl.maximum(bounded, 1e-300)) - 1.0), 0.0)
    tl.store(squarings + tl.program_id(0), count.to(tl.int32))
    factor = tl.exp2(-count)
    for i in range(n):
        for start in range(0, n, BLOCK):
            inside = start + lane < n
            at = batch + i.to(tl.int64) * n + start + lane
            value = tl.load(a + at, mask=inside, other=0).to(tl.float64) * factor
            tl.store(scaled + at, value.to(scaled.dtype.element_ty), mask=inside)


@triton.jit
def polynomial_kernel(out, powers, size, width, coefficients, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """out = out + c0 identity + c1 A + ... of the powers [COUNT - 1, size] of matrices of a `width`."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    place = at % (width * width)
    total = tl.load(out + at, mask=inside, other=0)
    diagonal = tl.load(coefficients).to(total.dtype)
    total += tl.where(place // width == place % width, diagonal, 0.0).to(total.dtype)
    for k in tl.static_range(1, COUNT):
        total += tl.load(coefficients + k) * tl.load(powers + (k - 1) * size + at, mask=inside, other=0)
    tl.store(out + at, total, mask=inside)


@triton.jit
def chosen_kernel(result, squared, squarings, step, size, BLOCK: tl.constexpr):
    """result[batch] = squared[batch] where more than `step` squarings are due."""
    tiles = tl.cdiv(size, BLOCK)
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    at = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = (at < size) & (tl.load(squarings + batch) > step)
    tl.store(result + batch * size + at, tl.load(squared + batch * size + at, mask=mask), mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def compute_linear_combination(
    input: torch.Tensor, coefficients: torch.Tensor, *, out: Any = None
) -> torch.Tensor:
    """out[r] = sum over t of coefficients[r, t] input[t]; added to `out` if given, as PyTorch does."""
    if input.dtype not in SERVED or coefficients.dtype != input.dtype:
        raise NotServed("_compute_linear_combination", f"dtype {input.dtype} is not served")
    if coefficients.ndim != 2 or not input.ndim or input.shape[0] != coefficients.shape[1]:
        raise ArgumentError(
            f"_compute_linear_combination: expected coefficients [rows, terms] for an input [terms, ...], "
            f"but got {list(coefficients.shape)} and {list(input.shape)}"
        )
    rows, terms = coefficients.shape
    shape = (rows, *input.shape[1:])
    size = math.prod(input.shape[1:])
    result = torch.empty(shape, dtype=input.dtype, device=input.device)
    if out is not None:
        result.copy_(out)
    block = TILES.on(input)["block"]
    launch(
        combination_kernel,
        rows * cdiv(size, block),
        result,
        input.contiguous(),
        coefficients.contiguous(),
        terms,
        size,
        int(out is not None),
        BLOCK=block,
    )
    return result if out is None else out.copy_(result)


def linalg_matrix_exp(self: torch.Tensor) -> torch.Tensor:
    """The exponential of each square matrix."""
    served("linalg.matrix_exp", self)
    matrices("linalg.matrix_exp", self, square=True)
    a = copied(self)
    batch, n, _ = a.shape
    if not a.numel():
        return a.view(self.shape)
    squarings = torch.empty((batch,), dtype=torch.int32, device=self.device)
    powers = torch.empty((POWERS, batch, n, n), dtype=self.dtype, device=self.device)
    launch(norm_kernel, batch, squarings, powers[0], a, n, BLOCK=min(power_of_two(n), 256))
    for k in range(1, POWERS):
        product(powers[k - 1], powers[0], out=powers[k])
    degree = DEGREE[self.dtype]
    listed = [
        [1 / math.factorial(POWERS * b + k) for k in range(POWERS)] for b in range((degree + 1) // POWERS)
    ]
    table = torch.tensor(listed, dtype=self.dtype).to(self.device)
    result = torch.empty_like(a).zero_()
    block = TILES.on(self)["block"]
    for b in reversed(range(len(listed))):
        if b < len(listed) - 1:
            result = product(result, powers[POWERS - 1])
        launch(
            polynomial_kernel,
            cdiv(a.numel(), block),
            result,
            powers,
            a.numel(),
            n,
            table[b],
            COUNT=POWERS,
            BLOCK=block,
        )
    for step in range(max(squarings.tolist())):
        squared = product(result, result)
        launch(
            chosen_kernel, batch * cdiv(n * n, block), result, squared, squarings, step, n * n, BLOCK=block
        )
    return result.view(self.shape)


# ---- record ---------------------------------------------------------------------------------------


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0), (2, 40, 40)):
        yield Sample((tensor(shape, dtype, -1, 1) / max(1, shape[-1] // 4),))
    yield Sample((torch.stack([tensor((3, 3), dtype) * 1e-3, tensor((3, 3), dtype, -1, 2)]),))
    yield Sample((tensor((5, 5), dtype, -1, 1).t(),))


def _combinations(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 3, 5), dtype), tensor((2, 4), dtype, seed=1)))


register(
    Operator(
        name="matrix_exp",
        overloads=(
            Overload(
                "linalg_matrix_exp", linalg_matrix_exp, _matrices, takes_out=False, reference=matrix_exp
            ),
            Overload("_compute_linear_combination", compute_linear_combination, _combinations),
        ),
        kernels=(combination_kernel, norm_kernel, polynomial_kernel, chosen_kernel, matmul_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(
            Benchmark("linalg_matrix_exp", lambda dtype: Sample((tensor((256, 256), dtype, -0.1, 0.1),))),
        ),
        tolerance=32.0,
    )
)
