"""Cubic and B-splines under the names of `scipy.interpolate`: band systems for their coefficients, one kernel
for their values. Flows in: places and values. Flows out: functions of places, with gradients in values and
places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ...ops.launching import cdiv, launch
from ...ops.samples import tensor
from ..arrays import Restore, inexact, taken
from ..errors import InvalidType, InvalidValue, NotProvided
from ..linalg.banded import BandedSolution, banded_kernel
from ..registry import PRECISE, Fused, Sample, register
from .kernels import basis_kernel, piecewise_kernel

BLOCK = 64

# ---- forward and backward -------------------------------------------------------------------------


def _slopes(c: torch.Tensor) -> torch.Tensor:
    """Coefficients of the derivative, the highest power first."""
    powers = torch.arange(len(c) - 1, 0, -1, dtype=c.dtype, device=c.device)
    return c[:-1] * powers[:, None, None] if len(c) > 1 else torch.zeros_like(c)


class Piecewise(torch.autograd.Function):
    """Polynomials c [order, pieces, columns] between knots [pieces + 1], at places [count]."""

    @staticmethod
    def forward(ctx: Any, c: torch.Tensor, knots: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """[count, columns]."""
        c, at, knots = c.contiguous(), at.contiguous(), knots.contiguous()
        ctx.save_for_backward(c, knots, at)
        out = c.new_empty((len(at), c.shape[2]))
        grid = (cdiv(len(at), BLOCK), c.shape[2])
        sizes = len(at), c.shape[1], c.shape[2], c.shape[0]
        launch(piecewise_kernel, grid, out, at, knots, c, *sizes, BLOCK=BLOCK)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Powers of the distances, added to each piece; the derivative's values."""
        c, knots, at = ctx.saved_tensors
        g = grad_outputs[0]
        of_c = of_knots = of_at = None
        piece = (torch.searchsorted(knots.detach(), at.detach(), right=True) - 1).clamp(0, c.shape[1] - 1)
        slope = (g * Piecewise.apply(_slopes(c), knots, at)).sum(1)
        if ctx.needs_input_grad[0]:
            distance = at - knots[piece]
            rows, power = [], torch.ones_like(distance)
            for _ in range(len(c)):
                row = torch.zeros_like(c[0]).index_add(0, piece, power[:, None] * g)
                rows.insert(0, row)
                power = power * distance
            of_c = torch.stack(rows)
        if ctx.needs_input_grad[1]:
            of_knots = torch.zeros_like(knots).index_add(0, piece, -slope)
        if ctx.needs_input_grad[2]:
            of_at = slope
        return of_c, of_knots, of_at


# ---- piecewise polynomials ------------------------------------------------------------------------


def _samples_of(x: Any, y: Any, axis: int) -> tuple[torch.Tensor, torch.Tensor, torch.Size, Restore]:
    """Places [n], values [n, columns], the shape of a value, and the way back. Raises InvalidValue."""
    places, _ = taken(x, "x")
    values, restore = taken(y, "y")
    if isinstance(x, torch.Tensor):
        restore = taken(x)[1]
    places, values = inexact(places), inexact(values)
    if places.is_complex() or values.is_complex():
        raise InvalidType("complex numbers are not served", "Interpolate real and imaginary parts.")
    dtype = torch.promote_types(places.dtype, values.dtype)
    if values.ndim < 1 or not -values.ndim <= axis < values.ndim:
        raise InvalidValue(f"axis {axis} is out of bounds for y of {values.ndim} dimensions")
    moved = values.movedim(axis, 0).to(dtype)
    if places.ndim != 1 or len(places) != len(moved):
        raise InvalidValue(
            f"x must have one dimension and the length of y along axis, {len(moved)}, not the shape "
            f"{tuple(places.shape)}"
        )
    if len(places) < 2 or not bool((places.diff() > 0).all()):
        raise InvalidValue("`x` must be strictly increasing sequence of at least two numbers.")
    return places.to(dtype), moved.reshape(len(moved), -1), moved.shape[1:], restore


