"""Graphs against `scipy.sparse.csgraph`, gravity and Poisson's equation against the same written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.csgraph
import torch

from anychip.ops.launching import launch_counts
from anychip.science import csgraph, simulation


def graph(n=40, edges=70, seed=0):
    generator = np.random.default_rng(seed)
    row, column = generator.integers(0, n, (2, edges))
    kept = np.unique(row * n + column)
    return scipy.sparse.csr_array((generator.uniform(0.5, 2, len(kept)), (kept // n, kept % n)), shape=(n, n))


@pytest.mark.parametrize("directed", [True, False])
def test_distances(directed):
    a = graph()
    before = launch_counts["relax_kernel"]
    for options in ({}, {"indices": 3}, {"indices": [5, 1], "unweighted": True}):
        found = csgraph.shortest_path(a, directed=directed, **options)
        np.testing.assert_allclose(found, scipy.sparse.csgraph.shortest_path(a, directed=directed, **options))
    assert launch_counts["relax_kernel"] > before
    distance, through = csgraph.shortest_path(a, directed=directed, indices=0, return_predecessors=True)
    both = a.toarray() if directed else np.maximum(a.toarray(), a.toarray().T)
    for vertex in range(40):
        if np.isfinite(distance[vertex]) and vertex:
            length = both[through[vertex], vertex]
            assert distance[vertex] == pytest.approx(distance[through[vertex]] + length) or not directed
        else:
            assert through[vertex] == -9999


def test_negative_lengths():
    a = np.array([[0, 3.0, 0], [0, 0, -2.0], [0, 0, 0]])
    np.testing.assert_array_equal(csgraph.shortest_path(a, indices=0), [0, 3, 1])
    with pytest.raises(ValueError, match="Negative cycle"):
        csgraph.shortest_path(np.array([[0, 1.0], [-2.0, 0]]))


def test_components_and_orders():
    a = graph(40, 30)
    found, labels = csgraph.connected_components(a)
    wanted, right = scipy.sparse.csgraph.connected_components(a, connection="weak")
    assert found == wanted
    np.testing.assert_array_equal(labels, right)
    a = graph()
    for directed in (True,):
        for found, right in zip(
            csgraph.breadth_first_order(a, 2, directed),
            scipy.sparse.csgraph.breadth_first_order(a, 2, directed),
        ):
            np.testing.assert_array_equal(found, right)
    reached = csgraph.breadth_first_order(a, 2, False, return_predecessors=False)
    assert set(reached) == set(scipy.sparse.csgraph.breadth_first_order(a, 2, False)[0])
    with pytest.raises(NotImplementedError):
        csgraph.connected_components(a, connection="strong")


def test_page_rank():
    a = graph()
    dense = a.toarray()
    sums = dense.sum(1, keepdims=True)
    walk = 0.85 * np.where(sums > 0, dense / np.where(sums > 0, sums, 1), 1 / 40) + 0.15 / 40
    values, vectors = np.linalg.eig(walk.T)
    wanted = vectors[:, values.real.argmax()].real
    np.testing.assert_allclose(csgraph.pagerank(a), wanted / wanted.sum(), atol=1e-12)


def test_gravity():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((20, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    m = torch.rand(20, generator=generator, dtype=torch.float64)
    energy = simulation.gravity_energy(x, m)
    (slope,) = torch.autograd.grad(energy, x)
    d = (x[:, None] - x).detach().numpy()
    r = np.sqrt((d**2).sum(-1)) + np.eye(20)
    pairs = m.numpy()[:, None] * m.numpy() * (1 - np.eye(20))
    assert energy.item() == pytest.approx(-0.5 * (pairs / r).sum(), rel=1e-13)
    np.testing.assert_allclose(slope, ((pairs / r**3)[..., None] * d).sum(1), atol=1e-11)
    with pytest.raises(ValueError, match="masses"):
        simulation.gravity_energy(x, m[:3])


@pytest.mark.parametrize("ends", ["zero", "insulated", "periodic"])
def test_poisson_s_equation(ends):
    f = np.random.default_rng(0).standard_normal((6, 9))
    f -= f.mean() if ends != "zero" else 0
    u = simulation.solve_poisson(f, (0.5, 0.25), ends)
    padded = np.pad(u, 1, mode={"zero": "constant", "insulated": "edge", "periodic": "wrap"}[ends])
    middle = padded[1:-1, 1:-1]
    down = (2 * middle - padded[2:, 1:-1] - padded[:-2, 1:-1]) / 0.5**2
    across = (2 * middle - padded[1:-1, 2:] - padded[1:-1, :-2]) / 0.25**2
    np.testing.assert_allclose(down + across, f, atol=1e-12)
    if ends != "zero":
        assert abs(u.mean()) < 1e-14
    with pytest.raises(ValueError, match="ends"):
        simulation.solve_poisson(f, 1.0, "other")
