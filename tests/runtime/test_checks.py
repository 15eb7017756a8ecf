"""What a launcher tells a kernel with checks: gaps of views, and zeroed maps."""

from __future__ import annotations

import ctypes

import pytest
import torch

from anychip.runtime.checks import UNKNOWN, members, view_of
from anychip.runtime.findings import View
from anychip.runtime.maps import give_back, lend


@pytest.mark.parametrize(
    "view",
    [
        torch.zeros(6, 10)[:, :7],
        torch.zeros(6, 10)[::2, 1:9:3],
        torch.zeros(6, 10).t()[2:5, :4],
        torch.zeros(4, 5, 6, dtype=torch.int8)[1:, :3, ::2],
        torch.zeros(40, dtype=torch.float64)[::4],
        torch.zeros(3, 1, 8)[:, :, :5].expand(3, 2, 5),
    ],
)
def test_gaps_of_a_view(view: torch.Tensor) -> None:
    told = view_of(view)
    map = members(told)
    size = view.element_size()
    wanted = torch.zeros(told.bytes // size, dtype=torch.uint8)
    wanted.as_strided(view.shape, view.stride()).fill_(1)
    assert bytes(map) == bytes(wanted.repeat_interleave(size).tolist())
    begin = view.untyped_storage().data_ptr() - view.data_ptr()
    assert told.memory == (begin, begin + view.untyped_storage().nbytes())


@pytest.mark.parametrize(
    "view",
    [torch.zeros(3, 4), torch.zeros(3, 4).t(), torch.zeros(9).as_strided((4, 3), (2, 1)), torch.zeros(0)],
)
def test_views_without_gaps(view: torch.Tensor) -> None:
    assert members(view_of(view)) is None


def test_what_is_no_tensor() -> None:
    assert view_of(None).bytes == 0
    assert view_of(12345) is UNKNOWN
    assert View((2, 0), (1, 1), 4).bytes == 0


@pytest.mark.parametrize("size", [1, 4096, 100_000])
def test_memory_that_is_lent_is_zero(size: int) -> None:
    first = lend(size)
    ctypes.memset(first.address, 7, size)
    give_back(first)
    again = lend(size)
    assert ctypes.string_at(again.address, size) == bytes(size)
    assert lend(size).address != again.address
