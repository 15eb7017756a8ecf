"""Clean launches of the kernels of planted faults, of which the sanitizer must find nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tests.debug import kernels as k
from tests.debug.faults import indices, narrow, ones, two_phases, written_to, zeros

from anychip import using


def row_by_row() -> None:
    x, y = torch.randn(8, 16), torch.empty(8, 16)
    k.rows[(2,)](x, y, 0, 8, 16, 16, 16, R=4, C=16)
    assert torch.equal(y, 2 * x)
    k.rows[(2,)](narrow(x), narrow(y), 0, 8, 8, 16, 16, R=4, C=16)
    assert torch.equal(y, 2 * x)


def multiplied() -> None:
    a, b, c = torch.randn(16, 32), torch.randn(32, 16), torch.empty(16, 16)
    k.product[(1,)](a, b, c, 32, 16, M=16, K=16)
    torch.testing.assert_close(c, a @ b)
    k.product[(1,)](a.t().contiguous().t(), b, c, 32, 16, M=16, K=16)


def summed_by_the_last() -> None:
    y = torch.empty(1)
    k.last_one_sums[(8,)](torch.arange(64.0), torch.empty(8), zeros(1).int(), y, 8, B=8, P=8)
    assert y.item() == 2016


def copied() -> None:
    x, y = torch.randn(100), torch.empty(100)
    k.copy[(2,)](x, y, 100, 100, B=64)
    assert torch.equal(x, y)
    k.copy[(1,)](y[40:], y[40:], 60, 60, B=64)
    k.copy[(1,)](torch.empty(0), torch.empty(0), 0, 0, B=64)
    of_numpy = torch.empty(64)
    of_numpy.numpy()[:] = 3
    k.copy[(1,)](of_numpy, y, 64, 64, B=64)


def turned_around_by_the_library() -> None:
    x = torch.arange(70.0).view(2, 35)
    with using("strict"):
        y, z = torch.flip(x, (1,)), torch.flip(x.t(), (0, 1))
    assert y.tolist() == [row[::-1] for row in x.tolist()]
    assert z.tolist() == [row[::-1] for row in x.t().tolist()][::-1]


CLEAN: dict[str, Callable[[], object]] = {
    "copies": copied,
    "rows and views": row_by_row,
    "gathers": lambda: k.pick[(1,)](ones(20), indices(19, 3), zeros(16), B=16),
    "scatters": lambda: k.put[(1,)](ones(16), torch.arange(16), torch.empty(16), B=16),
    "walks": lambda: k.walk[(1,)](ones(64), torch.empty(64), 4, 16, 16, B=16),
    "descriptors": lambda: k.described[(1,)](ones(6, 16), torch.empty(6, 16), 6, 6, 16, 4, C=16),
    "counts": lambda: k.count[(1,)](indices(9, 3), zeros(10).int(), 16, B=16),
    "exchanges": lambda: k.exchange[(1,)](zeros(4).int(), 1, 3),
    "one of two tensors": lambda: k.either[(1,)](ones(8), ones(16), zeros(16), 0, B=16),
    "single numbers": lambda: k.single[(1,)](written_to(3, 4), torch.empty(4), 2, 0),
    "searches": lambda: k.search[(1,)](torch.arange(5.0), zeros(1).int(), 4.0, 5),
    "products": multiplied,
    "turned around": lambda: k.turned[(1,)](ones(16), zeros(16), 15, B=16),
    "offsets of 32 bits": lambda: k.strided[(1,)](ones(94), zeros(32), 3, 0, 1, B=32),
    "a hash that overflows": lambda: k.hashed[(1,)](ones(16), zeros(16), 0x7FEB352D, B=16),
    "flips": turned_around_by_the_library,
    "two phases": lambda: two_phases(8),
    "tiles side by side": lambda: k.tiles[(4,)](ones(64), torch.empty(64), 16, B=16),
    "tiles in place": lambda: k.shifted[(4,)](ones(64), 0, 0, B=16),
    "programs that agree": lambda: k.tiles[(4,)](ones(64), ones(16), 0, B=16),
    "sums of its own": lambda: k.added[(4,)](ones(64), zeros(4), 1, B=16),
    "planes": lambda: k.planes[(2, 2)](ones(16), torch.empty(64), 16, 32, B=16),
    "the last one sums": summed_by_the_last,
    "quotients": lambda: k.quotient[(1,)](ones(16), ones(16), zeros(16), B=16),
    "a NaN that was there": lambda: k.logarithm[(1,)](torch.full((16,), float("nan")), zeros(16), B=16),
    "the largest": lambda: k.largest[(1,)](ones(16), zeros(1), 3, B=16),
}
