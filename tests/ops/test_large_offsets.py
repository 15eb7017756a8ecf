"""Offsets past 2^31 elements, one operator of each machinery, on int8 tensors of 2 GiB. Most of them touch
few elements far apart: memory that is never written is never taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.launched import launched

import anychip

pytestmark = pytest.mark.slow

WIDTH = 1 << 11
ROWS = (1 << 20) + 3
"""ROWS x WIDTH elements are more than 2^31."""
FAR = (0, 5, (1 << 20) - 1, 1 << 20, (1 << 20) + 2)
"""Rows that hold other numbers than zero; the last two begin at or past element 2^31."""


def filled(seed: int) -> np.ndarray:
    """Small integers for the rows that are not zero."""
    return np.random.default_rng(seed).integers(-7, 8, (len(FAR), WIDTH)).astype(np.int8)


@pytest.fixture
def table() -> torch.Tensor:
    """[ROWS, WIDTH], zero but for the rows FAR."""
    x = torch.zeros((ROWS, WIDTH), dtype=torch.int8)
    for row, values in zip(FAR, filled(1), strict=True):
        x[row] = torch.from_numpy(values)
    return x


def ours(name: str, function: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The result under the strict policy, where kernels of the named overload must have run."""
    with anychip.using("strict"), launched(name):
        return function()


def test_pointwise_in_place(table: torch.Tensor) -> None:
    ours("neg", lambda: table.neg_())
    for row, values in zip(FAR, filled(1), strict=True):
        assert np.array_equal(table[row].numpy(), -values)


def test_pointwise_with_strides(table: torch.Tensor) -> None:
    far = table.as_strided((WIDTH, 3), (1, WIDTH << 19))
    found = ours("add.Tensor", lambda: far + 1)
    expected = np.zeros((WIDTH, 3), np.int8) + 1
    expected[:, 0] += filled(1)[0]
    expected[:, 2] += filled(1)[3]
    assert np.array_equal(found.numpy(), expected)


def test_copy_with_strides(table: torch.Tensor) -> None:
    far = table.as_strided((3, WIDTH), (WIDTH << 19, 1))
    found = ours("copy_", lambda: far.t().contiguous())
    assert np.array_equal(found.numpy()[:, 0], filled(1)[0])
    assert np.array_equal(found.numpy()[:, 2], filled(1)[3])


def test_reduction_of_everything(table: torch.Tensor) -> None:
    found = ours("sum", lambda: table.sum())
    assert int(found) == int(filled(1).sum(dtype=np.int64))


def test_reduction_of_rows(table: torch.Tensor) -> None:
    found = ours("sum.dim_IntList", lambda: table.sum(1)).numpy()
    assert np.array_equal(found[list(FAR)], filled(1).sum(1, dtype=np.int64))
    assert np.count_nonzero(found) == np.count_nonzero(filled(1).sum(1, dtype=np.int64))


def test_place_of_the_largest(table: torch.Tensor) -> None:
    table[FAR[-1], WIDTH - 1] = 100
    assert int(ours("argmax", lambda: table.view(-1).argmax())) == FAR[-1] * WIDTH + WIDTH - 1


def test_rows_by_index(table: torch.Tensor) -> None:
    found = ours("index_select", lambda: table.index_select(0, torch.tensor(FAR)))
    assert np.array_equal(found.numpy(), filled(1))
    found = ours("index.Tensor", lambda: table[torch.tensor(FAR)])
    assert np.array_equal(found.numpy(), filled(1))


def test_elements_by_index(table: torch.Tensor) -> None:
    flat = table.view(-1)
    place = torch.tensor([row * WIDTH + 17 for row in FAR])
    assert np.array_equal(ours("gather", lambda: flat.gather(0, place)).numpy(), filled(1)[:, 17])
    assert np.array_equal(ours("take", lambda: flat.take(place)).numpy(), filled(1)[:, 17])


def test_writing_by_index(table: torch.Tensor) -> None:
    flat = table.view(-1)
    place = torch.tensor([row * WIDTH + 17 for row in FAR])
    values = torch.arange(1, len(FAR) + 1, dtype=torch.int8)
    ours("scatter.src", lambda: flat.scatter_(0, place, values))
    assert flat.numpy()[place.numpy()].tolist() == values.tolist()
    ours("_index_put_impl_", lambda: flat.index_put_((place,), values, accumulate=True))
    assert flat.numpy()[place.numpy()].tolist() == (2 * values).tolist()


def test_matrix_product_of_rows_far_apart(table: torch.Tensor) -> None:
    far = table.as_strided((3, WIDTH), (WIDTH << 19, 1))
    rows = np.zeros((3, WIDTH), np.int64)
    rows[0], rows[2] = filled(1)[0], filled(1)[3]
    right = np.random.default_rng(2).integers(-7, 8, (WIDTH, 16)).astype(np.int8)
    found = ours("_int_mm", lambda: torch.ops.aten._int_mm(far, torch.from_numpy(right)))
    assert np.array_equal(found.numpy(), rows @ right.astype(np.int64))


def test_matrix_product_with_a_large_result() -> None:
    left = torch.zeros(((1 << 16) + 2, 1), dtype=torch.int8)
    right = torch.zeros((1, 1 << 15), dtype=torch.int8)
    left[-1], left[3] = 5, 2
    right[0, -1] = 7
    found = ours("mm", lambda: torch.mm(left, right))
    assert int(found[-1, -1]) == 35
    assert int(found[3, -1]) == 14
    assert int(found[-1, 0]) == 0
