"""Solvers against true residuals and SciPy's, with its return codes, and where SciPy's surprise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from anychip import science
from anychip.ops.launching import launch_counts

SYMMETRIC = (science.cg, science.minres)
SOLVERS = (*SYMMETRIC, science.bicgstab, science.gmres)


def laplacian(n):
    one = np.ones(n)
    line = scipy.sparse.diags_array([-one[:-1], 2 * one, -one[:-1]], offsets=[-1, 0, 1])
    eye = scipy.sparse.eye_array(n)
    return (scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)).tocsr()


def right(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


def relative(a, x, b):
    return np.linalg.norm(b - a @ x) / np.linalg.norm(b)


@pytest.mark.parametrize("solver", SOLVERS)
def test_residuals(solver):
    a, b = laplacian(12), right(144)
    if solver not in SYMMETRIC:
        rng = np.random.default_rng(1)
        a = a + scipy.sparse.random_array(a.shape, density=0.01, rng=rng)
    for matrix in (a, a.tocsc(), scipy.sparse.linalg.aslinearoperator(a), a.toarray()):
        before = launch_counts["dots_kernel"]
        x, info = solver(matrix, b, rtol=1e-10)
        assert launch_counts["dots_kernel"] > before
        assert isinstance(x, np.ndarray)
        assert info == 0
        assert relative(a, x, b) <= 1.001e-10
    jacobi = scipy.sparse.linalg.LinearOperator(a.shape, matvec=lambda v: v / a.diagonal())
    for start in (None, right(144, 2)):
        x, info = solver(a, b, start, rtol=1e-8, M=jacobi)
        assert info == 0
        assert relative(a, x, b) <= 1.001e-8


def test_single_precision():
    a, b = laplacian(12).astype(np.float32), right(144).astype(np.float32)
    for solver in SOLVERS:
        x, info = solver(a, b, rtol=1e-4)
        assert x.dtype == np.float32
        assert info == 0
        assert relative(a.astype(np.float64), x, b) <= 1.1e-4


@pytest.mark.parametrize("solver", SOLVERS)
def test_return_codes(solver):
    a, b = laplacian(12), right(144)
    x, info = solver(a, b, rtol=1e-12, maxiter=1, **({"restart": 3} if solver is science.gmres else {}))
    assert info == 1
    assert relative(a, x, b) > 1e-12
    x, info = solver(a, np.zeros(144))
    assert info == 0
    assert not x.any()
    x, info = solver(np.eye(1) * 4, [2.0])
    assert info == 0
    assert x == [0.5]
    _, info = solver(a, np.where(np.arange(144) == 3, np.nan, b))
    assert info < 0
    x, info = solver(np.zeros((3, 3)), np.ones(3))
    assert info != 0
    with pytest.raises(ValueError, match="square"):
        solver(a[:3], b)
    with pytest.raises(ValueError, match="incompatible"):
        solver(a, b[:3])
    with pytest.raises(TypeError):
        solver(a, b, tolerance=1)
    with pytest.raises(TypeError, match="complex"):
        solver(a, b + 0j)


def test_a_callback_changes_nothing_in_gmres():
    """SciPy counts steps instead of cycles as soon as there is a callback without a type."""
    a, b = laplacian(12), right(144)
    sizes = []
    plain = science.gmres(a, b, rtol=1e-10, restart=5, maxiter=4)
    told = science.gmres(a, b, rtol=1e-10, restart=5, maxiter=4, callback=sizes.append)
    assert len(sizes) == 20
    assert plain[1] == told[1] == 4
    np.testing.assert_array_equal(plain[0], told[0])
    points = []
    science.gmres(a, b, rtol=1e-10, restart=5, maxiter=4, callback=points.append, callback_type="x")
    assert len(points) == 4
    with pytest.raises(ValueError, match="callback_type"):
        science.gmres(a, b, callback=points.append, callback_type="y")


def test_minres_says_zero_for_the_residual_that_was_asked_for():
    """SciPy's test is against |A| |x|: here it stops with a large part of the residual left."""
    diagonal = np.concatenate([[1e8], np.linspace(1, 2, 99)])
    a, b = scipy.sparse.diags_array(diagonal).tocsr(), np.ones(100)
    theirs, code = scipy.sparse.linalg.minres(a, b, rtol=1e-5)
    assert code == 0
    assert relative(a, theirs, b) > 0.1
    x, info = science.minres(a, b, rtol=1e-5)
    assert info == 0
    assert relative(a, x, b) <= 1.001e-5


def test_indefinite_and_shifted():
    a, b = laplacian(12) - 3 * scipy.sparse.eye_array(144), right(144)
    x, info = science.minres(a, b, rtol=1e-8)
    assert info == 0
    assert relative(a, x, b) <= 1.001e-8
    y, info = science.minres(laplacian(12), b, rtol=1e-8, shift=3.0)
    assert info == 0
    assert relative(a, y, b) <= 1.001e-8


def test_singular_systems_are_not_called_solved():
    a = scipy.sparse.diags_array([1.0, 2.0, 0.0]).tocsr()
    for solver in SOLVERS:
        _, info = solver(a, np.ones(3), rtol=1e-8)
        assert info != 0


@pytest.mark.parametrize("solver", [science.gmres, science.bicgstab])
def test_gradients(solver):
    a = laplacian(3)
    starts, columns = (torch.from_numpy(part).long() for part in (a.indptr, a.indices))
    values = torch.from_numpy(a.data).clone().requires_grad_()
    b = torch.from_numpy(right(9)).requires_grad_()

    def solution(values, b):
        return solver(torch.sparse_csr_tensor(starts, columns, values, (9, 9)), b, rtol=1e-13)[0]

    assert torch.autograd.gradcheck(solution, (values, b))
    operator = scipy.sparse.linalg.aslinearoperator(a)
    with pytest.raises(TypeError, match="as a matrix"):
        solver(operator, b)


