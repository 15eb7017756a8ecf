"""Values between the points of a grid under the name and signature of `scipy.ndimage.map_coordinates`:
B-splines whose coefficients band systems give. Flows in: a grid, places. Flows out: values, with gradients in
both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ...ops.launching import cdiv, launch, scalar_bits
from ...ops.samples import tensor
from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue, NotProvided
from ..linalg.banded import BandedSolution, banded_kernel
from ..registry import PRECISE, Fused, Sample, register
from .kernels import grid_spline_kernel

BLOCK = 64
MODES = {"nearest": 0, "constant": 1, "mirror": 1, "reflect": 2, "grid-wrap": 3}
"""How a kernel continues coefficients beyond the ends; "constant" has no values there."""
PAD = {"nearest": 12, "grid-wrap": 24}
"""Points on either side with which a grid is continued where its band system has no ends of its own: as SciPy
does, and so many that what lies beyond has an influence of 0.27^24."""
SIDES = {2: (0.75, 0.125), 3: (2 / 3, 1 / 6)}
"""A B-spline of order 2 and 3 at its middle, and one point aside."""

# ---- forward and backward -------------------------------------------------------------------------


class GridSpline(torch.autograd.Function):
    """A spline with coefficients on a grid, at places [dimensions, count]."""

    @staticmethod
    def forward(
        ctx: Any, grid: torch.Tensor, place: torch.Tensor, order: int, mode: str, fill: float
    ) -> torch.Tensor:
        """[count]."""
        grid, place = grid.contiguous(), place.contiguous()
        ctx.save_for_backward(grid, place)
        ctx.options = order, mode, fill
        return _values(grid, place, None, order, mode, fill, -1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Weights added to the grid; slopes along each axis."""
        grid, place = ctx.saved_tensors
        order, mode, fill = ctx.options
        of_grid = of_place = None
        if ctx.needs_input_grad[0]:
            of_grid = _values(grid, place, grad_outputs[0].contiguous(), order, mode, fill, -1)
        if ctx.needs_input_grad[1]:
            slopes = [_values(grid, place, None, order, mode, fill, axis) for axis in range(grid.ndim)]
            of_place = torch.stack(slopes) * grad_outputs[0]
        return of_grid, of_place, None, None, None


def _values(
    grid: torch.Tensor, place: torch.Tensor, g: torch.Tensor | None, order: int, mode: str, fill: float,
    slope: int,
) -> torch.Tensor:  # fmt: skip
    count = place.shape[1]
    out = torch.zeros_like(grid) if g is not None else grid.new_empty(count)
    launch(
        grid_spline_kernel,
        cdiv(count, BLOCK),
        out,
        grid,
        place,
        place if g is None else g,
        torch.tensor(grid.shape, dtype=torch.int64, device=grid.device),
        torch.tensor(grid.stride(), dtype=torch.int64, device=grid.device),
        count,
        scalar_bits(fill, True),
        DIMENSIONS=grid.ndim,
        ORDER=order,
        MODE=MODES[mode],
        CONSTANT=mode == "constant",
        SLOPE=slope,
        SCATTER=g is not None,
        BLOCK=BLOCK,
    )
    return out


# ---- names ----------------------------------------------------------------------------------------


def _coefficients(x: torch.Tensor, order: int, mode: str) -> torch.Tensor:
    """Of a spline of order 2 or 3 through the values along every axis; values beyond the ends are mirrored
    about the last element or about its edge."""
    middle, side = SIDES[order]
    for axis in range(x.ndim):
        rows = x.movedim(axis, 0)
        n = len(rows)
        if n > 1:
            band = x.new_empty((3, n))
            band[0], band[1], band[2] = side, middle, side
            if mode == "reflect":
                band[1, 0] += side
                band[1, -1] += side
            else:
                band[0, 1] += side
                band[2, -2] += side
            rows = BandedSolution.apply(band, rows.reshape(n, -1), 1, 1).reshape(rows.shape)
        x = rows.movedim(0, axis)
    return x


def _continued(x: torch.Tensor, mode: str) -> torch.Tensor:
    """A grid with more points on every side: the nearest, or around."""
    pad = PAD[mode]
    for axis in range(x.ndim):
        n = x.shape[axis]
        index = torch.arange(-pad, n + pad, device=x.device)
        index = index.clamp(0, n - 1) if mode == "nearest" else index % n
        x = x.index_select(axis, index)
    return x


