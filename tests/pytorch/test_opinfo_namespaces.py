"""PyTorch's own samples for the entries of `linalg`, `nn.functional`, `special`, `fft` and their kin."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")

from tests.opinfo import cases, check


@pytest.mark.parametrize(("name", "dtype"), cases(namespaced=True))
def test_samples(name: str, dtype: torch.dtype) -> None:
    check(name, dtype)
