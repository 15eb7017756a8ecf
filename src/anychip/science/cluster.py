"""Groups of points and their main directions: k-means under the names of `scipy.cluster.vq`, and principal
components. Flows in: observations [n, d]. Flows out: centres, and which is nearest to each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from ..ops.distinct import distinct
from ..ops.launching import cdiv, launch
from ..ops.linalg.jacobi_kernels import rotations_kernel
from ..ops.linalg.matmul_kernels import matmul_kernel
from ..ops.samples import tensor
from .arrays import inexact, taken
from .errors import InvalidType, InvalidValue, NotProvided
from .linalg.batches import Times
from .linalg.symmetric import Pencil
from .registry import PRECISE, Fused, Sample, register

BLOCK = 32

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["n", "k", "d"])
def nearest_kernel(label, distance, x, centres, n, k, d, BLOCK: tl.constexpr):
    """label [n], distance [n] of the nearest of centres [k, d] to each of x [d, n], the first of several. A
    program takes BLOCK points."""
    distinct(label, x)
    distinct(distance, x)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    TYPE: tl.constexpr = x.dtype.element_ty
    best = tl.full((BLOCK,), float("inf"), TYPE)
    found = tl.zeros((BLOCK,), tl.int64)
    for centre in range(k):
        square = tl.zeros((BLOCK,), TYPE)
        for axis in range(d):
            here = tl.load(x + axis.to(tl.int64) * n + at, mask=mask, other=0)
            gap = here - tl.load(centres + centre * d + axis)
            square += gap * gap
        nearer = square < best
        best = tl.where(nearer, square, best)
        found = tl.where(nearer, centre, found)
    tl.store(label + at, found, mask=mask)
    tl.store(distance + at, tl.sqrt(best), mask=mask)


# ---- names ----------------------------------------------------------------------------------------


def _points(x: Any, name: str) -> tuple[torch.Tensor, Any]:
    given, restore = taken(x, name)
    found = inexact(given)
    if found.is_complex():
        raise InvalidType(f"{name} has complex elements, which are not served")
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or not found.numel():
        raise InvalidValue(
            f"{name} must have the shape [n, d] with n and d above 0, not {tuple(found.shape)}"
        )
    return found, restore


def _nearest(x: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(labels [n], distances [n]) of x [n, d]."""
    n, d = x.shape
    label = torch.empty(n, dtype=torch.int64, device=x.device)
    distance = torch.empty(n, dtype=x.dtype, device=x.device)
    by_axis = x.detach().T.contiguous()
    centres = centres.detach().contiguous()
    launch(nearest_kernel, cdiv(n, BLOCK), label, distance, by_axis, centres, n, len(centres), d, BLOCK=BLOCK)
    return label, distance


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """(the place [n] in code_book [k, d] of what is nearest to each of obs [n, d], the distance [n]).
    float32, float64. Raises InvalidValue, InvalidType."""
    x, restore = _points(obs, "obs")
    centres = _points(code_book, "code_book")[0].to(x.dtype)
    if centres.shape[1] != x.shape[1]:
        raise InvalidValue("Observation and code_book should have the same number of features")
    if check_finite and not bool(torch.isfinite(x).all()):
        raise InvalidValue("array must not contain infs or NaNs")
    label, distance = _nearest(x, centres)
    return restore(label), restore(distance)


def _spread(x: torch.Tensor, k: int, generator: np.random.Generator) -> torch.Tensor:
    """Centres [k, d] drawn from x, each by its squared distance from those before (Arthur and Vassilvitskii,
    "k-means++", 2007)."""
    chosen = [int(generator.integers(len(x)))]
    while len(chosen) < k:
        weights = _nearest(x, x[chosen])[1].double().square().cpu().numpy()
        total = weights.sum()
        weights = weights / total if total > 0 else np.full(len(x), 1 / len(x))
        chosen.append(int(generator.choice(len(x), p=weights)))
    return x[chosen]


