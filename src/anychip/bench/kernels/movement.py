"""What moves, orders and draws: scans, sort, top-k, transposition, gathers, scatters, random numbers,
histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.registry import overloads
from ..case import Case, Work, integers, moved, normal

FAMILY = "scan, order, movement, random"
WIDE = (4096, 1024)
BINS = 256
BLOCK = 1024

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def cumsum_kernel(out, source, length, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < length
    x = tl.load(source + row * length + at, mask=inside, other=0.0)
    tl.store(out + row * length + at, tl.cumsum(x, 0), mask=inside)


@triton.jit
def sort_kernel(out, source, LENGTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = row * LENGTH + tl.arange(0, LENGTH)
    tl.store(out + at, tl.sort(tl.load(source + at)))


@triton.jit
def topk_kernel(out, source, LENGTH: tl.constexpr, K: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    x = tl.load(source + row * LENGTH + tl.arange(0, LENGTH))
    tl.store(out + row * K + tl.arange(0, K), tl.topk(x, K))


@triton.jit
def transpose_kernel(out, source, rows, columns, R: tl.constexpr, C: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.program_id(1) * C + tl.arange(0, C)
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    x = tl.load(source + row[:, None] * columns + column[None, :], mask=inside)
    tl.store(out + column[:, None] * rows + row[None, :], tl.trans(x), mask=tl.trans(inside))


@triton.jit
def gather_kernel(out, source, index, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    where = tl.load(index + row * columns + at, mask=inside, other=0)
    x = tl.load(source + row * columns + where, mask=inside)
    tl.store(out + row * columns + at, x, mask=inside)


@triton.jit
def dropout_kernel(out, source, count, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(source + at, mask=inside)
    tl.store(out + at, tl.where(tl.rand(seed, at) > p, x / (1 - p), 0.0), mask=inside)


@triton.jit
def randn_kernel(out, count, seed, BLOCK: tl.constexpr):
    """Four normal deviates for each counter of Philox."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a, b, c, d = tl.randn4x(seed, at)
    first = tl.program_id(0) * BLOCK * 4 + tl.arange(0, BLOCK)
    tl.store(out + first, a, mask=first < count)
    tl.store(out + first + BLOCK, b, mask=first + BLOCK < count)
    tl.store(out + first + 2 * BLOCK, c, mask=first + 2 * BLOCK < count)
    tl.store(out + first + 3 * BLOCK, d, mask=first + 3 * BLOCK < count)


