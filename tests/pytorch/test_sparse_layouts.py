"""PyTorch's operators of sparse layouts under `enable`, beside its own results."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts
from anychip.pytorch.errors import FallThroughError

LAYOUTS = {
    "csr": lambda x: x.to_sparse_csr(),
    "csc": lambda x: x.to_sparse_csc(),
    "bsr": lambda x: x.to_sparse_bsr((2, 3)),
    "coo": lambda x: x.to_sparse_coo(),
}


def pattern(rows=8, columns=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return torch.where(x.abs() > 0.7, x, 0.0)


def served(kernel, function, *arguments):
    """The result under `portable`, for which the kernel must have been launched, and PyTorch's own."""
    wanted = function(*arguments)
    with anychip.using("portable"):
        before = launch_counts[kernel]
        found = function(*arguments)
        assert launch_counts[kernel] > before
    return found, wanted


def assert_equal(found, wanted):
    assert found.layout == wanted.layout
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "layout", [pytest.param(one, marks=() if one == "csr" else pytest.mark.slow) for one in LAYOUTS]
)
def test_products(layout):
    a, x, c = LAYOUTS[layout](pattern()), pattern(9, 5, 1) + 1, pattern(8, 5, 2)
    if layout == "bsr":  # PyTorch's own kernel takes square blocks only
        with anychip.using("strict"):
            assert_equal(a @ x, pattern() @ x)
        return
    assert_equal(*served("multiply_kernel", torch.mm, a, x))
    assert_equal(*served("multiply_kernel", lambda a, x: a @ x, a, x))
    if layout in ("csr", "coo"):
        assert_equal(*served("multiply_kernel", lambda: torch.addmm(c, a, x, beta=0.5, alpha=2.0)))
        b = LAYOUTS[layout](pattern(9, 7, 3))
        found, wanted = served("sum_kernel", torch.mm, a, b)
        assert_equal(found.to_dense(), wanted.to_dense())
        assert found.layout == a.layout


def test_conversions_and_sampled_products():
    for layout in ("csr", "csc", "coo"):
        a = LAYOUTS[layout](pattern())
        assert_equal(*served("dense_kernel", lambda a=a: a.to_dense()))
    coo, csr = LAYOUTS["coo"](pattern()), LAYOUTS["csr"](pattern())
    assert_equal(*served("merge_kernel", coo.to_sparse_csr))
    assert_equal(*served("merge_kernel", csr.to_sparse_coo))
    twice = torch.sparse_coo_tensor(
        torch.tensor([[1, 0, 1], [2, 3, 2]]), torch.tensor([1.0, 2.0, 4.0]), (3, 4)
    )
    assert_equal(*served("merge_kernel", twice.coalesce))
    left, right = pattern(8, 6, 4), pattern(6, 9, 5)
    assert_equal(
        *served("sample_kernel", lambda: torch.sparse.sampled_addmm(csr, left, right, beta=0.5, alpha=2.0))
    )


@pytest.mark.parametrize("dim", [1, *(pytest.param(one, marks=pytest.mark.slow) for one in (0, -1))])
def test_softmax(dim):
    a = LAYOUTS["coo"](pattern())
    assert_equal(*served("softmax_rows_kernel", torch.sparse.softmax, a, dim))
    assert_equal(*served("softmax_rows_kernel", torch.sparse.log_softmax, a, dim))


@pytest.mark.parametrize("layout", ["csr", "coo"])
@pytest.mark.slow
def test_gradients(layout):
    x = (pattern(9, 4, 1) + 1).requires_grad_()
    a = LAYOUTS[layout](pattern()).requires_grad_()

    def gradients():
        found = torch.autograd.grad((torch.sparse.mm(a, x) ** 2).sum(), (a, x))
        return [one.to_dense() for one in found]

    found, wanted = served("multiply_kernel", gradients)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other)


def test_what_is_not_served_goes_to_pytorch():
    a = LAYOUTS["csr"](pattern()).to(torch.complex128)
    x = torch.ones(9, 2, dtype=torch.complex128)
    wanted = a @ x
    with anychip.using("portable"):
        torch.testing.assert_close(a @ x, wanted)
    with anychip.using("strict"), pytest.raises(FallThroughError, match="complex128"):
        a @ x
    with anychip.using("portable", only=["softmax"]):
        before = launch_counts["multiply_kernel"]
        LAYOUTS["csr"](pattern()) @ x.real.contiguous()
        assert launch_counts["multiply_kernel"] == before