class PPoly:
    """Polynomials between breakpoints: c [order, pieces, ...], the highest power first, x [pieces + 1].
    Called with places of any shape it gives values, or derivatives of the order `nu`, differentiable in
    places and coefficients; what lies outside belongs to the first or the last polynomial, or is NaN where
    `extrapolate` is False. float32, float64. Raises InvalidValue."""

    def __init__(self, c: Any, x: Any, extrapolate: bool = True):
        coefficients, self._restore = taken(c, "c")
        self.c, self.x = coefficients, taken(x, "x")[0].to(coefficients.dtype)
        self.extrapolate = extrapolate
        if coefficients.ndim < 2 or self.x.ndim != 1 or len(self.x) != coefficients.shape[1] + 1:
            raise InvalidValue(
                f"c {tuple(coefficients.shape)} and x {tuple(self.x.shape)} must be [order, pieces, ...] and "
                "[pieces + 1]"
            )

    def __call__(self, x: Any, nu: int = 0, extrapolate: bool | None = None) -> Any:
        given, _ = taken(x, "x")
        at = inexact(given).to(self.c.dtype).reshape(-1)
        c = self.c.reshape(*self.c.shape[:2], -1)
        for _ in range(nu):
            c = _slopes(c)
        found = Piecewise.apply(c, self.x, at)
        if not (self.extrapolate if extrapolate is None else extrapolate):
            outside = (at < self.x[0]) | (at > self.x[-1])
            found = torch.where(outside[:, None], torch.nan, found)
        found = found.reshape(*given.shape, *self.c.shape[2:])
        return found if isinstance(x, torch.Tensor) else self._restore(found)

    def derivative(self, nu: int = 1) -> PPoly:
        """The derivative of the order `nu`."""
        c = self.c.reshape(*self.c.shape[:2], -1)
        for _ in range(nu):
            c = _slopes(c)
        return _polynomials(c.reshape(len(c), *self.c.shape[1:]), self.x, self._restore)


def _polynomials(c: torch.Tensor, x: torch.Tensor, restore: Restore) -> PPoly:
    made = PPoly(c, x)
    made._restore = restore
    return made


ENDS = ("not-a-knot", "natural", "clamped")


class CubicSpline(PPoly):
    """The cubic spline through y at ascending places x [n], along `axis`: at the ends "not-a-knot" (the first
    two polynomials are one), "natural" (no curvature) or "clamped" (no slope). Differentiable in y and in
    where it is evaluated. float32, float64. Raises InvalidValue, NotProvided."""

    def __init__(self, x: Any, y: Any, axis: int = 0, bc_type: str = "not-a-knot", extrapolate: bool = True):
        if bc_type not in ENDS:
            raise NotProvided(f"the ends {bc_type!r} are not served", f"Known are {', '.join(ENDS)}.")
        places, values, shape, restore = _samples_of(x, y, axis)
        slopes = _spline_slopes(places, values, bc_type)
        h = places.diff()[:, None]
        secant = values.diff(dim=0) / h
        bend = (slopes[:-1] + slopes[1:] - 2 * secant) / h
        c = torch.stack([bend / h, (secant - slopes[:-1]) / h - bend, slopes[:-1], values[:-1]])
        super().__init__(c.reshape(4, len(h), *shape), places, extrapolate)
        self._restore = restore


