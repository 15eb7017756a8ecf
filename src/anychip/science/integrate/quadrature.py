"""Integrals of sampled functions, and of functions by the points of Gauss and Legendre, under the names of
`scipy.integrate`: weights times values, by one product."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.samples import tensor
from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue
from ..linalg.batches import Times
from ..registry import PRECISE, Fused, Sample, register
from ..signal.filters import along


def _sampled(y: Any, x: Any, dx: float, axis: int) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...], Any]:
    """Rows of values [rows, n], distances [n - 1] between their places, the shape of results, the way
    back."""
    values, restore = taken(y, "y")
    values = inexact(values)
    if values.is_complex():
        raise InvalidType("complex values are not served", "Integrate real and imaginary parts.")
    rows = along(values, axis)
    lead = tuple(values.movedim(axis, -1).shape[:-1])
    if x is None:
        return rows, torch.full((max(0, rows.shape[1] - 1),), float(dx), dtype=rows.dtype), lead, restore
    places = inexact(taken(x, "x")[0]).to(rows.dtype)
    if places.ndim != 1 or len(places) != rows.shape[1]:
        raise InvalidValue(
            f"x must have one dimension and the length of y along axis, {rows.shape[1]}, not the shape "
            f"{tuple(places.shape)}"
        )
    return rows, places.diff(), lead, restore


def _weighted(rows: torch.Tensor, weights: torch.Tensor, lead: tuple[int, ...], restore: Any) -> Any:
    total = Times.apply(rows, weights[:, None].to(rows))[:, 0].reshape(lead)
    result = restore(total)
    return result if isinstance(result, torch.Tensor) else result[()]


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of y along `axis` over places x [n], or `dx` apart, by trapezoids. Differentiable in y and
    x. float32, float64. Raises InvalidValue, InvalidType."""
    rows, gaps, lead, restore = _sampled(y, x, dx, axis)
    pad = torch.nn.functional.pad
    return _weighted(rows, 0.5 * (pad(gaps, (0, 1)) + pad(gaps, (1, 0))), lead, restore)


def simpson(y: Any, x: Any = None, *, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of y along `axis` over places x [n], or `dx` apart, by parabolas through three places
    each; an even number of places ends with half of one (Cartwright, 2017). Differentiable in y and x.
    float32, float64. Raises InvalidValue, InvalidType."""
    rows, gaps, lead, restore = _sampled(y, x, dx, axis)
    n = rows.shape[1]
    if n < 3:
        return trapezoid(y, x, dx, axis)
    pairs = (n - 1) // 2
    first, second = gaps[: 2 * pairs : 2], gaps[1 : 2 * pairs : 2]
    sixth = (first + second) / 6
    parts = torch.zeros(n, dtype=rows.dtype)
    place = torch.arange(0, 2 * pairs, 2)
    parts = parts.index_add(0, place, sixth * (2 - second / first))
    parts = parts.index_add(0, place + 1, sixth * (first + second) ** 2 / (first * second))
    parts = parts.index_add(0, place + 2, sixth * (2 - first / second))
    if n % 2 == 0:
        a, b = gaps[-2], gaps[-1]
        last = torch.stack(
            [
                -(b**3) / (6 * a * (a + b)),
                (b * b + 3 * a * b) / (6 * a),
                (2 * b * b + 3 * a * b) / (6 * (a + b)),
            ]
        )
        parts = parts.index_add(0, torch.arange(n - 3, n), last)
    return _weighted(rows, parts, lead, restore)


def cumulative_trapezoid(
    y: Any, x: Any = None, dx: float = 1.0, axis: int = -1, initial: float | None = None
) -> Any:
    """The integrals of y along `axis` from the first place to each further one, by trapezoids, after a zero
    if `initial` is 0. Differentiable in y and x. float32, float64. Raises InvalidValue, InvalidType."""
    if initial not in (None, 0):
        raise InvalidValue("`initial` must be `None` or `0`.")
    rows, gaps, lead, restore = _sampled(y, x, dx, axis)
    areas = 0.5 * gaps * (rows[:, 1:] + rows[:, :-1])
    upper = torch.ones((len(gaps), len(gaps)), dtype=rows.dtype).triu()
    found = Times.apply(areas, upper) if areas.numel() else areas
    if initial == 0:
        found = torch.nn.functional.pad(found, (1, 0))
    return restore(found.reshape(*lead, found.shape[1]).movedim(-1, axis))


def fixed_quad(
    func: Callable[..., Any], a: float, b: float, args: tuple[Any, ...] = (), n: int = 5
) -> tuple[Any, None]:
    """The integral of func(x, *args) from a to b by n points of Gauss and Legendre, and None. `func` gets an
    array [n] and gives [..., n], an array or a tensor. Raises InvalidValue."""
    if not (np.isfinite(a) and np.isfinite(b)):
        raise InvalidValue("Gaussian quadrature is only available for finite limits.")
    places, weights = np.polynomial.legendre.leggauss(n)
    values = func((b - a) * (places + 1) / 2 + a, *args)
    given, restore = taken(values, "func")
    rows = along(inexact(given), -1)
    return _weighted(rows, torch.from_numpy(weights * (b - a) / 2), tuple(given.shape[:-1]), restore), None


def _simpson(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """By parabolas through three points, solved for."""
    total = torch.zeros_like(y[..., 0])
    for k in range(0, y.shape[-1] - 2, 2):
        t, origin = x[k : k + 3], x[k]
        powers = torch.stack([(t - origin) ** p for p in range(3)], 1)
        c = torch.linalg.solve(powers, y[..., k : k + 3].mT if y.ndim > 1 else y[k : k + 3])
        end = t[2] - origin
        total = total + c[0] * end + c[1] * end**2 / 2 + c[2] * end**3 / 3
    return total


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((7,), (3, 9)):
        places = torch.linspace(0, 2, shape[-1], dtype=torch.float64) + tensor(
            shape[-1:], torch.float64, 0, 0.1
        )
        yield Sample((tensor(shape, dtype), places.to(dtype)))
    # Simple enough that what is rounded of it moves the result by less than a wrong element.
    yield Sample((torch.tensor([0.0, 1.0, 0.0], dtype=dtype), torch.tensor([0.0, 1.0, 2.0], dtype=dtype)))


for _name, _call, _reference in (
    ("trapezoid", trapezoid, torch.trapezoid),
    ("simpson", simpson, _simpson),
    ("cumulative_trapezoid", cumulative_trapezoid, torch.cumulative_trapezoid),
):
    register(
        Fused(
            _name,
            "quadrature",
            _call,
            _reference,
            _samples,
            (matmul_kernel,),
            dtypes=PRECISE,
            differentiable=True,
        )
    )