@triton.jit
def histogram_kernel(out, source, count, BINS: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    bins = tl.histogram(tl.load(source + at, mask=inside, other=0), BINS, mask=inside)
    tl.atomic_add(out + tl.arange(0, BINS), bins, sem="relaxed")


# ---- callables ------------------------------------------------------------------------------------


def _by_row(kernel: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def call(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        kernel[(x.shape[0],)](out, x, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return out

    return call


def sort(x: torch.Tensor) -> torch.Tensor:
    """The rows of a contiguous matrix, each in ascending order; their length is a power of two."""
    out = torch.empty_like(x)
    sort_kernel[(x.shape[0],)](out, x, LENGTH=x.shape[1])
    return out


def topk(x: torch.Tensor, k: int = 16) -> torch.Tensor:
    """The k largest of each row, in descending order; lengths are powers of two."""
    out = torch.empty((x.shape[0], k), dtype=x.dtype)
    topk_kernel[(x.shape[0],)](out, x, LENGTH=x.shape[1], K=k)
    return out


def transpose(x: torch.Tensor) -> torch.Tensor:
    """A contiguous copy of the transposed matrix."""
    rows, columns = x.shape
    out = torch.empty((columns, rows), dtype=x.dtype)
    transpose_kernel[(triton.cdiv(rows, 32), triton.cdiv(columns, 32))](out, x, rows, columns, R=32, C=32)
    return out


def gather(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """out[r, c] = x[r, index[r, c]]."""
    out = torch.empty_like(x)
    gather_kernel[(x.shape[0],)](out, x, index, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out


def dropout(x: torch.Tensor) -> torch.Tensor:
    """Half of the elements, doubled."""
    out = torch.empty_like(x)
    dropout_kernel[(triton.cdiv(x.numel(), BLOCK),)](out, x, x.numel(), 0.5, 123, BLOCK=BLOCK)
    return out


def randn(like: torch.Tensor) -> torch.Tensor:
    """Normal deviates in the shape of `like`."""
    out = torch.empty_like(like)
    randn_kernel[(triton.cdiv(out.numel(), 4 * BLOCK),)](out, out.numel(), 123, BLOCK=BLOCK)
    return out


def histogram(x: torch.Tensor) -> torch.Tensor:
    """Counts of the values 0 to 255."""
    out = torch.zeros(BINS, dtype=torch.int32)
    histogram_kernel[(triton.cdiv(x.numel(), 16384),)](out, x, x.numel(), BINS=BINS, BLOCK=16384)
    return out


# ---- cases ----------------------------------------------------------------------------------------


def _unary(
    ours: Any, pytorch: Any, sizes: tuple[int, ...], jax: Any = None, out_part: float = 1.0, **more: Any
) -> Work:
    x = normal(*sizes)
    return Work((x,), ours, pytorch, bytes=moved(x) * (1 + out_part), flops=x.numel(), jax=jax, **more)


def _gather(sizes: tuple[int, ...]) -> Work:
    x, index = normal(*sizes), integers(sizes[1], *sizes)
    return Work(
        (x, index),
        gather,
        lambda x, i: x.gather(1, i),
        bytes=moved(x, x, index),
        jax=lambda j, n, x, i: n.take_along_axis(x, i, axis=1),
    )


def _index_add(sizes: tuple[int, ...]) -> Work:
    x, index, values = normal(*sizes), integers(sizes[0], sizes[0]), normal(*sizes, seed=1)
    ours = overloads()["index_add"][1].implementation
    return Work(
        (x, index, values),
        lambda x, i, v: ours(x, 0, i, v),
        lambda x, i, v: x.index_add(0, i, v),
        bytes=moved(x, x, values, index),
        flops=values.numel(),
        jax=lambda j, n, x, i, v: x.at[i].add(v),
    )


def _embedding(sizes: tuple[int, ...]) -> Work:
    table, index = normal(30522, 384), integers(30522, sizes[0])
    ours = overloads()["embedding"][1].implementation
    return Work(
        (table, index),
        ours,
        lambda t, i: torch.nn.functional.embedding(i, t),
        bytes=2.0 * sizes[0] * 384 * 4,
        jax=lambda j, n, t, i: t[i],
    )


def _embedding_backward(sizes: tuple[int, ...]) -> Work:
    gradient, index = normal(sizes[0], 384), integers(30522, sizes[0])
    ours = overloads()["embedding_dense_backward"][1].implementation
    pytorch = torch.ops.aten.embedding_dense_backward.default
    return Work(
        (gradient, index),
        lambda g, i: ours(g, i, 30522, -1, False),
        lambda g, i: pytorch(g, i, 30522, -1, False),
        bytes=moved(gradient) * 3 + 30522 * 384 * 4,
        exportable=False,
    )


def _histogram(sizes: tuple[int, ...]) -> Work:
    x = integers(BINS, sizes[0], dtype=torch.int32)
    return Work(
        (x,),
        histogram,
        lambda t: torch.bincount(t, minlength=BINS),
        bytes=moved(x),
        flops=x.numel(),
        exportable=False,
        jax=lambda j, n, t: n.bincount(t, length=BINS),
    )


MAKERS: dict[str, tuple[tuple[tuple[int, ...], ...], Callable[[tuple[int, ...]], Work]]] = {
    "cumsum": (
        (WIDE, (256, 1024)),
        lambda s: _unary(
            _by_row(cumsum_kernel), lambda x: x.cumsum(1), s, lambda j, n, x: n.cumsum(x, axis=1), terms=s[1]
        ),
    ),
    "sort": (
        ((1024, 1024), (64, 256)),
        lambda s: _unary(sort, lambda x: x.sort(1).values, s, lambda j, n, x: n.sort(x, axis=1)),
    ),
    "topk": (
        ((1024, 1024), (64, 256)),
        lambda s: _unary(
            topk, lambda x: x.topk(16, 1).values, s, lambda j, n, x: j.lax.top_k(x, 16)[0], out_part=16 / s[1]
        ),
    ),
    "transpose": (
        (WIDE, (256, 256)),
        lambda s: _unary(transpose, lambda x: x.t().contiguous(), s, lambda j, n, x: x.T.copy()),
    ),
    "gather": ((WIDE, (256, 1024)), _gather),
    "index_add": (((4096, 512), (256, 512)), _index_add),
    "embedding": (((4096,), (128,)), _embedding),
    "embedding_backward": (((4096,), (128,)), _embedding_backward),
    "dropout": (
        (WIDE, (256, 1024)),
        lambda s: _unary(
            dropout, lambda x: torch.nn.functional.dropout(x, 0.5), s, random=True, exportable=False
        ),
    ),
    "randn": (
        (WIDE, (256, 1024)),
        lambda s: _unary(randn, lambda x: torch.randn_like(x), s, out_part=0, random=True, exportable=False),
    ),
    "histogram": (((1 << 22,), (1 << 16,)), _histogram),
}


def cases() -> Iterator[Case]:
    """All of them in f32, sizes in and out of the caches."""
    for name, (all_sizes, maker) in MAKERS.items():
        for sizes in all_sizes:
            yield Case(name, FAMILY, sizes, torch.float32, lambda m=maker, s=sizes: m(s))