def test_results_do_not_depend_on_threads():
    a, b, found = laplacian(130), right(16900), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(science.cg(a, b, rtol=1e-2)[0])
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("damp", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_least_squares(damp, shape):
    rng = np.random.default_rng(0)
    a = (scipy.sparse.random_array(shape, density=0.2, rng=rng) + scipy.sparse.eye_array(*shape)).tocsr()
    b, options = right(shape[0]), {"damp": damp, "atol": 1e-10, "btol": 1e-10, "calc_var": True}
    for matrix in (a, scipy.sparse.linalg.aslinearoperator(a)):
        found = science.lsqr(matrix, b, **options)
        wanted = scipy.sparse.linalg.lsqr(a, b, **options)
        assert found[1] == wanted[1]
        assert abs(found[2] - wanted[2]) <= 1
        np.testing.assert_allclose(found[0], wanted[0], atol=1e-8)
        np.testing.assert_allclose(found[3:5], wanted[3:5], atol=1e-8)
    start = right(shape[1], 3)
    moved = science.lsqr(a, b, atol=1e-12, btol=1e-12, x0=start)[0]
    np.testing.assert_allclose(a.T @ (a @ moved - b), 0, atol=1e-8)


def test_least_squares_codes():
    a, b = laplacian(5), right(25)
    assert science.lsqr(a, np.zeros(25))[1] == 0
    assert science.lsqr(a, b, iter_lim=2)[1:3] == (7, 2)
    with pytest.raises(ValueError, match="finite"):
        science.lsqr(a, np.full(25, np.nan))
    with pytest.raises(TypeError, match="rmatvec"):
        science.lsqr(Forward(a), b)
    with pytest.raises(ValueError, match="incompatible"):
        science.lsqr(a, b[:3])


class Forward:
    """An operator without a transposed product."""

    def __init__(self, a):
        self.shape, self.dtype, self.matvec = a.shape, a.dtype, a.dot


@pytest.mark.parametrize("which", ["LM", "SM", "LA", "SA", "BE"])
def test_eigenvalues(which):
    a = laplacian(9) - 2 * scipy.sparse.eye_array(81)  # most eigenvalues are double
    values, vectors = science.eigsh(a, 5, which=which)
    exact = np.linalg.eigvalsh(a.toarray())
    if which in ("LM", "SM"):
        order = np.argsort(np.abs(exact))
        sizes = np.abs(exact[order[-5:] if which == "LM" else order[:5]])
        np.testing.assert_allclose(np.sort(np.abs(values)), np.sort(sizes), atol=1e-12)
    else:
        wanted = {"LA": exact[-5:], "SA": exact[:5], "BE": np.concatenate([exact[:2], exact[-3:]])}[which]
        np.testing.assert_allclose(values, wanted, atol=1e-12)
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-13)


def test_eigenvalues_near_a_number_and_refusals():
    a = laplacian(9)
    inverse = scipy.sparse.linalg.LinearOperator(a.shape, scipy.sparse.linalg.splu(a.tocsc()).solve)
    values = science.eigsh(a, 3, sigma=0.0, OPinv=inverse, return_eigenvectors=False)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a.toarray())[:3], atol=1e-13)
    with pytest.raises(RuntimeError, match="converged") as caught:
        science.eigsh(laplacian(30), 4, which="SA", maxiter=1, ncv=6)
    assert len(caught.value.eigenvalues) < 4
    with pytest.raises(ValueError, match="which"):
        science.eigsh(a, which="LR")
    with pytest.raises(ValueError, match="between 1 and"):
        science.eigsh(a, 81)
    with pytest.raises(ValueError, match="square"):
        science.eigsh(a[:3])
    with pytest.raises(NotImplementedError):
        science.eigsh(a, M=a)


@pytest.mark.parametrize("largest", [True, False])
def test_blocks_of_eigenvalues(largest):
    a = laplacian(10)
    exact = np.linalg.eigvalsh(a.toarray())
    start = np.random.default_rng(0).standard_normal((100, 3))
    inverse = None
    if not largest:
        solve = scipy.sparse.linalg.splu(a.tocsc()).solve
        inverse = scipy.sparse.linalg.LinearOperator(a.shape, solve, matmat=solve)
    options = {"M": inverse, "largest": largest, "tol": 1e-4, "maxiter": 60}
    values, vectors, history, norms = science.lobpcg(
        a, start, **options, retLambdaHistory=True, retResidualNormsHistory=True
    )
    np.testing.assert_allclose(values, exact[::-1][:3] if largest else exact[:3], atol=1e-8)
    assert np.linalg.norm(a @ vectors - vectors * values, axis=0).max() <= 1.001e-4
    assert len(history) == len(norms) <= 60
    others, _ = science.lobpcg(a, start[:, :1], Y=vectors, **options)
    np.testing.assert_allclose(others, exact[-4] if largest else exact[3], atol=1e-8)


def test_blocks_that_are_refused_or_not_finished():
    a, start = laplacian(10), np.random.default_rng(0).standard_normal((100, 2))
    with pytest.warns(UserWarning, match="residuals up to"):
        science.lobpcg(a, start, tol=1e-9, maxiter=1)
    with pytest.raises(ValueError, match="depend on each other"):
        science.lobpcg(a, np.ones((100, 2)))
    with pytest.raises(ValueError, match="too large"):
        science.lobpcg(a, np.ones((100, 30)))
    with pytest.raises(NotImplementedError):
        science.lobpcg(a, start, B=a)
