"""Sparse LU, incomplete factors, preconditioners and singular values, against SciPy and true residuals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from anychip import science
from anychip.ops.launching import launch_counts

EPS = np.finfo(np.float64).eps


def laplacian(n):
    one = np.ones(n)
    line = scipy.sparse.diags_array([-one[:-1], 2 * one, -one[:-1]], offsets=[-1, 0, 1])
    eye = scipy.sparse.eye_array(n)
    return (scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)).tocsr()


def scattered(n, density=0.03, seed=1):
    """A matrix without symmetry, with a diagonal so small that pivots are needed, and of several parts."""
    rng = np.random.default_rng(seed)
    a = scipy.sparse.random_array((n, n), density=density, rng=rng) + 1e-3 * scipy.sparse.eye_array(n)
    return scipy.sparse.block_diag([a, 3 * np.eye(4)], format="csc")


def backward_error(a, x, b):
    return np.abs(a @ x - b).max() / (abs(a).sum(axis=1).max() * np.abs(x).max() + np.abs(b).max())


@pytest.mark.parametrize(
    "a",
    [
        pytest.param(scattered(120), id="pivots"),
        pytest.param(laplacian(12), id="grid", marks=pytest.mark.slow),
        pytest.param(laplacian(1), id="one", marks=pytest.mark.slow),
    ],
)
def test_direct_solutions(a):
    b = np.random.default_rng(0).standard_normal((a.shape[0], 3))
    before = launch_counts["factor_kernel"]
    for right in (b[:, 0], b):
        x = science.spsolve(a, right)
        assert x.shape == right.shape
        assert backward_error(a, x, right) <= 50 * EPS
    assert launch_counts["factor_kernel"] > before
    assert backward_error(a, science.spsolve(a, b[:, 0], "NATURAL"), b[:, 0]) <= 50 * EPS
    single = science.spsolve(a.astype(np.float32), b[:, 0].astype(np.float32))
    assert single.dtype == np.float32
    assert backward_error(a, single, b[:, 0]) <= 50 * np.finfo(np.float32).eps


def test_factors_are_scipys_by_definition():
    a = scattered(60)
    n = len(a.indptr) - 1
    lu, b = science.splu(a), np.random.default_rng(0).standard_normal(n)
    rows, columns = np.zeros((n, n)), np.zeros((n, n))
    rows[lu.perm_r, np.arange(n)] = 1
    columns[np.arange(n), lu.perm_c] = 1
    product = (lu.L @ lu.U).toarray()
    np.testing.assert_allclose(product, rows @ a.toarray() @ columns, atol=50 * EPS)
    assert abs(lu.L).max() <= 1
    assert (scipy.sparse.triu(lu.L, 1).nnz, scipy.sparse.tril(lu.U, -1).nnz) == (0, 0)
    assert lu.nnz == lu.L.nnz + lu.U.nnz
    assert backward_error(a.T, lu.solve(b, "T"), b) <= 50 * EPS


@pytest.mark.slow
def test_dissection_leaves_little_fill():
    a = laplacian(40).tocsc()
    ours, natural = science.splu(a), scipy.sparse.linalg.splu(a, permc_spec="NATURAL")
    assert ours.nnz < 1.2 * scipy.sparse.linalg.splu(a).nnz
    assert ours.nnz < 0.6 * (natural.L.nnz + natural.U.nnz)
    assert np.array_equal(np.sort(ours.perm_c), np.arange(1600))


def test_singular_and_misshapen_matrices():
    singular = scipy.sparse.csc_array(np.array([[1.0, 2.0], [2.0, 4.0]]))
    with pytest.raises(RuntimeError, match="exactly singular"):
        science.splu(singular)
    with pytest.warns(scipy.sparse.linalg.MatrixRankWarning):
        assert np.isnan(science.spsolve(singular, np.ones(2))).all()
    with pytest.raises(ValueError, match="square"):
        science.spsolve(singular[:1], np.ones(1))
    with pytest.raises(ValueError, match="mismatch"):
        science.spsolve(singular, np.ones(3))
    with pytest.raises(TypeError):
        science.splu(singular, unknown=1)
    with pytest.raises(ValueError, match="diagonal"):
        science.ilu0(scipy.sparse.csr_array(np.array([[0.0, 1.0], [1.0, 2.0]])))


@pytest.mark.slow
def test_a_sparse_right_side_and_gradients():
    a = scattered(20, 0.2)
    eye = scipy.sparse.eye_array(24, format="csc")
    inverse = science.spsolve(a, eye)
    assert scipy.sparse.issparse(inverse)
    np.testing.assert_allclose((a @ inverse).toarray(), np.eye(24), atol=1e-9)
    pattern = torch.from_numpy(laplacian(3).toarray()).to_sparse_csr()
    values = pattern.values().clone().requires_grad_()
    b = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)

    def solve(values, b):
        a = torch.sparse_csr_tensor(pattern.crow_indices(), pattern.col_indices(), values, pattern.shape)
        return science.spsolve(a, b)

    assert torch.autograd.gradcheck(solve, (values, b))


def test_incomplete_factors_are_exact_on_the_pattern():
    a = laplacian(6)
    n, pattern = a.shape[0], laplacian(6).toarray() != 0
    inverse = science.ilu0(a)
    dense = np.stack([inverse.matvec(column) for column in np.eye(n)], 1)
    np.testing.assert_allclose(np.linalg.inv(dense)[pattern], a.toarray()[pattern], atol=1e-12)


@pytest.mark.parametrize("name", ["jacobi", "chebyshev", "ilu0", "multigrid"])
@pytest.mark.slow
def test_preconditioners(name):
    a, b = laplacian(30), np.random.default_rng(0).standard_normal(900)
    scale = scipy.sparse.diags_array(1.0 + np.arange(900) % 7)
    a = (scale @ a @ scale).tocsr()
    M = getattr(science, name)(a)
    steps = {"plain": [], "with": []}
    for key, given in (("plain", None), ("with", M)):
        x, info = science.cg(a, b, rtol=1e-10, M=given, callback=steps[key].append)
        assert info == 0
        assert np.linalg.norm(b - a @ x) <= 1.001e-10 * np.linalg.norm(b)
    assert len(steps["with"]) < {"jacobi": 0.6, "chebyshev": 0.3, "ilu0": 0.2, "multigrid": 0.1}[name] * len(
        steps["plain"]
    )
    for solver in (science.minres, science.gmres, science.bicgstab):
        assert solver(a, b, M=M)[1] == 0
    # SciPy's solvers take it, too, and it is symmetric
    assert scipy.sparse.linalg.cg(a, b, M=M)[1] == 0
    x, y = np.random.default_rng(3).standard_normal((2, 900))
    assert abs(x @ M.matvec(y) - y @ M.matvec(x)) <= 1e-12 * abs(x @ M.matvec(x))


def test_lobpcg_takes_a_v_cycle():
    one = scipy.sparse.eye_array(24)
    second = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(24, 24))
    a = scipy.sparse.csr_array(scipy.sparse.kron(second, one) + scipy.sparse.kron(one, second))
    start = np.random.default_rng(0).standard_normal((576, 4))
    values, _ = science.lobpcg(a, start, M=science.multigrid(a), tol=1e-8, maxiter=40, largest=False)
    angles = 2 - 2 * np.cos(np.pi * np.arange(1, 4) / 25)
    np.testing.assert_allclose(values[:3], [2 * angles[0], *[angles[0] + angles[1]] * 2], rtol=1e-9)


@pytest.mark.slow
def test_multigrid_needs_as_many_steps_for_larger_grids():
    counts = []
    for n in (16, 64):
        a, found = laplacian(n), []
        science.cg(a, np.ones(n * n), rtol=1e-8, M=science.multigrid(a), callback=found.append)
        counts.append(len(found))
    assert counts[1] <= counts[0] + 5


@pytest.mark.parametrize("shape", [(40, 25), (25, 40)])
@pytest.mark.parametrize("which", ["LM", "SM"])
@pytest.mark.slow
def test_singular_values(shape, which):
    a = scipy.sparse.random_array(shape, density=0.3, rng=np.random.default_rng(2))
    wanted = np.sort(np.linalg.svd(a.toarray(), compute_uv=False))
    wanted = wanted[-4:] if which == "LM" else wanted[:4]
    u, s, vh = science.svds(a, 4, which=which)
    np.testing.assert_allclose(s, wanted, atol=1e-7 if which == "SM" else 1e-12)
    np.testing.assert_allclose(u.T @ u, np.eye(4), atol=1e-12)
    if which == "LM":
        np.testing.assert_allclose(a @ vh.T, u * s, atol=1e-11)
    assert science.svds(a, 4, which=which, return_singular_vectors="u")[2] is None
    with pytest.raises(ValueError, match="k must be"):
        science.svds(a, 25)


@pytest.mark.slow
def test_eigenvalues_near_a_number():
    a = laplacian(14)
    wanted = np.linalg.eigvalsh(a.toarray())
    for sigma in (0, 3.3):
        values, vectors = science.eigsh(a, 5, sigma=sigma)
        near = np.sort(wanted[np.argsort(abs(wanted - sigma))[:5]])
        np.testing.assert_allclose(values, near, rtol=1e-10)
        assert np.abs(a @ vectors - vectors * values).max() < 1e-9
