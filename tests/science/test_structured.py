"""Band systems, Kronecker products, quasi-random points and clusters against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.linalg
import scipy.stats.qmc
import torch

from anychip.ops.launching import launch_counts
from anychip.science import cluster, linalg, qmc


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(("lower", "upper"), [(1, 1), (2, 1), (0, 3), (3, 0), (2, 4)])
def test_band_systems(lower, upper):
    ab = drawn(lower + upper + 1, 12)  # without a large diagonal, so that rows are exchanged
    for b in (drawn(12), drawn(12, 40)):
        before = launch_counts["banded_kernel"]
        found = linalg.solve_banded((lower, upper), ab, b)
        assert launch_counts["banded_kernel"] == before + 1
        wanted = scipy.linalg.solve_banded((lower, upper), ab, b)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


def test_a_singular_band():
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        linalg.solve_banded((1, 1), np.array([[0, 1.0, 1], [1, 1, 0], [1, 1, 0]]) * [1, 1, 0], np.ones(3))
    with pytest.raises(ValueError, match="diagonals"):
        linalg.solve_banded((1, 1), np.ones((2, 3)), np.ones(3))


@pytest.mark.slow
def test_gradients():
    ab = torch.tensor(drawn(4, 6), requires_grad=True)
    b = torch.tensor(drawn(6, 2), requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: linalg.solve_banded((2, 1), a, b), (ab, b))
    x, y = (torch.tensor(drawn(*s), requires_grad=True) for s in ((2, 3), (4, 3)))
    assert torch.autograd.gradcheck(linalg.khatri_rao, (x, y))


def test_products():
    np.testing.assert_allclose(linalg.kron(drawn(2, 3), drawn(4, 2)), np.kron(drawn(2, 3), drawn(4, 2)))
    found = linalg.khatri_rao(drawn(2, 3), drawn(4, 3))
    np.testing.assert_allclose(found, scipy.linalg.khatri_rao(drawn(2, 3), drawn(4, 3)))
    x = drawn(3, 16)
    np.testing.assert_allclose(linalg.fwht(x), x @ scipy.linalg.hadamard(16), atol=1e-13)
    with pytest.raises(ValueError, match="elements"):
        linalg.fwht(drawn(3))


@pytest.mark.parametrize("d", [1, 7])
def test_sequences_are_scipy_s(d):
    ours, theirs = qmc.Sobol(d, scramble=False), scipy.stats.qmc.Sobol(d, scramble=False)
    np.testing.assert_array_equal(ours.random_base2(5), theirs.random_base2(5))
    np.testing.assert_array_equal(ours.random(32), theirs.random(32))
    ours, theirs = qmc.Halton(d), scipy.stats.qmc.Halton(d, scramble=False)
    np.testing.assert_allclose(ours.random(200), theirs.random(200), atol=1e-15)
    ours.reset().fast_forward(1000)
    np.testing.assert_allclose(ours.random(3), theirs.fast_forward(800).random(3), atol=1e-15)


def test_scrambled_points_are_as_even():
    points = qmc.Sobol(3, seed=5).random_base2(8)
    # one point in each of 256 strips along every axis, and in each box of 16 by 16
    for axis in range(3):
        assert sorted((points[:, axis] * 256).astype(int)) == list(range(256))
    assert len({tuple(x) for x in (points[:, :2] * 16).astype(int)}) == 256
    np.testing.assert_array_equal(points, qmc.Sobol(3, seed=5).random(256))
    assert not np.array_equal(points, qmc.Sobol(3, seed=6).random(256))
    means = [qmc.Sobol(1, seed=seed).random(1)[0, 0] for seed in range(50)]
    assert 0.35 < np.mean(means) < 0.65


def test_refused_sequences():
    sequence = qmc.Sobol(2)
    sequence.random(3)
    with pytest.raises(ValueError, match="balance"):
        sequence.random_base2(2)
    with pytest.raises(NotImplementedError):
        qmc.Halton(2, scramble=True)


def blobs():
    return np.concatenate([drawn(40, 2, seed=k) * 0.3 + 4 * np.array([k % 2, k // 2]) for k in range(3)])


def test_k_means():
    data = blobs()
    start = data[[0, 50, 100]]
    centres, labels = cluster.kmeans2(data, start, 10, minit="matrix")
    wanted, right = scipy.cluster.vq.kmeans2(data, start, 10, minit="matrix")
    np.testing.assert_allclose(centres, wanted, atol=1e-14)
    np.testing.assert_array_equal(labels, right)
    for found, wanted in zip(cluster.vq(data, centres), scipy.cluster.vq.vq(data, centres)):
        np.testing.assert_allclose(found, wanted, atol=1e-14)
    again = cluster.kmeans2(data, 3, 10, minit="++", rng=0)[0]
    np.testing.assert_allclose(sorted(map(tuple, again)), sorted(map(tuple, centres)), atol=1e-12)
    with pytest.raises(NotImplementedError):
        cluster.kmeans2(data, 3, minit="random")


def test_principal_components():
    x = drawn(30, 4) * [5.0, 2.0, 1.0, 0.5]
    variances, directions, coordinates = cluster.pca(x, 3)
    _, s, vt = np.linalg.svd(x - x.mean(0))
    np.testing.assert_allclose(variances, s[:3] ** 2 / 29, rtol=1e-12)
    np.testing.assert_allclose(np.abs(directions), np.abs(vt[:3]), atol=1e-12)
    np.testing.assert_allclose(coordinates, (x - x.mean(0)) @ directions.T, atol=1e-12)
