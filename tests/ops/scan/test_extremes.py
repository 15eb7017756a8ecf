"""cummax and cummin through PyTorch's functions, whose helpers write into tensors that are given."""

from __future__ import annotations

import pytest
import torch
from tests.launched import launched

import anychip
from anychip.ops.registry import ALL
from anychip.ops.samples import special, tensor


def inputs(dtype: torch.dtype) -> list[tuple[torch.Tensor, int]]:
    found = [(tensor(shape, dtype), dim) for shape, dim in (((33,), 0), ((5, 7), 1), ((3, 4, 5), 1), ((), 0))]
    found += [(tensor((2, 1500), dtype), -1), (tensor((6, 4), dtype).t(), 0), (tensor((0, 3), dtype), 1)]
    return found + ([(special(dtype), 0)] if dtype.is_floating_point else [])


ALWAYS = (torch.float32, torch.bfloat16, torch.int64)
"""Types in which every run tries both; the others are slow tests."""
DTYPES = [pytest.param(d, id=str(d), marks=() if d in ALWAYS else pytest.mark.slow) for d in ALL]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_values_and_indices_are_pytorchs(name: str, dtype: torch.dtype) -> None:
    function = getattr(torch, name)
    for x, dim in inputs(dtype):
        expected = function(x, dim)
        # Of no dimension, PyTorch's function copies the only element itself.
        with anychip.using("strict"), launched(*([name] if x.numel() and x.ndim else [])):
            actual = function(x, dim)
        torch.testing.assert_close(actual[0], expected[0], rtol=0, atol=0, equal_nan=True)
        assert torch.equal(actual[1], expected[1])
