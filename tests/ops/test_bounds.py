"""Indices outside a tensor are reported with the kernel's line, and no memory outside is touched."""

from __future__ import annotations

import pytest
import torch

from anychip.errors import AnychipError
from anychip.ops.indexing.advanced import index, index_put_
from anychip.ops.indexing.elements import gather
from anychip.ops.indexing.rows import embedding
from anychip.ops.loss.nll import nll_loss_forward

TABLE = torch.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("position", [4, -1, 1 << 40])
def test_embedding(position: int) -> None:
    with pytest.raises(AnychipError, match=r"index out of range.*rows_kernels\.py") as raised:
        embedding(TABLE, torch.tensor([0, position]))
    assert isinstance(raised.value, IndexError)


@pytest.mark.parametrize("position", [4, -5])
def test_index(position: int) -> None:
    with pytest.raises(AnychipError, match=r"out of bounds|out of range"):
        index(TABLE, [torch.tensor([position]), torch.tensor([0])])
    target = TABLE.clone()
    with pytest.raises(AnychipError, match=r"out of bounds|out of range"):
        index_put_(target, [torch.tensor([position])], torch.zeros(3))


def test_gather() -> None:
    with pytest.raises(AnychipError, match="index out of range"):
        gather(TABLE, 0, torch.tensor([[50]]))


def test_class_labels() -> None:
    with pytest.raises(AnychipError, match="index of a class out of range"):
        nll_loss_forward(TABLE, torch.tensor([0, 1, 2, 3]), None, 1, -100)
