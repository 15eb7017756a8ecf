"""Sum, mean, maximum, variance and argmax over rows, columns and everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.registry import overloads
from ..case import Case, Work, moved, normal

FAMILY = "reductions"
SIZES = ((4096, 1024), (256, 1024))
AXES: dict[str, int | None] = {"rows": 1, "columns": 0, "all": None}

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def argmax_kernel(out, source, length, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    x = tl.load(source + row * length + at, mask=at < length, other=float("-inf"))
    tl.store(out + row, tl.argmax(x, 0).to(tl.int64))


@triton.jit
def add_statistics(mean_a, m2_a, count_a, mean_b, m2_b, count_b):
    """Chan, Golub and LeVeque's rule for the moments of two samples together."""
    count = count_a + count_b
    share = tl.where(count == 0.0, 0.0, count_b / count)
    delta = mean_b - mean_a
    return mean_a + delta * share, m2_a + m2_b + delta * delta * count_a * share, count


@triton.jit
def variance_kernel(out, source, length, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < length
    x = tl.load(source + row * length + at, mask=inside, other=0.0).to(tl.float32)
    _, m2, count = tl.reduce((x, tl.zeros_like(x), inside.to(tl.float32)), 0, add_statistics)
    tl.store(out + row, (m2 / (count - 1.0)).to(out.dtype.element_ty))


# ---- callables ------------------------------------------------------------------------------------


def argmax(x: torch.Tensor) -> torch.Tensor:
    """Index of the first maximum of each row of a contiguous matrix."""
    rows, length = x.shape
    out = torch.empty(rows, dtype=torch.int64)
    argmax_kernel[(rows,)](out, x, length, BLOCK=triton.next_power_of_2(length))
    return out


def variance(x: torch.Tensor) -> torch.Tensor:
    """Unbiased variance of each row of a contiguous matrix, by Welford's triples."""
    rows, length = x.shape
    out = torch.empty(rows, dtype=x.dtype)
    variance_kernel[(rows,)](out, x, length, BLOCK=triton.next_power_of_2(length))
    return out


def _sum(x: torch.Tensor, axis: int | None, overload: str) -> Any:
    return overloads()[overload][1].implementation(x, None if axis is None else [axis])


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (
        lambda x, axis: _sum(x, axis, "sum.dim_IntList"),
        lambda x, axis: x.sum() if axis is None else x.sum(axis),
    ),
    "mean": (
        lambda x, axis: _sum(x, axis, "mean.dim"),
        lambda x, axis: x.mean() if axis is None else x.mean(axis),
    ),
    "max": (
        lambda x, axis: overloads()["amax"][1].implementation(x, [] if axis is None else [axis]),
        lambda x, axis: x.amax() if axis is None else x.amax(axis),
    ),
}


def cases() -> Iterator[Case]:
    """The associative ones in three directions, argmax and variance over rows."""
    for name, (ours, pytorch) in FUNCTIONS.items():
        for direction, axis in AXES.items():
            for sizes in SIZES:
                yield Case(
                    f"{name}_{direction}",
                    FAMILY,
                    sizes,
                    torch.float32,
                    lambda o=ours, p=pytorch, a=axis, s=sizes, f=name: _work(o, p, a, s, f),
                )
    for name, ours, pytorch in (
        ("argmax_rows", argmax, lambda x: x.argmax(1)),
        ("var_rows", variance, lambda x: x.var(1)),
    ):
        for sizes in SIZES:
            yield Case(
                name,
                FAMILY,
                sizes,
                torch.float32,
                lambda o=ours, p=pytorch, s=sizes, f=name: _row_work(o, p, s, f),
            )


def _work(ours: Any, pytorch: Any, axis: int | None, sizes: tuple[int, ...], name: str) -> Work:
    x = normal(*sizes)
    return Work(
        (x,),
        lambda t: ours(t, axis),
        lambda t: pytorch(t, axis),
        bytes=moved(x),
        flops=float(x.numel()),
        terms=x.numel() if axis is None else sizes[axis],
        jax=lambda j, n, t: getattr(n, name)(t, axis=axis),
    )


def _row_work(ours: Any, pytorch: Any, sizes: tuple[int, ...], name: str) -> Work:
    x = normal(*sizes)
    jax = {
        "argmax_rows": lambda j, n, t: n.argmax(t, axis=1),
        "var_rows": lambda j, n, t: n.var(t, axis=1, ddof=1),
    }
    return Work((x,), ours, pytorch, bytes=moved(x), flops=2.0 * x.numel(), terms=sizes[1], jax=jax[name])
