"""Quadrature and initial value problems, against SciPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import torch

from anychip.ops.launching import launch_counts
from anychip.science import integrate
from anychip.science.integrate.runge_kutta import METHODS


@pytest.mark.parametrize("name", ["trapezoid", "simpson", "cumulative_trapezoid"])
@pytest.mark.slow
def test_sampled_integrals(name):
    ours, oracle = getattr(integrate, name), getattr(scipy.integrate, name)
    rng = np.random.default_rng(0)
    for n in (2, 3, 4, 9, 10):
        y, x = rng.standard_normal((3, n)), np.cumsum(rng.uniform(0.1, 1, n))
        before = sum(launch_counts.values())
        np.testing.assert_allclose(ours(y, x), oracle(y, x), atol=1e-13)
        assert sum(launch_counts.values()) > before
        np.testing.assert_allclose(ours(y, dx=0.5), oracle(y, dx=0.5), atol=1e-13)
        np.testing.assert_allclose(ours(y.T, x, axis=0), oracle(y.T, x, axis=0), atol=1e-13)
    y, x = (torch.tensor(one, requires_grad=True) for one in (y[0], x))
    assert torch.autograd.gradcheck(ours, (y, x))
    with pytest.raises(ValueError, match="length"):
        ours(np.ones(3), np.ones(4))


def test_gauss_and_legendre():
    found = integrate.fixed_quad(np.exp, 0.0, 2.0, n=9)[0]
    assert abs(found - (np.exp(2) - 1)) < 1e-13
    assert found == pytest.approx(scipy.integrate.fixed_quad(np.exp, 0.0, 2.0, n=9)[0], rel=1e-15)


def test_coefficients_are_the_published_ones():
    for name, method in METHODS.items():
        oracle = getattr(scipy.integrate, name)
        np.testing.assert_allclose(method.dense, oracle.P, rtol=1e-15)
        np.testing.assert_allclose(method.error, oracle.E, atol=1e-16)
        np.testing.assert_allclose(method.stages[-1], oracle.B, rtol=1e-15)
        for row, weights in zip(oracle.A, method.stages):
            np.testing.assert_allclose(row[: len(weights)], weights, rtol=1e-15)


def pendulum(t, y):
    return np.array([y[1], -np.sin(y[0])])


@pytest.mark.parametrize(
    "method", ["RK45", *(pytest.param(one, marks=pytest.mark.slow) for one in ("RK23", "BDF"))]
)
def test_states(method):
    options = {"method": method, "rtol": 1e-6, "atol": 1e-8}
    before = launch_counts["gather_kernel"]
    found = integrate.solve_ivp(pendulum, (0, 6), np.array([2.0, 0.0]), dense_output=True, **options)
    assert launch_counts["gather_kernel"] > before
    wanted = scipy.integrate.solve_ivp(pendulum, (0, 6), [2.0, 0.0], dense_output=True, **options)
    assert found.success
    assert found.message == wanted.message
    assert (found.t[0], found.t[-1]) == (0.0, 6.0)
    # the same method takes the same steps; SciPy does not count what its Jacobian costs
    assert abs(len(found.t) - len(wanted.t)) <= (20 if method == "BDF" else 0)
    assert found.nfev == wanted.nfev or method == "BDF"
    exact = scipy.integrate.solve_ivp(pendulum, (0, 6), [2.0, 0.0], method="DOP853", rtol=1e-12, atol=1e-12)
    tolerance = 1e-2 if method == "BDF" else 1e-4
    np.testing.assert_allclose(found.y[:, -1], exact.y[:, -1], atol=tolerance)
    places = np.array([0.3, 2.5, 5.9])
    np.testing.assert_allclose(found.sol(places), wanted.sol(places), atol=tolerance)
    np.testing.assert_allclose(found.sol(1.7), wanted.sol(1.7), atol=tolerance)
    some = integrate.solve_ivp(pendulum, (0, 6), np.array([2.0, 0.0]), t_eval=places, **options)
    np.testing.assert_allclose(some.y, found.sol(places), atol=1e-12)
    back = integrate.solve_ivp(pendulum, (6, 0), found.y[:, -1], **options)
    np.testing.assert_allclose(back.y[:, -1], [2.0, 0.0], atol=10 * tolerance)


@pytest.mark.slow
def test_a_stiff_problem():
    def fun(t, y):  # Robertson's reaction
        a, b, c = y
        return np.array([-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b])

    def jac(t, y):
        _, b, c = y
        return np.array(
            [[-0.04, 1e4 * c, 1e4 * b], [0.04, -1e4 * c - 6e7 * b, -1e4 * b], [0.0, 6e7 * b, 0.0]]
        )

    options = {"method": "BDF", "rtol": 1e-5, "atol": 1e-9}
    for given in (None, jac):
        found = integrate.solve_ivp(fun, (0, 400), np.array([1.0, 0.0, 0.0]), jac=given, **options)
        # Hairer and Wanner, "Solving ordinary differential equations II", give these at t = 400
        np.testing.assert_allclose(found.y[:, -1], [4.505440e-1, 3.223217e-6, 5.494528e-1], rtol=2e-3)
        assert found.success
        assert len(found.t) < 300
    assert found.njev > 0
    assert found.nlu > found.njev


@pytest.mark.slow
def test_gradients_and_refusals():
    y0 = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def last(y0, rate):
        return integrate.solve_ivp(lambda t, y: -rate * y, (0, 1), y0, rtol=1e-9, atol=1e-9).y[:, -1]

    grads = torch.autograd.grad(last(y0, rate).sum(), (y0, rate))
    np.testing.assert_allclose(grads[0], np.exp(-0.7) * np.ones(2), rtol=1e-8)
    np.testing.assert_allclose(grads[1], -1.5 * np.exp(-0.7), rtol=1e-8)
    with pytest.raises(NotImplementedError, match="gradient"):
        integrate.solve_ivp(lambda t, y: -rate * y, (0, 1), y0, method="BDF")
    for wrong, kind in (({"method": "LSODA"}, NotImplementedError), ({"t_eval": [2.0]}, ValueError)):
        with pytest.raises(kind):
            integrate.solve_ivp(pendulum, (0, 1), np.ones(2), **wrong)
    with pytest.raises(TypeError):
        integrate.solve_ivp(pendulum, (0, 1), np.ones(2), unknown=1)
    blown = integrate.solve_ivp(lambda t, y: y**2, (0, 2), np.ones(1))
    assert blown.status == -1
    assert "step size" in blown.message


@pytest.mark.slow
def test_steps_that_keep_the_energy():
    q, v = np.array([1.0, 0.0]), np.array([0.0, 0.8])
    energy = lambda q, v: 0.5 * (v @ v) - 1 / np.linalg.norm(q)  # noqa: E731
    kepler = lambda q: -q / np.linalg.norm(q) ** 3  # noqa: E731
    before = energy(q, v)
    found = integrate.leapfrog(kepler, q, v, 0.01, 2000)
    assert abs(energy(*found) - before) < 1e-4
    once = integrate.leapfrog(kepler, *integrate.leapfrog(kepler, q, v, 0.01, 50), -0.01, 50)
    np.testing.assert_allclose(once, (q, v), atol=1e-12)  # it is reversible
    x = torch.tensor(q, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: integrate.leapfrog(lambda q: -(q**3), x, torch.ones(2).double(), 0.1, 3), (x,)
    )
