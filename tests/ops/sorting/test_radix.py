"""The radix sort with the tiles of every class of chip, and scans of rows that are split: the oracle is
PyTorch's stable sort and its running sum."""

from __future__ import annotations

import pytest
import torch
from tests.launched import launched

from anychip.ops.launching import Tiles
from anychip.ops.samples import special, tensor
from anychip.ops.scan.running import SUM
from anychip.ops.sorting.radix import TILES, sort_rows

WAYS = {
    "whole rows": TILES,
    "chunks one by one": Tiles(simd={**TILES.simd, "chunk": 100, "programs": 99}),
    "chunks at once": Tiles(simd={**TILES.simt, "chunk": 200}),
}


def rows(dtype: torch.dtype) -> torch.Tensor:
    """Two rows with equal elements, and with special values where there are such."""
    x = tensor((2, 300), dtype)
    if dtype.is_floating_point:
        x = x.round()
        x[0, 50:58] = special(dtype)
    return x


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bfloat16], ids=str)
def test_order_is_that_of_the_stable_sort(way: str, dtype: torch.dtype) -> None:
    x = rows(dtype)
    for descending in (False, True):
        expected = x.sort(dim=-1, stable=True, descending=descending)
        with launched("sort.stable"):
            values, indices = sort_rows(x, descending, tiles=WAYS[way])
        assert torch.equal(indices, expected.indices)
        torch.testing.assert_close(values, expected.values, rtol=0, atol=0, equal_nan=True)


def test_part_of_the_order() -> None:
    x = rows(torch.float32)
    expected = x.sort(dim=-1, stable=True).indices[:, 7:12]
    for tiles in WAYS.values():
        assert torch.equal(sort_rows(x, first=7, kept=5, with_values=False, tiles=tiles)[1], expected)


def test_split_rows_are_scanned_as_one() -> None:
    tiles = Tiles(simd={"elements": 64, "columns": 32, "alone": 64, "chunk": 128})
    x = tensor((3, 1000), torch.float64)
    ours = SUM(x, 1, torch.float64, torch.float64, tiles=tiles)
    torch.testing.assert_close(ours, x.cumsum(1), rtol=1e-12, atol=1e-12)
