"""Dense linear algebra under SciPy's names, against SciPy, mpmath's identities and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from anychip.ops.launching import launch_counts
from anychip.science import linalg

EPS = np.finfo(np.float64).eps


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize("name", ["expm", "sqrtm", "logm"])
@pytest.mark.slow
def test_functions_of_matrices(name):
    function, oracle = getattr(linalg, name), getattr(scipy.linalg, name)
    spread = np.diag([0.1, 1.0, 2.0, 30.0, 4.0])
    symmetric = drawn(5, 5) @ drawn(5, 5).T + np.eye(5)
    defective = np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 2.0]])
    for a in (spread + 0.1 * drawn(5, 5), symmetric, defective, np.array([[3.0]])):
        before = sum(launch_counts.values())
        found = function(a)
        assert sum(launch_counts.values()) > before
        assert isinstance(found, np.ndarray)
        assert relative(found, oracle(a)) < 300 * EPS * np.linalg.cond(a)
    two = np.stack([spread + 0.1 * drawn(5, 5), spread])
    np.testing.assert_allclose(function(two)[1], oracle(spread), atol=1e-12 * np.abs(oracle(spread)).max())
    assert function(np.float32(spread)).dtype == np.float32
    assert function(np.zeros((0, 3, 3))).shape == (0, 3, 3)
    with pytest.raises(ValueError, match="square"):
        function(np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        function(np.full((2, 2), np.nan))
    if name != "expm":
        for a in (np.diag([-1.0, 2.0]), np.array([[-1.0, 1.0], [0.0, 2.0]])):
            with pytest.raises(ValueError, match="no real result"):
                function(a)


@pytest.mark.parametrize("name", ["expm", "sqrtm", "logm"])
@pytest.mark.slow
def test_gradients_at_equal_eigenvalues(name):
    for a in (2 * np.eye(3), np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 2.0]])):
        x = torch.tensor(a, requires_grad=True)
        # differences between symmetric and other matrices are those of two routes: a step off both
        assert torch.autograd.gradcheck(getattr(linalg, name), (x,), atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (6, 3), (3, 6)])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.slow
def test_polar_factors(shape, side):
    a = drawn(*shape)
    u, p = linalg.polar(a, side)
    for found, wanted in zip((u, p), scipy.linalg.polar(a, side)):
        assert relative(found, wanted) < 1e-13
    x = torch.tensor(a, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: linalg.polar(x, side), (x,))


def test_smooth_functions_at_equal_values():
    rotation = scipy.linalg.expm(np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0], [-2.0, -3.0, 0.0]]))
    x = torch.tensor(2 * rotation, requires_grad=True)  # all singular values are 2
    assert torch.autograd.gradcheck(lambda x: linalg.polar(x), (x,))
    # that of the two factors is not finite where values are equal, and far off where they nearly are
    u, _, vh = torch.linalg.svd(x)
    (ours,) = torch.autograd.grad(linalg.polar(x)[0][0, 1], x)
    (plain,) = torch.autograd.grad((u @ vh)[0, 1], x)
    assert torch.isfinite(ours).all()
    assert not torch.isfinite(plain).all() or (plain - ours).abs().max() > 1e-8
    y = torch.diag(torch.tensor([1.0, 1.0, 3.0, 3.0], dtype=torch.float64)).requires_grad_()
    symmetric = lambda y: linalg.spectral_projector(0.5 * (y + y.mT), 2)  # noqa: E731
    assert torch.autograd.gradcheck(symmetric, (y,))
    with pytest.raises(ValueError, match="k must be"):
        linalg.spectral_projector(np.eye(2), 3)


@pytest.mark.slow
def test_generalised_eigenvalues():
    a, b = drawn(6, 6), drawn(6, 6, seed=1)
    a, b = a + a.T, b @ b.T + np.eye(6)
    w, v = linalg.eigh(a, b)
    np.testing.assert_allclose(w, scipy.linalg.eigh(a, b, eigvals_only=True), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(a @ v, b @ v * w, atol=1e-10)
    np.testing.assert_allclose(v.T @ b @ v, np.eye(6), atol=1e-11)
    for options in ({"subset_by_index": (1, 3)}, {"subset_by_value": (-1.0, 5.0)}, {"lower": False}):
        np.testing.assert_allclose(
            linalg.eigh(np.triu(a) if "lower" in options else a, b, eigvals_only=True, **options),
            scipy.linalg.eigh(a, b, eigvals_only=True, **options),
            atol=1e-11,
        )
    with pytest.raises(np.linalg.LinAlgError, match="leading minor"):
        linalg.eigh(a, -b)
    with pytest.raises(NotImplementedError):
        linalg.eigh(a, b, type=2)
    x, y = (torch.tensor(one, requires_grad=True) for one in (a, b))

    def invariant(x, y):
        w, v = linalg.eigh(0.5 * (x + x.mT), 0.5 * (y + y.mT))
        return w, v[:, :2] @ v[:, :2].mT

    assert torch.autograd.gradcheck(invariant, (x, y), atol=1e-5)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.slow
def test_ldl(lower):
    for a in (drawn(7, 7), np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]), np.array([[4.0]])):
        a = a + a.T
        lu, d, perm = linalg.ldl(np.tril(a) if lower else np.triu(a), lower)
        np.testing.assert_allclose(lu @ d @ lu.T, a, atol=1e-13 * np.abs(a).max())
        triangular = lu[perm]
        cut = np.tril if lower else np.triu
        np.testing.assert_array_equal(cut(triangular), triangular)
        np.testing.assert_array_equal(np.diag(triangular), np.ones(len(a)))
        assert np.abs(np.triu(d, 2)).max() == 0


@pytest.mark.parametrize(
    "shape", [(6, 4), *(pytest.param(one, marks=pytest.mark.slow) for one in ((4, 6), (5, 5), (80, 7)))]
)
def test_pivoted_qr(shape):
    a = drawn(*shape)
    for mode in ("full", "economic"):
        before = launch_counts["pivoted_kernel"]
        q, r, order = linalg.qr(a, mode=mode, pivoting=True)
        assert launch_counts["pivoted_kernel"] == before + 1
        wanted: Any = scipy.linalg.qr(a, mode=mode, pivoting=True)
        wanted_q, wanted_r, wanted_order = wanted
        np.testing.assert_array_equal(order, wanted_order)
        assert (q.shape, r.shape) == (wanted_q.shape, wanted_r.shape)
        np.testing.assert_allclose(q @ r, a[:, order], atol=1e-13)
        np.testing.assert_allclose(np.abs(np.diag(r)), np.abs(np.diag(wanted_r)), rtol=1e-12)
        np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-13)
    np.testing.assert_allclose(
        np.abs(linalg.qr(a, mode="r")[0]), np.abs(scipy.linalg.qr(a, mode="r")[0]), atol=1e-13
    )
    if shape[0] >= shape[1] and shape[0] < 10:
        x = torch.tensor(a, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: linalg.qr(x, mode="economic", pivoting=True)[:2], (x,))


@pytest.mark.slow
def test_a_matrix_without_full_rank():
    a = np.outer(np.arange(1.0, 6), [1.0, 2.0, 3.0])
    _, r, order = linalg.qr(a, pivoting=True)
    assert order[0] == 2
    assert np.abs(r[1:]).max() < 1e-13
    with pytest.raises(NotImplementedError):
        linalg.qr(a, mode="raw")
    with pytest.raises(ValueError, match="Mode"):
        linalg.qr(a, mode="other")