def kmeans2(
    data: Any, k: Any, iter: int = 10, thresh: float = 1e-5, minit: str = "points", missing: str = "warn",
    check_finite: bool = True, *, rng: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """(centres [k, d], which of them is nearest [n]) after `iter` steps of data [n, d], each of which moves
    every centre to the mean of those that it is nearest to, where there are any. `minit`: "points" and "++"
    draw centres from the data by `rng` (a seed or a generator of NumPy's), "matrix" takes `k` as centres.
    float32, float64. Raises InvalidValue, InvalidType, NotProvided for `minit` "random"."""
    x, restore = _points(data, "data")
    if minit not in ("points", "++", "matrix"):
        raise NotProvided(f"centres by {minit!r} are not served", 'Use "++".')
    if iter < 1:
        raise InvalidValue(f"Invalid iter ({iter}), must be a positive integer.")
    if check_finite and not bool(torch.isfinite(x).all()):
        raise InvalidValue("array must not contain infs or NaNs")
    generator = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
    if minit == "matrix":
        centres = _points(k, "k")[0].to(x)
        if centres.shape[1] != x.shape[1]:
            raise InvalidValue("k array doesn't match data dimension")
    else:
        if not 1 <= int(k) <= len(x):
            raise InvalidValue(f"k must be within 1 and {len(x)}, not {k}")
        if minit == "++":
            centres = _spread(x, int(k), generator)
        else:
            centres = x[torch.from_numpy(generator.choice(len(x), int(k), replace=False))]
    label = _nearest(x, centres)[0]
    for _ in range(iter):
        label = _nearest(x, centres)[0]
        counts = torch.bincount(label, minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, label, x)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return restore(centres), restore(label)


def pca(x: Any, k: int | None = None) -> tuple[Any, Any, Any]:
    """(variances [k], descending, directions [k, d], coordinates [n, k]) of the main directions of
    observations x [n, d] about their mean; of each direction the largest element is positive. Differentiable
    where variances differ. float32, float64. Raises InvalidValue, InvalidType."""
    points, restore = _points(x, "x")
    n, d = points.shape
    k = min(n, d) if k is None else k
    if n < 2 or not 1 <= k <= d:
        raise InvalidValue(f"k must be within 1 and {d}, not {k}, of at least two observations, not {n}")
    centred = points - points.mean(0)
    values, vectors = Pencil.apply(Times.apply(centred.T, centred) / (n - 1), None)
    values, vectors = values.flip(0)[:k], vectors.flip(1)[:, :k]
    largest = vectors.detach().abs().argmax(0, keepdim=True)
    vectors = vectors * torch.where(vectors.detach().gather(0, largest) < 0, -1.0, 1.0).to(vectors)
    return restore(values), restore(vectors.T), restore(Times.apply(centred, vectors))


# ---- records --------------------------------------------------------------------------------------


def _components(x: torch.Tensor, k: int) -> tuple[torch.Tensor, ...]:
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.mT @ centred / (len(x) - 1))
    values, vectors = values.flip(0)[:k], vectors.flip(1)[:, :k]
    largest = vectors.detach().abs().argmax(0, keepdim=True)
    vectors = vectors * torch.where(vectors.detach().gather(0, largest) < 0, -1.0, 1.0).to(vectors)
    return values, vectors.mT, centred @ vectors


def _observed(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((9, 3), dtype) * torch.tensor([4.0, 2.0, 1.0], dtype=dtype), 2))
    yield Sample((torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, -0.5]], dtype=dtype), 1))


def _assigned(obs: torch.Tensor, code_book: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distance = (obs[:, None] - code_book).square().sum(-1).sqrt()
    return distance.argmin(1), distance.amin(1)


def _books(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((20, 3), dtype), tensor((4, 3), dtype, seed=1)))
    yield Sample((tensor((5, 1), dtype), tensor((2, 1), dtype, seed=1)))


register(
    Fused("pca", "groups", pca, _components, _observed, (rotations_kernel, matmul_kernel), PRECISE, True)
)
register(Fused("vq", "groups", vq, _assigned, _books, (nearest_kernel,), PRECISE))