def _spline_slopes(x: torch.Tensor, y: torch.Tensor, ends: str) -> torch.Tensor:
    """The slopes [n, columns] at the places, by a system with one diagonal to either side."""
    n, h = len(x), x.diff()
    secant = y.diff(dim=0) / h[:, None]
    if n == 2 and ends != "clamped":
        return secant.expand(2, -1)
    if n == 3 and ends == "not-a-knot":
        # one parabola
        second = (secant[1] - secant[0]) / (x[2] - x[0])
        first = secant[0] - second * h[0]
        return torch.stack([first, secant[0] + second * h[0], secant[1] + second * h[1]])
    zero = x.new_zeros(1)
    inner = 2 * (h[:-1] + h[1:])
    right = 3 * (h[1:, None] * secant[:-1] + h[:-1, None] * secant[1:])
    if ends == "clamped":
        main, above, below = (torch.cat([zero + 1, inner, zero + 1]), torch.cat([zero, zero, h[:-1]]),
                              torch.cat([h[1:], zero, zero]))  # fmt: skip
        first, last = torch.zeros_like(y[:1]), torch.zeros_like(y[:1])
    elif ends == "natural":
        main = torch.cat([zero + 2, inner, zero + 2])
        above = torch.cat([zero, zero + 1, h[:-1]])
        below = torch.cat([h[1:], zero + 1, zero])
        first, last = 3 * secant[:1], 3 * secant[-1:]
    else:
        start, stop = x[2] - x[0], x[-1] - x[-3]
        main = torch.cat([h[1:2], inner, h[-2:-1]])
        above = torch.cat([zero, start[None], h[:-1]])
        below = torch.cat([h[1:], stop[None], zero])
        first = ((h[0] + 2 * start) * h[1] * secant[:1] + h[0] ** 2 * secant[1:2]) / start
        last = (h[-1] ** 2 * secant[-2:-1] + (2 * stop + h[-1]) * h[-2] * secant[-1:]) / stop
    band = torch.stack([above, main, below])
    return BandedSolution.apply(band, torch.cat([first, right, last]), 1, 1)


# ---- B-splines ------------------------------------------------------------------------------------


