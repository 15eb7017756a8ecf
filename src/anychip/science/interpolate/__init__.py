"""Interpolation under the names of `scipy.interpolate` and `scipy.ndimage`."""

from __future__ import annotations

from .grids import map_coordinates
from .splines import BSpline, CubicSpline, PPoly, make_interp_spline

__all__ = ["BSpline", "CubicSpline", "PPoly", "make_interp_spline", "map_coordinates"]