def map_coordinates(
    input: Any, coordinates: Any, output: None = None, order: int = 3, mode: str = "constant",
    cval: float = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """The values of a spline of `order` 0 to 3 through `input` [...] at coordinates [dimensions, ...], in
    points; `mode` says how it goes on beyond the ends: "constant" (with cval), "nearest", "mirror", "reflect"
    or "grid-wrap". Without `prefilter` the input is the spline's coefficients. Differentiable in input and
    coordinates. float32, float64, which the result is. Raises InvalidValue, InvalidType, NotProvided."""
    if output is not None or mode not in MODES or order not in (0, 1, 2, 3):
        raise NotProvided(
            f"output {output}, order {order} or mode {mode!r} is not served",
            f"Known are orders 0 to 3 and the modes {', '.join(MODES)}.",
        )
    given, restore = taken(input, "input")
    places, other = taken(coordinates, "coordinates")
    grid, places = inexact(given), inexact(places)
    if isinstance(coordinates, torch.Tensor):
        restore = other
    if grid.is_complex() or places.is_complex():
        raise InvalidType("complex numbers are not served", "Map real and imaginary parts.")
    if grid.ndim < 1 or places.ndim < 1 or len(places) != grid.ndim or not grid.numel():
        raise InvalidValue(
            f"invalid shape for coordinate array: {tuple(places.shape)} for an input {tuple(grid.shape)}"
        )
    dtype = torch.promote_types(grid.dtype, places.dtype)
    at = places.to(dtype).reshape(len(places), -1)
    grid = grid.to(dtype)
    if order > 1 and prefilter:
        if mode in PAD:
            size = torch.tensor(grid.shape, dtype=dtype, device=grid.device)[:, None]
            if mode == "nearest":
                at = at.clamp(torch.full_like(size, -PAD[mode]), size - 1 + PAD[mode])
            else:
                at = at - size * torch.floor(at.detach() / size)
            at = at + PAD[mode]
            grid, mode = _coefficients(_continued(grid, mode), order, "mirror"), "mirror"
        else:
            grid = _coefficients(grid, order, mode)
    found = GridSpline.apply(grid, at, order, mode, float(cval))
    return restore(found.reshape(places.shape[1:]))


# ---- records --------------------------------------------------------------------------------------


def _bilinear(input: torch.Tensor, coordinates: torch.Tensor, order: int, mode: str) -> torch.Tensor:
    """By the definition: every coefficient times its B-splines, the coefficients by a dense system."""
    weights, systems = [], []
    for axis, n in enumerate(input.shape):
        t = torch.arange(-3, n + 3, dtype=input.dtype)
        i = torch.arange(-3, n + 3)
        period = max(2 * n - 2, 1)
        i = i % period
        i = torch.where(i < n, i, period - i)
        fold = torch.nn.functional.one_hot(i, n).to(input.dtype)

        def spline(d: torch.Tensor) -> torch.Tensor:
            a = d.abs()
            if order == 1:
                return (1 - a).clamp(min=0)
            return torch.where(a < 1, 2 / 3 - a**2 + a**3 / 2, (2 - a).clamp(min=0) ** 3 / 6)

        weights.append(spline(coordinates[axis][:, None] - t) @ fold)
        systems.append(spline(torch.arange(n, dtype=input.dtype)[:, None] - t) @ fold)
    c = torch.linalg.solve(systems[0], input)
    c = torch.linalg.solve(systems[1], c.mT).mT
    return torch.einsum("ki,ij,kj->k", weights[0], c, weights[1])


def _grids(dtype: torch.dtype) -> Iterable[Sample]:
    places = tensor((2, 9), dtype, 0.2, 3.8)
    yield Sample((tensor((5, 6), dtype), places), {"order": 3, "mode": "mirror"})
    # an even grid, between whose points nothing moves
    even = torch.ones((2, 2), dtype=dtype), torch.full((2, 1), 0.5, dtype=dtype)
    yield Sample(even, {"order": 1, "mode": "mirror"})


register(
    Fused(
        "map_coordinates",
        "interpolation",
        map_coordinates,
        _bilinear,
        _grids,
        (grid_spline_kernel, banded_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
