"""Complex arithmetic against NumPy: operands of both kinds, numbers, conjugates, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.launched import launched

import anychip

X = torch.complex(torch.linspace(-2, 3, 12), torch.linspace(1, -4, 12)).reshape(3, 4)
Y = torch.complex(torch.linspace(1, 2, 4), torch.linspace(-1, 3, 4))
REAL = torch.linspace(0.5, 2, 4)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize("other", [Y, REAL, Y.conj(), 2.5, 1 - 2j])
def test_two_operands(name: str, other: torch.Tensor | complex) -> None:
    with anychip.using("strict"), launched() as kernels:
        actual = getattr(torch, name)(X, other)
        turned = getattr(torch, name)(other, X) if isinstance(other, torch.Tensor) else None
        written = X.clone()
        getattr(written, name + "_")(other)
    assert any(kernel.startswith("complex_kernel[") for kernel in kernels), dict(kernels)
    theirs = other.resolve_conj().numpy() if isinstance(other, torch.Tensor) else other
    expected = getattr(np, name)(X.numpy(), theirs)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=2e-6)
    np.testing.assert_allclose(written.numpy(), expected, rtol=2e-6)
    if turned is not None:
        np.testing.assert_allclose(turned.numpy(), getattr(np, name)(theirs, X.numpy()), rtol=2e-6)


def test_one_operand() -> None:
    with anychip.using("strict"):
        results = [-X, X.abs(), X.sgn(), X.conj().resolve_conj(), X.conj().imag.clone()]
    x: Any = X.numpy()
    for ours, theirs in zip(results, [-x, np.abs(x), x / np.abs(x), x.conj(), x.conj().imag], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=2e-6)


def test_absolute_value_does_not_overflow() -> None:
    large = torch.tensor([3e38 + 1e38j, 1e-40 + 0j, complex("inf"), complex(float("nan"), 1)])
    with anychip.using("strict"):
        actual = large.abs()
        direction = torch.zeros(2, dtype=torch.complex64).sgn()
    np.testing.assert_allclose(actual.numpy(), np.abs(large.numpy()), rtol=1e-6)
    assert torch.equal(torch.view_as_real(direction), torch.zeros(2, 2))


def test_gradients() -> None:
    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real((x * y - 2 * x) / (y + 3)).sum() + (x * y).abs().sum()

    x = X.to(torch.complex128).requires_grad_()
    y = (X * (1 - 1j) + 2).to(torch.complex128).requires_grad_()
    expected = torch.autograd.grad(loss(x, y), (x, y))
    with anychip.using("strict"):
        actual = torch.autograd.grad(loss(x, y), (x, y))
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours.resolve_conj().numpy(), theirs.resolve_conj().numpy(), rtol=1e-10)
