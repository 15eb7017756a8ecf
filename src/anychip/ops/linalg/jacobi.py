"""Singular values and symmetric eigenvalues by one-sided Jacobi rotations (Hestenes, "Inversion of
matrices by biorthogonalization and related results", 1958; Demmel and Veselic, "Jacobi's method is more
accurate than QR", 1992), computed in double precision. A symmetric matrix is first shifted to be positive,
where its singular vectors are its eigenvectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentError
from ..iteration import power_of_two
from ..launching import Tiles, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .jacobi_kernels import (
    order_kernel,
    quotient_kernel,
    rotations_kernel,
    sign_kernel,
    sizes_kernel,
    symmetric_kernel,
)
from .matrices import SERVED, flat, matrices, served, triangle
from .qr import apply, apply_kernel, factor, reflectors_kernel

TILES = Tiles(simt={"block": 256}, simd={"block": 512})
MOST_SWEEPS = 60

# ---- forward --------------------------------------------------------------------------------------


def _empty(like: torch.Tensor, *shape: int, double: bool = False) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.float64 if double else like.dtype, device=like.device)


def _rotate(work: torch.Tensor, wanted: bool) -> torch.Tensor:
    """Make the rows of work [batch, count, length] orthogonal; returns the rotations, as many rows."""
    batch, count, length = work.shape
    vectors = _empty(work, batch, count if wanted else 0, count)
    if wanted:
        triangle(vectors, None, False)
    block = TILES.on(work)["block"]
    launch(
        rotations_kernel,
        batch,
        work,
        vectors,
        count,
        length,
        MOST_SWEEPS,
        1.2e-16 * max(2.0, length**0.5),
        VECTORS=wanted,
        BLOCK=min(power_of_two(length), block),
        BLOCK_V=min(power_of_two(count), block),
    )
    return vectors


def _ordered(
    values: torch.Tensor,
    work: torch.Tensor,
    vectors: torch.Tensor,
    symmetric: torch.Tensor | None,
    rows: torch.Tensor | None,
    other: torch.Tensor | None,
) -> None:
    """Put lengths (eigenvalues if the `symmetric` matrices are given) in order into `values`, rows of
    `work` and of `vectors` in the same order into `rows` and `other`."""
    batch, count, length = work.shape
    block = min(power_of_two(max(length, count)), TILES.on(work)["block"])
    sizes = _empty(work, batch, count)
    if symmetric is None:
        launch(sizes_kernel, batch * count, sizes, work, count, length, BLOCK=block)
    else:
        launch(quotient_kernel, batch * count, sizes, symmetric, vectors, count, BLOCK=block)
    row_strides = (0, 0, 0) if rows is None else rows.stride()
    other_strides = (0, 0, 0) if other is None else other.stride()
    launch(
        order_kernel,
        batch * count,
        values,
        rows,
        other,
        sizes,
        work,
        vectors,
        count,
        length,
        count,
        *row_strides,
        *other_strides,
        DESCENDING=symmetric is None,
        ROWS=rows is not None,
        OTHER=other is not None,
        BLOCK=block,
    )


def linalg_eigh(
    A: torch.Tensor, UPLO: str = "L", compute_v: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """(eigenvalues in ascending order, eigenvectors as columns) of symmetric matrices."""
    served("linalg.eigh", A)
    matrices("linalg.eigh", A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    source = flat(A)
    batch, n, _ = source.shape
    values = _empty(A, batch, n)
    vectors = _empty(A, batch, n, n) if compute_v else _empty(A, 0)
    if source.numel():
        work, plain = (_empty(A, batch, n, n, double=True) for _ in range(2))
        launch(
            symmetric_kernel,
            batch,
            work,
            plain,
            source,
            n,
            *source.stride(),
            UPPER=UPLO.upper() == "U",
            BLOCK=min(power_of_two(n), TILES.on(A)["block"]),
        )
        rotations = _rotate(work, True)
        _ordered(values, work, rotations, plain, None, vectors.mT if compute_v else None)
    return values.view(A.shape[:-1]), vectors.view(A.shape) if compute_v else vectors


def linalg_svd(
    A: torch.Tensor, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(U, singular values in descending order, V^T). The vectors are empty unless `compute_uv`."""
    served("linalg.svd", A)
    matrices("linalg.svd", A)
    if driver is not None and A.device.type == "cpu":
        raise ArgumentError("linalg.svd: keyword argument `driver=` is only supported on CUDA inputs")
    if A.shape[-2] < A.shape[-1]:
        right, values, left = linalg_svd(A.mT, full_matrices, compute_uv)
        return (left.mT, values, right.mT) if compute_uv else (left, values, right)
    lead = A.shape[:-2]
    rows, columns = A.shape[-2:]
    source = flat(A)
    batch = len(source)
    values = _empty(A, batch, columns)
    width = rows if full_matrices else columns
    if not compute_uv:
        if source.numel():
            work = _empty(A, batch, columns, rows, double=True).copy_(source.mT)
            _ordered(values, work, _rotate(work, False), None, None, None)
        return _empty(A, 0), values.view(*lead, columns), _empty(A, 0)
    left, right = _empty(A, batch, rows, width), _empty(A, batch, columns, columns)
    if source.numel():
        work = _empty(A, batch, columns, rows, double=True).copy_(source.mT)
        rotations = _rotate(work, True)
        scaled = _empty(A, batch, columns, rows, double=True)
        _ordered(values, work, rotations, None, scaled, right)
        _orthonormal(left, scaled.mT)
    else:
        triangle(left, None, False)
    return left.view(*lead, rows, width), values.view(*lead, columns), right.view(*lead, columns, columns)


