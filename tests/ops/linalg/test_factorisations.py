"""Factorisations under the strict policy: what defines them holds, for sizes on either side of the block
sizes; singular matrices raise PyTorch's errors; gradients agree with finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from tests.launched import launched

import anychip
from anychip.ops.launching import launch_counts

LinAlgError = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]
SIZES = [(1, 1), (5, 3), (3, 5), (64, 64), (65, 40), (130, 131)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_orthonormal(q: torch.Tensor) -> None:
    torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[-1], dtype=q.dtype).expand(*q.shape[:-2], -1, -1))


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_singular_values(rows: int, columns: int) -> None:
    a = drawn(rows, columns)
    before = launch_counts["rotations_kernel"]
    with anychip.using("strict"):
        u, s, vh = torch.linalg.svd(a, full_matrices=True)
        alone = torch.linalg.svdvals(a)
    assert launch_counts["rotations_kernel"] == before + 2
    expected = np.linalg.svd(a.numpy(), compute_uv=False)
    np.testing.assert_allclose(s.numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(alone.numpy(), expected, rtol=1e-10, atol=1e-12)
    assert_orthonormal(u)
    assert_orthonormal(vh)
    torch.testing.assert_close(u[:, : len(s)] * s @ vh[: len(s)], a)


def test_singular_vectors_of_deficient_rank() -> None:
    a = drawn(9, 2) @ drawn(2, 6, seed=1)
    with anychip.using("strict"):
        u, s, vh = torch.linalg.svd(a)
        rank = torch.linalg.matrix_rank(a)
    assert rank == 2
    assert (s[2:] < 1e-12).all()
    assert_orthonormal(u)
    assert_orthonormal(vh)


@pytest.mark.parametrize("n", [1, 6, 70])
@pytest.mark.parametrize("half", ["L", "U"])
def test_symmetric_eigenvalues(n: int, half: str) -> None:
    a = drawn(2, n, n)
    with anychip.using("strict"):
        values, vectors = torch.linalg.eigh(a, UPLO=half)
    expected = np.linalg.eigvalsh(a.numpy(), UPLO=half)  # type: ignore[call-overload]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-10, atol=1e-12)
    assert_orthonormal(vectors)
    whole = a.tril() + a.tril(-1).mT if half == "L" else a.triu() + a.triu(1).mT
    torch.testing.assert_close(whole @ vectors, vectors * values[:, None, :])


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_orthogonal_and_triangular_factors(rows: int, columns: int) -> None:
    a = drawn(rows, columns)
    with anychip.using("strict"):
        q, r = torch.linalg.qr(a, mode="complete")
        p, lower, upper = torch.linalg.lu(a)
    assert_orthonormal(q)
    torch.testing.assert_close(q @ r, a)
    torch.testing.assert_close(p @ lower @ upper, a)
    assert torch.equal(r, r.triu())
    assert torch.equal(upper, upper.triu())
    assert lower.abs().max() == 1


def test_errors_of_singular_matrices() -> None:
    singular = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    batch = torch.stack([torch.eye(2), singular])
    with anychip.using("strict"):
        with pytest.raises(LinAlgError, match="singular"):
            torch.linalg.solve(singular, torch.ones(2))
        with pytest.raises(LinAlgError, match="Batch element 1"):
            torch.linalg.inv(batch)
        with pytest.raises(LinAlgError, match="leading minor of order 2"):
            torch.linalg.cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
        with pytest.raises(RuntimeError, match="square matrices"):
            torch.linalg.inv(torch.ones(2, 3))
        assert torch.linalg.det(singular) == 0
        assert torch.linalg.slogdet(singular).logabsdet == float("-inf")


def test_only_the_named_triangle_is_read() -> None:
    a = drawn(40, 40)
    a = a @ a.mT + torch.eye(40, dtype=torch.float64)
    spoilt = a.tril() + torch.full_like(a, float("nan")).triu(1)
    with anychip.using("strict"):
        factor = torch.linalg.cholesky(spoilt)
        values = torch.linalg.eigvalsh(spoilt)
    torch.testing.assert_close(factor @ factor.mT, a)
    np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(a.numpy()), rtol=1e-10)


@pytest.mark.parametrize("size", [1e-6, 0.3, 5.0, 40.0])
def test_exponential(size: float) -> None:
    a = drawn(2, 7, 7) * torch.tensor([size, 1e-3])[:, None, None]
    with anychip.using("strict"):
        actual = torch.matrix_exp(a)
    np.testing.assert_allclose(actual.numpy(), scipy.linalg.expm(a.numpy()), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize(("rows", "columns"), [(9, 4), (4, 9), (70, 40)])
def test_least_squares(driver: str, rows: int, columns: int) -> None:
    a, b = drawn(rows, columns), drawn(rows, 3, seed=1)
    with anychip.using("strict"):
        solution, residuals, _, _ = torch.linalg.lstsq(a, b, driver=driver)
    expected, squares, _, _ = np.linalg.lstsq(a.numpy(), b.numpy())
    np.testing.assert_allclose(solution.numpy(), expected, rtol=1e-9, atol=1e-11)
    if residuals.numel():
        np.testing.assert_allclose(residuals.numpy(), squares, rtol=1e-9)


def _positive(a: torch.Tensor) -> torch.Tensor:
    return a @ a.mT + torch.eye(a.shape[-1], dtype=a.dtype)


GRADIENTS: dict[str, Callable[..., Any]] = {
    "inv": torch.linalg.inv,
    "det": torch.linalg.det,
    "slogdet": lambda a: torch.linalg.slogdet(a).logabsdet,
    "solve": lambda a: torch.linalg.solve(a, a.mT),
    "cholesky": lambda a: torch.linalg.cholesky(_positive(a)),
    "qr": torch.linalg.qr,
    "svdvals": torch.linalg.svdvals,
    "eigvalsh": lambda a: torch.linalg.eigvalsh(_positive(a)),
    "pinv": torch.linalg.pinv,
    "matrix_exp": torch.matrix_exp,
    "lu": lambda a: torch.linalg.lu(a)[1:],
}


@pytest.mark.parametrize("name", list(GRADIENTS))
def test_gradients(name: str) -> None:
    a = (drawn(2, 4, 4) + 3 * torch.eye(4, dtype=torch.float64)).requires_grad_()
    with anychip.using("strict"):
        assert torch.autograd.gradcheck(GRADIENTS[name], a, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (2, 3, 16, 16)], ids=str)
def test_eigenvectors_of_general_matrices(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    a = torch.randn(shape, dtype=dtype)
    with anychip.using("strict"), launched("linalg_eig"):
        values, vectors = torch.linalg.eig(a)
    a, values, vectors = a.to(torch.complex128), values.to(torch.complex128), vectors.to(torch.complex128)
    epsilon = torch.finfo(dtype).eps
    bound = 100 * shape[-1] * epsilon * torch.linalg.matrix_norm(a, 2).max().item()
    assert (a @ vectors - vectors * values[..., None, :]).abs().max() < bound
    assert (torch.linalg.vector_norm(vectors, dim=-2) - 1).abs().max() < 100 * epsilon
    expected = np.linalg.eigvals(a.numpy())
    distance = np.abs(values.numpy()[..., :, None] - expected[..., None, :])
    assert distance.min(-1).max() < 100 * bound
    assert distance.min(-2).max() < 100 * bound


def test_ldl_factor_ex_raises_only_where_errors_are_checked() -> None:
    a = torch.diag(torch.tensor([2.0, 0.0, 3.0], dtype=torch.float64))
    expected = torch.linalg.ldl_factor_ex(a).info
    with pytest.raises(RuntimeError) as theirs:
        torch.linalg.ldl_factor_ex(a, check_errors=True)
    with anychip.using("strict"):
        info = torch.linalg.ldl_factor_ex(a).info
        with pytest.raises(theirs.type, match=r"ldl_factor_ex.*2"):
            torch.linalg.ldl_factor_ex(a, check_errors=True)
        torch.linalg.ldl_factor_ex(a + torch.eye(3, dtype=a.dtype), check_errors=True)
    assert info == expected != 0


def test_determinants_of_a_grid_of_matrices() -> None:
    a = drawn(2, 3, 4, 4)
    with anychip.using("strict"):
        determinant = torch.linalg.det(a)
        sign, logarithm = torch.linalg.slogdet(a.mT)
    np.testing.assert_allclose(determinant.numpy(), np.linalg.det(a.numpy()), rtol=1e-12)
    expected = np.linalg.slogdet(a.numpy())
    np.testing.assert_allclose(sign.numpy(), expected[0])
    np.testing.assert_allclose(logarithm.numpy(), expected[1], rtol=1e-12)
