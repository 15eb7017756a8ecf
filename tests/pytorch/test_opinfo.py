"""PyTorch's own samples for the entries of its database without a namespace, under the strict policy."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")

from tests.opinfo import cases, check


@pytest.mark.parametrize(("name", "dtype"), cases(namespaced=False))
def test_samples(name: str, dtype: torch.dtype) -> None:
    check(name, dtype)
