"""Whether two tensors are equal, where there is nothing to compare."""

from __future__ import annotations

import pytest
import torch

import anychip


@pytest.mark.parametrize(("first", "second"), [((0,), (0,)), ((2, 0), (2, 0)), ((0, 2), (2, 0))])
def test_equal_looks_at_shapes_where_there_are_no_elements(
    first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with anychip.using("strict"):
        assert torch.equal(torch.zeros(first), torch.zeros(second)) == (first == second)
