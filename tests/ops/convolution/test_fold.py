"""A fold of the wrong number of blocks says how many there must be, as PyTorch does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import anychip


def test_the_number_of_blocks_is_named() -> None:
    x = torch.zeros(1, 12, 5)
    with pytest.raises(RuntimeError, match="= 12, but got"):
        F.fold(x, (4, 5), (2, 2))
    with anychip.using("strict"), pytest.raises(RuntimeError, match=r"blocks 12, but got input\.size\(2\)=5"):
        F.fold(x, (4, 5), (2, 2))
