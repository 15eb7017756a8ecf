"""Eigenvalues and eigenvectors of any square matrices, real or complex: reduction to Hessenberg form by
reflectors, then the QR algorithm with single shifts, in complex double precision (Francis, "The QR
transformation", 1961; Wilkinson, "The algebraic eigenvalue problem", 1965). A program takes one matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..complex_forms import delivered, parts_of, serve_complex
from ..complex_pointwise import PARTS
from ..elementwise.arithmetic import sub
from ..elementwise.comparison import ne
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import Tiles, launch
from ..memory.copy import copy_, zero_
from ..reduce.truth import any_all
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .eigen_kernels import hessenberg_kernel, triangular_kernel, values_kernel, vectors_kernel
from .matrices import flat, matrices, triangle

TILES = Tiles(simt={"rows": 1024}, simd={"rows": 1024})
"""A row of the largest matrices that are served is one tile."""

# ---- forward --------------------------------------------------------------------------------------

COMPLEX = {part: made for made, part in PARTS.items()}


def eigen(name: str, A: torch.Tensor, wanted: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(complex eigenvalues, eigenvectors as columns if `wanted`) of square matrices."""
    matrices(name, A, square=True)
    dtype = COMPLEX.get(A.dtype, A.dtype)
    if dtype not in PARTS:
        raise NotServed(name, f"dtype {A.dtype} is not served")
    n = A.shape[-1]
    if n > TILES.on(A)["rows"]:
        raise NotServed(name, f"matrices of {n} rows are not served")
    source = flat(A)
    batch = len(source)
    values = torch.empty((batch, n), dtype=dtype, device=A.device)
    vectors = torch.empty((batch, n, n), dtype=dtype, device=A.device) if wanted else None
    if source.numel():
        work = torch.empty((4, batch, n, n), dtype=torch.float64, device=A.device)
        parts = parts_of(source) if A.is_complex() else (source, None)
        copy_(work[0], parts[0])
        copy_(work[1], parts[1]) if parts[1] is not None else zero_(work[1])
        if any_all(ne(sub(work[:2], work[:2], 1), 0)).item():
            raise ArgumentError(f"torch.{name}: input tensor should not contain infs or NaNs.")
        triangle(work[2], None, False)
        zero_(work[3])
        kept = torch.empty((batch, 3 * n), dtype=torch.float64, device=A.device)
        block = power_of_two(n)
        constants = {"BLOCK": block, "VECTORS": wanted}
        planes = (work[0], work[1], work[2], work[3])
        launch(hessenberg_kernel, batch, *planes, kept, n, **constants)
        launch(triangular_kernel, batch, *planes, kept, n, 40 * n, **constants)
        real = not A.is_complex()
        pairs = torch.view_as_real(values)
        places = torch.empty((batch, n), dtype=torch.int32, device=A.device)
        launch(values_kernel, batch, pairs, places, work[0], work[1], n, REAL=real, BLOCK=block)
        if vectors is not None:
            x = torch.empty((batch, n, 2, n), dtype=torch.float64, device=A.device)
            launch(
                vectors_kernel,
                batch * n,
                torch.view_as_real(vectors),
                pairs,
                places,
                *planes,
                x,
                n,
                1,
                n,
                REAL=real,
                BLOCK=block,
            )
    shaped = None if vectors is None else vectors.view(A.shape)
    return values.view(A.shape[:-1]), shaped


def linalg_eig(self: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(eigenvalues, eigenvectors as columns), both complex; in no particular order."""
    values, vectors = eigen("linalg.eig", self, True)
    assert vectors is not None
    return values, vectors


def linalg_eigvals(self: torch.Tensor) -> torch.Tensor:
    """Eigenvalues, complex; in no particular order."""
    return eigen("linalg.eigvals", self, False)[0]


def linalg_eigvals_out(self: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    """The same, into `out`."""
    return delivered(linalg_eigvals(self), out)


# ---- record ---------------------------------------------------------------------------------------


def _squares(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0), (20, 20)):
        yield Sample((tensor(shape, dtype),))
    yield Sample((torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=dtype),))
    yield Sample((torch.eye(3, dtype=dtype),))


def _squares_and_out(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 5), dtype),), {"out": torch.empty(0, dtype=COMPLEX[dtype])})


def _ordered(values: torch.Tensor) -> torch.Tensor:
    """Parts of eigenvalues in an order of their own."""
    listed = [sorted(row, key=lambda z: (round(z.real, 3), z.imag)) for row in _rows(values)]
    return torch.view_as_real(torch.tensor(listed, dtype=values.dtype).reshape(values.shape))


def _rows(values: torch.Tensor) -> Any:
    return values.reshape(-1, values.shape[-1]).tolist() if values.numel() else []


def _rebuilt(result: Any) -> Any:
    """What two decompositions with other orders have in common: the matrix, V diag(values) inverse(V)."""
    values, vectors = result
    if not vectors.numel():
        return torch.view_as_real(values)
    wide = vectors.to(torch.complex128)
    whole = (wide * values[..., None, :]) @ torch.linalg.inv(wide)
    lengths = wide.abs().square().sum(-2)
    return _ordered(values), torch.view_as_real(whole.to(values.dtype)), lengths.to(values.real.dtype)


_KERNELS = (hessenberg_kernel, triangular_kernel, values_kernel, vectors_kernel)
register(
    Operator(
        name="eig",
        overloads=(
            Overload("linalg_eig", linalg_eig, _squares, takes_out=False, compared=_rebuilt),
            Overload("_linalg_eigvals", linalg_eigvals, _squares, takes_out=False, compared=_ordered),
            Overload(
                "linalg_eigvals.out", linalg_eigvals_out, _squares_and_out, takes_out=False, compared=_ordered
            ),
        ),
        kernels=_KERNELS,
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        benchmarks=(Benchmark("linalg_eig", lambda dtype: Sample((tensor((64, 64), dtype),))),),
        tolerance=64.0,
    )
)
for _name, _function in (
    ("linalg_eig", linalg_eig),
    ("_linalg_eigvals", linalg_eigvals),
    ("linalg_eigvals.out", linalg_eigvals_out),
):
    serve_complex(_name, _function)