def _basis(knots: torch.Tensor, at: torch.Tensor, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
    """([degree + 1, count] B-splines that are not zero at places, the knots before these [count])."""
    at, knots = at.detach().contiguous(), knots.detach().contiguous()
    out = at.new_empty((degree + 1, len(at)))
    interval = torch.empty(len(at), dtype=torch.int64, device=at.device)
    launch(
        basis_kernel, cdiv(len(at), BLOCK), out, interval, at, knots, len(at), degree,
        len(knots) - degree - 2, degree, BLOCK=BLOCK,
    )  # fmt: skip
    return out, interval


class BSpline:
    """Coefficients c [n, ...] of B-splines of degree k over knots t [n + k + 1]. Called with places of any
    shape it gives values, differentiable in places and coefficients; beyond the ends it goes on, or is NaN
    where `extrapolate` is False. float32, float64. Raises InvalidValue."""

    def __init__(self, t: Any, c: Any, k: int, extrapolate: bool = True):
        coefficients, self._restore = taken(c, "c")
        self.c, self.k, self.extrapolate = inexact(coefficients), k, extrapolate
        self.t = taken(t, "t")[0].to(self.c.dtype)
        if (
            k < 0
            or self.t.ndim != 1
            or self.c.ndim < 1
            or len(self.t) < len(self.c) + k + 1
            or len(self.c) <= k
        ):
            raise InvalidValue(
                f"t {tuple(self.t.shape)} must be [n + k + 1] for c {tuple(self.c.shape)} of n > k = {k} rows"
            )
        if not bool((self.t.diff() >= 0).all()):
            raise InvalidValue("Knots must be in a non-decreasing order.")

    def __call__(self, x: Any) -> Any:
        given, _ = taken(x, "x")
        at = inexact(given).to(self.c.dtype).reshape(-1)
        n = len(self.c)
        basis, interval = _basis(self.t[: n + self.k + 1], at, self.k)
        columns = self.c.reshape(n, -1)
        rows = interval[None] - self.k + torch.arange(self.k + 1, device=at.device)[:, None]
        found = (basis[:, :, None] * columns[rows]).sum(0)
        if at.requires_grad and self.k:
            # the slope enters by its product with a difference of zero
            slope = self.derivative()._at(at.detach())
            found = found + slope * (at - at.detach())[:, None]
        if not self.extrapolate:
            outside = (at < self.t[self.k]) | (at > self.t[n])
            found = torch.where(outside[:, None], torch.nan, found)
        found = found.reshape(*given.shape, *self.c.shape[1:])
        return found if isinstance(x, torch.Tensor) else self._restore(found)

    def _at(self, at: torch.Tensor) -> torch.Tensor:
        return BSpline(self.t, self.c.reshape(len(self.c), -1), self.k)(at)

    def derivative(self) -> BSpline:
        """The derivative, of one degree less. Raises InvalidValue for degree 0."""
        if self.k < 1:
            raise InvalidValue("a spline of degree 0 has no derivative")
        n, k = len(self.c), self.k
        width = self.t[k + 1 : n + k] - self.t[1:n]
        shape = (-1, *[1] * (self.c.ndim - 1))
        c = self.c.diff(dim=0) * torch.where(width > 0, k / torch.where(width > 0, width, 1.0), 0.0).reshape(
            shape
        )
        made = BSpline(self.t[1 : n + k], c, k - 1, self.extrapolate)
        made._restore = self._restore
        return made


def make_interp_spline(x: Any, y: Any, k: int = 3, t: Any = None, axis: int = 0) -> BSpline:
    """The spline of degree k, 0 to 5, through y at ascending places x [n > k], along `axis`, which becomes
    the first, with knots t [n + k + 1] or those of "not-a-knot". Differentiable in y. float32, float64.
    Raises InvalidValue."""
    places, values, shape, restore = _samples_of(x, y, axis)
    n = len(places)
    if not 0 <= k <= 5 or n <= k:
        raise InvalidValue(f"k must be within 0 and 5 and below the {n} places, not {k}")
    if t is not None:
        knots = taken(t, "t")[0].to(places)
    elif k == 0:
        knots = torch.cat([places, places[-1:]])
    else:
        ends = places[:1].expand(k + 1), places[-1:].expand(k + 1)
        inner = (
            places[(k + 1) // 2 : n - (k + 1) // 2]
            if k % 2
            else (places[1:] + places[:-1])[k // 2 : n - 1 - k // 2] / 2
        )
        knots = torch.cat([ends[0], inner, ends[1]])
    if len(knots) != n + k + 1:
        raise InvalidValue(f"t must have {n + k + 1} knots, not {len(knots)}")
    basis, interval = _basis(knots, places, k)
    band = values.new_zeros((2 * k + 1, n))
    row = torch.arange(n, device=places.device)
    for r in range(k + 1):
        column = interval - k + r
        band[k + row - column, column] = basis[r]
    made = BSpline(knots, BandedSolution.apply(band, values, k, k).reshape(n, *shape), k)
    made._restore = restore
    return made


# ---- records --------------------------------------------------------------------------------------


def cubic_spline(x: torch.Tensor, y: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """The values at places `at` [m] of the cubic spline without a knot at the second place through y [n] at x
    [n], as CubicSpline gives them. Differentiable in y and at. float32, float64."""
    return CubicSpline(x.detach(), y)(at)


def _cubic(x: torch.Tensor, y: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """By truncated powers: a cubic, and a cube for each inner place but the second and the last but one."""
    x = x.detach()

    def columns(t: torch.Tensor) -> torch.Tensor:
        powers = [t**p for p in range(4)]
        return torch.stack([*powers, *((t - one).clamp(min=0) ** 3 for one in x[2:-2])], -1)

    return columns(at) @ torch.linalg.solve(columns(x), y)


def _curves(dtype: torch.dtype) -> Iterable[Sample]:
    x = torch.tensor([0.0, 0.5, 1.25, 2.0, 2.5, 3.0], dtype=dtype)
    yield Sample((x, tensor((6,), dtype), tensor((9,), dtype, 0, 3)))
    line = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=dtype)
    yield Sample((line, torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=dtype), torch.tensor([0.5], dtype=dtype)))


register(
    Fused(
        "cubic_spline",
        "interpolation",
        cubic_spline,
        _cubic,
        _curves,
        (piecewise_kernel, banded_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