def _orthonormal(out: torch.Tensor, scaled: torch.Tensor) -> None:
    """The directions of the orthogonal columns of `scaled`, and whatever completes them to a basis."""
    batch, rows, width = out.shape
    tau = factor(scaled)
    q = _empty(scaled, batch, rows, width)
    triangle(q, None, False)
    apply(q, scaled, tau, reverse=True)
    launch(
        sign_kernel,
        (scaled.shape[2], batch),
        q,
        scaled,
        rows,
        *q.stride(),
        scaled.stride(0),
        scaled.stride(1) + scaled.stride(2),
        BLOCK=min(power_of_two(rows), TILES.on(out)["block"]),
    )
    out.copy_(q)


# ---- record ---------------------------------------------------------------------------------------


def _shapes(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 6, 3), (3, 3, 8), (1, 1), (0, 3, 3), (2, 0, 3), (40, 30)):
        for full in (False, True):
            yield Sample((tensor(shape, dtype), full))
    yield Sample((tensor((2, 6, 4), dtype).mT,))
    yield Sample((torch.ones((4, 3), dtype=dtype), True))
    yield Sample((torch.zeros((3, 3), dtype=dtype),))
    yield Sample((tensor((5, 4), dtype), False, False))


def _beside_its_size(whole: torch.Tensor) -> torch.Tensor:
    """Elements of matrices plus the largest of each: what a decomposition misses is in proportion to that."""
    return whole + whole.abs().amax((-2, -1), keepdim=True) if whole.numel() else whole


def _rebuilt(result: Any) -> Any:
    """What two decompositions with other signs have in common."""
    left, values, right = result
    if not right.numel():
        return values
    steps = values.shape[-1]
    whole = (left.double()[..., :steps] * values.double()[..., None, :]) @ right.double()[..., :steps, :]
    unit = left.double().mT @ left.double(), right.double() @ right.double().mT
    return values, _beside_its_size(whole).to(values.dtype), *(x.to(values.dtype) for x in unit)


def _symmetric(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0), (40, 40)):
        for half in ("L", "U"):
            yield Sample((tensor(shape, dtype), half))
    yield Sample((torch.eye(4, dtype=dtype),))
    yield Sample((tensor((5, 5), dtype), "L", False))


def _rebuilt_symmetric(result: Any) -> Any:
    """What two decompositions with other signs have in common."""
    values, vectors = result
    if not vectors.numel():
        return values
    wide = vectors.double()
    whole = (wide * values.double()[..., None, :]) @ wide.mT
    return values, _beside_its_size(whole).to(values.dtype), (wide.mT @ wide).to(values.dtype)


register(
    Operator(
        name="svd",
        overloads=(Overload("_linalg_svd", linalg_svd, _shapes, takes_out=False, compared=_rebuilt),),
        kernels=(rotations_kernel, sizes_kernel, order_kernel, sign_kernel, reflectors_kernel, apply_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(Benchmark("_linalg_svd", lambda dtype: Sample((tensor((128, 128), dtype),))),),
        tolerance=16.0,
    )
)
register(
    Operator(
        name="eigh",
        overloads=(
            Overload("_linalg_eigh", linalg_eigh, _symmetric, takes_out=False, compared=_rebuilt_symmetric),
        ),
        kernels=(symmetric_kernel, rotations_kernel, quotient_kernel, order_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(Benchmark("_linalg_eigh", lambda dtype: Sample((tensor((128, 128), dtype),))),),
        tolerance=16.0,
    )
)
