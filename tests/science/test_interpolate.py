"""Splines and values between the points of a grid against SciPy, gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage
import torch

from anychip.ops.launching import launch_counts
from anychip.science import interpolate

X = np.array([0.0, 0.3, 1.0, 1.7, 2.0, 3.1, 3.5])
AT = np.linspace(-0.4, 3.9, 23)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("ends", ["not-a-knot", "natural", "clamped"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_cubic_splines(ends, n):
    y = drawn(n, 2)
    ours = interpolate.CubicSpline(X[:n], y, bc_type=ends)
    theirs = scipy.interpolate.CubicSpline(X[:n], y, bc_type=ends)
    for nu in (0, 1, 2):
        before = launch_counts["piecewise_kernel"]
        found = ours(AT, nu)
        assert launch_counts["piecewise_kernel"] == before + 1
        np.testing.assert_allclose(found, theirs(AT, nu), atol=1e-11)
    np.testing.assert_allclose(ours.derivative()(AT), theirs(AT, 1), atol=1e-11)
    assert np.isnan(ours(AT, extrapolate=False)[0]).all()
    assert ours(1.5).shape == (2,)


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4, 5])
def test_b_splines(k):
    y = drawn(7, 2, 2)
    ours = interpolate.make_interp_spline(X, y, k)
    theirs = scipy.interpolate.make_interp_spline(X, y, k)
    np.testing.assert_allclose(ours.t, theirs.t, atol=1e-15)
    np.testing.assert_allclose(ours(AT.reshape(1, -1)), theirs(AT.reshape(1, -1)), atol=1e-10)
    if k:
        np.testing.assert_allclose(ours.derivative()(AT), theirs.derivative()(AT), atol=1e-9)


@pytest.mark.slow
def test_gradients():
    y = torch.tensor(drawn(7, 2), requires_grad=True)
    at = torch.tensor(AT[2:9], requires_grad=True)
    x = torch.from_numpy(X)
    assert torch.autograd.gradcheck(lambda y, at: interpolate.CubicSpline(x, y)(at), (y, at))
    assert torch.autograd.gradcheck(lambda y, at: interpolate.make_interp_spline(x, y, 4)(at), (y, at))
    grid = torch.tensor(drawn(5, 6), requires_grad=True)
    places = torch.tensor(np.random.default_rng(0).uniform(0.2, 3.8, (2, 7)), requires_grad=True)
    for mode in ("mirror", "nearest", "constant"):
        call = lambda g, p, mode=mode: interpolate.map_coordinates(g, p, mode=mode)  # noqa: E731
        assert torch.autograd.gradcheck(call, (grid, places))


@pytest.mark.parametrize("mode", ["constant", "nearest", "mirror", "reflect", "grid-wrap"])
def test_values_between_points(mode):
    grid = drawn(13, 14)  # SciPy's "reflect" misses its own points by more on shorter axes
    places = np.random.default_rng(1).uniform(-3, 16, (2, 4, 10))
    for order in (0, 1, 2, 3):
        ours = interpolate.map_coordinates(grid, places, order=order, mode=mode, cval=2.5)
        theirs = scipy.ndimage.map_coordinates(grid, places, order=order, mode=mode, cval=2.5)
        np.testing.assert_allclose(ours, theirs, atol=1e-11, err_msg=f"{mode} {order}")


def test_other_dimensions():
    line, block = drawn(9), drawn(4, 5, 6)
    for grid in (line, block):
        places = np.random.default_rng(1).uniform(0, 3, (grid.ndim, 8))
        found = interpolate.map_coordinates(grid, places, mode="mirror")
        np.testing.assert_allclose(
            found, scipy.ndimage.map_coordinates(grid, places, mode="mirror"), atol=1e-12
        )


def test_what_is_refused():
    with pytest.raises(ValueError, match="increasing"):
        interpolate.CubicSpline([0.0, 0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(NotImplementedError):
        interpolate.CubicSpline(X, X, bc_type="periodic")
    with pytest.raises(ValueError, match="knots"):
        interpolate.make_interp_spline(X, X, 3, t=np.zeros(4))
    with pytest.raises(NotImplementedError):
        interpolate.map_coordinates(np.ones(3), np.ones((1, 2)), order=4)
    with pytest.raises(ValueError, match="coordinate"):
        interpolate.map_coordinates(np.ones((3, 3)), np.ones((1, 2)))
