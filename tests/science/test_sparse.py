"""Products and triangular solutions with sparse matrices in every format, against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from anychip.ops.launching import launch_counts
from anychip.science import sparse


def random(shape, density=0.1, seed=0, kind="csr"):
    return scipy.sparse.random_array(shape, density=density, rng=np.random.default_rng(seed), format=kind)


def dense(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_near(found, wanted):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    eps = np.finfo(wanted.dtype).eps
    assert np.abs(found - wanted).max(initial=0) <= 20 * eps * max(1, np.abs(wanted).max(initial=0))


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dok", "lil", "dia"])
def test_formats_of_scipy(kind):
    a = random((30, 24)).asformat(kind)
    for x in (dense(24), dense(24, 7), dense(24, 40)):
        before = launch_counts["multiply_kernel"]
        found = sparse.mm(a, x)
        assert launch_counts["multiply_kernel"] > before
        assert_near(found, a @ x)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "strided"])
def test_layouts_of_pytorch(layout):
    plain = torch.from_numpy(random((30, 24)).toarray())
    a = {
        "csr": plain.to_sparse_csr,
        "csc": plain.to_sparse_csc,
        "coo": plain.to_sparse_coo,
        "bsr": lambda: plain.to_sparse_bsr((5, 4)),
        "strided": lambda: plain,
    }[layout]()
    x = torch.from_numpy(dense(24, 5))
    found = sparse.mm(a, x)
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found, plain @ x)


def test_a_row_of_a_sparse_array():
    a, x = random((6, 24), 0.5), dense(24, 3)
    assert a[2].ndim == 1  # SciPy gives an array of one dimension, in coordinates
    assert_near(sparse.mm(a[2], x), a.toarray()[2] @ x)
    assert_near(sparse.mm(a[2], x[:, 0]), a.toarray()[2] @ x[:, 0])


def test_sums_of_equal_places_and_empty_matrices():
    twice = scipy.sparse.coo_array((np.array([1.0, 2.0]), ([1, 1], [2, 2])), shape=(3, 4))
    assert_near(sparse.mm(twice, np.arange(4.0)), twice @ np.arange(4.0))
    empty = scipy.sparse.csr_array((3, 4))
    assert_near(sparse.mm(empty, dense(4, 2)), np.zeros((3, 2)))
    assert sparse.mm(scipy.sparse.csr_array((0, 4)), dense(4, 2)).shape == (0, 2)


def test_types():
    a = random((30, 24)).astype(np.float32)
    assert sparse.mm(a, dense(24).astype(np.float32)).dtype == np.float32
    assert sparse.mm(a, dense(24)).dtype == np.float64
    assert sparse.mm(a.astype(np.int64), dense(24)).dtype == np.float64
    assert np.isnan(sparse.mm(a, np.full(24, np.nan))).any()
    with pytest.raises(TypeError, match="complex"):
        sparse.mm(a.astype(np.complex128), dense(24))
    with pytest.raises(ValueError, match="first size must be 24"):
        sparse.mm(a, dense(23))


def test_addmm_and_sampled_addmm():
    a, added, x = random((30, 24)), dense(30, 5), dense(24, 5, seed=2)
    assert_near(sparse.addmm(added, a, x, beta=0.5, alpha=2.0), 0.5 * added + 2.0 * (a @ x))
    left, right = dense(30, 9), dense(9, 24, seed=3)
    found = sparse.sampled_addmm(a, left, right, beta=0.5, alpha=2.0)
    wanted = 0.5 * a.toarray() + 2.0 * (a.toarray() != 0) * (left @ right)
    assert_near(found.toarray(), wanted)
    tensors = torch.from_numpy(a.toarray()).to_sparse_csr(), torch.from_numpy(left), torch.from_numpy(right)
    found = sparse.sampled_addmm(*tensors, beta=0.5, alpha=2.0)
    assert found.layout == torch.sparse_csr
    assert_near(found.to_dense().numpy(), wanted)


@pytest.mark.parametrize("lower", [True, False])
def test_triangular_solutions(lower):
    cut = scipy.sparse.tril if lower else scipy.sparse.triu
    a = cut(random((60, 60)) + 5 * scipy.sparse.eye_array(60)).tocsr()
    for b in (dense(60), dense(60, 40)):
        wanted = scipy.sparse.linalg.spsolve_triangular(a, b, lower)
        assert_near(sparse.spsolve_triangular(a, b, lower), wanted)
        unit = scipy.sparse.linalg.spsolve_triangular(a, b, lower, unit_diagonal=True)
        assert_near(sparse.spsolve_triangular(a, b, lower, unit_diagonal=True), unit)


def test_triangular_matrices_that_are_refused():
    a = scipy.sparse.csr_array(np.array([[1.0, 0.0], [2.0, 0.0]]))
    with pytest.raises(np.linalg.LinAlgError, match=r"singular.*row 1"):
        sparse.spsolve_triangular(a, np.ones(2))
    with pytest.raises(np.linalg.LinAlgError, match="not triangular"):
        sparse.spsolve_triangular(a, np.ones(2), lower=False)
    with pytest.raises(ValueError, match="square"):
        sparse.spsolve_triangular(a[:1], np.ones(1))


def test_gradients_reach_values_and_dense_factors():
    pattern = torch.from_numpy(random((6, 5), 0.4).toarray()).to_sparse_csr()
    values = pattern.values().clone().requires_grad_()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def product(values, x):
        a = torch.sparse_csr_tensor(pattern.crow_indices(), pattern.col_indices(), values, pattern.shape)
        return sparse.mm(a, x)

    assert torch.autograd.gradcheck(product, (values, x))


@pytest.mark.parametrize("kinds", [("csr", "csr"), ("csc", "coo")])
def test_sparse_times_sparse(kinds):
    a, b = random((40, 30), kind=kinds[0]), random((30, 50), seed=2, kind=kinds[1])
    before = launch_counts["sum_kernel"]
    found = sparse.mm(a, b)
    assert launch_counts["sum_kernel"] == before + 1
    assert isinstance(found, scipy.sparse.csr_array)
    assert found.has_canonical_format
    assert_near(found.toarray(), (a @ b).toarray())
    tensors = [torch.from_numpy(x.toarray()).to_sparse_csr() for x in (a, b)]
    assert_near(sparse.mm(*tensors).to_dense().numpy(), (a @ b).toarray())
    full = random((3, 30), 1.0)
    assert_near(sparse.mm(full, random((30, 200), 0.5)).toarray(), (full @ random((30, 200), 0.5)).toarray())
    nothing = sparse.mm(a, scipy.sparse.csr_array((30, 5)))
    assert nothing.shape == (40, 5)
    assert nothing.nnz == 0
    with pytest.raises(ValueError, match="cannot be multiplied"):
        sparse.mm(a, a)
