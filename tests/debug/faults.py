"""Planted faults, one a row: what the sanitizer must find, of which argument, and a launch that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from tests.debug import kernels as k

from anychip.compiler.codegen.check_table import Check

ALIGNMENT, BOUNDS, NONFINITE, OVERFLOW, RACE, UNINITIALISED = (
    Check.ALIGNMENT, Check.BOUNDS, Check.NONFINITE, Check.OVERFLOW, Check.RACE, Check.UNINITIALISED,
)  # fmt: skip


class Fault(NamedTuple):
    """`wrong_at`: the index of the first element that is wrong, where it is the same each time."""

    name: str
    check: Check
    argument: str
    launch: Callable[[], object]
    wrong_at: tuple[int, ...] | None = None


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


def indices(*values: int) -> torch.Tensor:
    """16 indices: these, and zeros."""
    return torch.tensor([*values, *[0] * (16 - len(values))])


def written_to(n: int, size: int) -> torch.Tensor:
    """`size` elements of which the first `n` were written."""
    x = torch.empty(size)
    x[:n] = 1.0
    return x


def two_phases(programs: int) -> None:
    scratch, y = torch.empty(8), zeros(1)
    k.partial_sums[(programs,)](ones(64), scratch, y, 8, 0, B=8, P=8)
    k.partial_sums[(1,)](ones(64), scratch, y, 8, 1, B=8, P=8)


def narrow(x: torch.Tensor) -> torch.Tensor:
    """The first half of the columns."""
    return x[:, : x.shape[1] // 2]


FAULTS = [
    # --- outside of a tensor, or of a view of it
    Fault(
        "reads one too many", BOUNDS, "x", lambda: k.copy[(2,)](ones(100), zeros(128), 101, 128, B=64), (100,)
    ),
    Fault("reads far behind", BOUNDS, "x", lambda: k.copy[(4,)](ones(100), zeros(256), 256, 256, B=64), None),
    Fault(
        "writes one too many",
        BOUNDS,
        "y",
        lambda: k.copy[(2,)](ones(128), zeros(100), 128, 101, B=64),
        (100,),
    ),
    Fault(
        "writes without a mask's bound",
        BOUNDS,
        "y",
        lambda: k.copy[(1,)](ones(64), zeros(40), 64, 64, B=64),
        (40,),
    ),
    Fault(
        "reads behind a view",
        BOUNDS,
        "x",
        lambda: k.copy[(1,)](ones(100)[:50], zeros(64), 51, 64, B=64),
        (50,),
    ),
    Fault(
        "writes behind a view",
        BOUNDS,
        "y",
        lambda: k.copy[(1,)](ones(64), zeros(100)[:50], 64, 60, B=64),
        (50,),
    ),
    Fault("reads a tensor of nothing", BOUNDS, "x", lambda: k.copy[(1,)](ones(0), zeros(64), 1, 64, B=64)),
    Fault("reads an empty view", BOUNDS, "x", lambda: k.copy[(1,)](ones(10)[5:5], zeros(64), 1, 64, B=64)),
    Fault(
        "reads bytes behind",
        BOUNDS,
        "x",
        lambda: k.copy[(1,)](torch.ones(9, dtype=torch.int8), torch.ones(64, dtype=torch.int8), 10, 64, B=64),
        (9,),
    ),
    Fault(
        "writes halves behind",
        BOUNDS,
        "y",
        lambda: k.copy[(1,)](ones(64).half(), zeros(9).half(), 64, 10, B=64),
        (9,),
    ),
    Fault(
        "reads a column beside the view",
        BOUNDS,
        "x",
        lambda: k.rows[(2,)](narrow(ones(8, 16)), zeros(8, 16), 0, 8, 9, 16, 16, R=4, C=16),
    ),
    Fault(
        "writes a column beside the view",
        BOUNDS,
        "y",
        lambda: k.rows[(2,)](ones(8, 16), narrow(zeros(8, 16)), 0, 8, 9, 16, 16, R=4, C=16),
    ),
    Fault(
        "reads a row too many",
        BOUNDS,
        "x",
        lambda: k.rows[(3,)](ones(8, 16), zeros(12, 16), 0, 9, 16, 16, 16, R=4, C=16),
        (8, 0),
    ),
    Fault(
        "writes a row too many",
        BOUNDS,
        "y",
        lambda: k.rows[(3,)](ones(12, 16), zeros(8, 16), 0, 9, 16, 16, 16, R=4, C=16),
        (8, 0),
    ),
    Fault(
        "reads a row before",
        BOUNDS,
        "x",
        lambda: k.rows[(2,)](ones(8, 16), zeros(9, 16)[1:], -1, 8, 16, 16, 16, R=4, C=16),
    ),
    Fault(
        "writes a row before the view",
        BOUNDS,
        "y",
        lambda: k.rows[(2,)](ones(9, 16), zeros(9, 16)[1:], -1, 8, 16, 16, 16, R=4, C=16),
    ),
    Fault(
        "takes a stride too large",
        BOUNDS,
        "x",
        lambda: k.rows[(2,)](ones(8, 16), zeros(8, 32), 0, 8, 16, 17, 32, R=4, C=16),
    ),
    Fault(
        "takes the stride of another tensor",
        BOUNDS,
        "x",
        lambda: k.rows[(2,)](ones(8, 16), zeros(8, 32), 0, 8, 16, 32, 32, R=4, C=16),
    ),
    Fault(
        "swaps strides of the view",
        BOUNDS,
        "x",
        lambda: k.rows[(2,)](narrow(ones(8, 16)), zeros(8, 16), 0, 8, 8, 8, 16, R=4, C=16),
    ),
    Fault(
        "reads at the length",
        BOUNDS,
        "x",
        lambda: k.pick[(1,)](ones(20), indices(0, 20), zeros(16), B=16),
        (20,),
    ),
    Fault("reads at -1", BOUNDS, "x", lambda: k.pick[(1,)](ones(20), indices(-1), zeros(16), B=16), (-1,)),
    Fault(
        "reads at a huge index",
        BOUNDS,
        "x",
        lambda: k.pick[(1,)](ones(20), indices(1 << 40), zeros(16), B=16),
        (1 << 40,),
    ),
    Fault(
        "reads before a view",
        BOUNDS,
        "x",
        lambda: k.pick[(1,)](ones(20)[4:], indices(3, -2), zeros(16), B=16),
        (-2,),
    ),
    Fault(
        "reads indices behind",
        BOUNDS,
        "where",
        lambda: k.pick[(1,)](ones(20), indices()[:15], zeros(16), B=16),
        (15,),
    ),
    Fault(
        "writes at the length",
        BOUNDS,
        "y",
        lambda: k.put[(1,)](ones(16), indices(0, 20), zeros(20), B=16),
        (20,),
    ),
    Fault(
        "writes between a view's elements",
        BOUNDS,
        "y",
        lambda: k.put[(1,)](ones(16), indices(0, 3), zeros(40)[::2], B=16),
    ),
    Fault(
        "steps once too often", BOUNDS, "x", lambda: k.walk[(1,)](ones(64), zeros(80), 5, 16, 16, B=16), (64,)
    ),
    Fault("steps too far", BOUNDS, "x", lambda: k.walk[(1,)](ones(64), zeros(80), 4, 17, 16, B=16), (64,)),
    Fault(
        "writes a step too many",
        BOUNDS,
        "y",
        lambda: k.walk[(1,)](ones(80), zeros(64), 5, 16, 16, B=16),
        (64,),
    ),
    Fault("steps backwards", BOUNDS, "x", lambda: k.walk[(1,)](ones(64)[16:], zeros(64), 2, -16, 16, B=16)),
    Fault(
        "describes too many rows to read",
        BOUNDS,
        "x",
        lambda: k.described[(1,)](ones(6, 16), zeros(8, 16), 8, 8, 16, 4, C=16),
        (6, 0),
    ),
    Fault(
        "describes too many rows to write",
        BOUNDS,
        "y",
        lambda: k.described[(1,)](ones(8, 16), zeros(6, 16), 8, 8, 16, 4, C=16),
        (6, 0),
    ),
    Fault(
        "counts in a bucket too many",
        BOUNDS,
        "counts",
        lambda: k.count[(1,)](indices(3, 10), zeros(10).int(), 16, B=16),
        (10,),
    ),
    Fault(
        "counts before the first bucket",
        BOUNDS,
        "counts",
        lambda: k.count[(1,)](indices(-1), zeros(10).int(), 16, B=16),
        (-1,),
    ),
    Fault("exchanges behind", BOUNDS, "flags", lambda: k.exchange[(1,)](zeros(4).int(), 2, 2), (4,)),
    Fault("exchanges before", BOUNDS, "flags", lambda: k.exchange[(1,)](zeros(4).int(), -1, 1), (-1,)),
    Fault(
        "reads behind both of two tensors",
        BOUNDS,
        "x",
        lambda: k.either[(1,)](ones(12), ones(14), zeros(16), 1, B=16),
    ),
    Fault("reads a single number behind", BOUNDS, "x", lambda: k.single[(1,)](ones(4), zeros(4), 4, 0), (4,)),
    Fault(
        "writes a single number behind", BOUNDS, "y", lambda: k.single[(1,)](ones(4), zeros(4), 0, 4), (4,)
    ),
    Fault(
        "searches past the end", BOUNDS, "x", lambda: k.search[(1,)](ones(5), zeros(1).int(), 2.0, 5), (5,)
    ),
    Fault(
        "multiplies a row too many",
        BOUNDS,
        "b",
        lambda: k.product[(1,)](ones(16, 32), ones(31, 16), zeros(16, 16), 32, 16, M=16, K=16),
        (31, 0),
    ),
    Fault(
        "multiplies beside the view",
        BOUNDS,
        "a",
        lambda: k.product[(1,)](ones(16, 64)[:, :31], ones(64, 16), zeros(16, 16), 64, 16, M=16, K=16),
    ),
    Fault(
        "writes a product over the edge",
        BOUNDS,
        "c",
        lambda: k.product[(1,)](ones(16, 32), ones(32, 16), zeros(15, 16), 32, 16, M=16, K=16),
        (15, 0),
    ),
    Fault(
        "turns around the length", BOUNDS, "x", lambda: k.turned[(1,)](ones(16), zeros(16), 16, B=16), (16,)
    ),
    # --- offsets of 32 bits
    Fault(
        "multiplies past 2^31",
        OVERFLOW,
        "x",
        lambda: k.strided[(1,)](ones(16), zeros(32), 1 << 29, 0, 1, B=32),
    ),
    Fault(
        "subtracts past -2^31",
        OVERFLOW,
        "x",
        lambda: k.strided[(1,)](ones(16), zeros(32), -1, (1 << 31) - 1, 1, B=32),
    ),
    Fault(
        "writes at a product past 2^31",
        OVERFLOW,
        "y",
        lambda: k.strided[(1,)](ones(32), zeros(16), 1, 0, 1 << 28, B=32),
    ),
    Fault(
        "starts a tile past 2^31", OVERFLOW, "x", lambda: k.far[(3,)](ones(16), zeros(16), 1 << 30, 0, B=16)
    ),
    Fault(
        "adds past 2^31 in the tile",
        OVERFLOW,
        "x",
        lambda: k.far[(1,)](ones(16), zeros(16), 0, 8 - (1 << 31), B=16),
    ),
    Fault(
        "exchanges at a product past 2^31",
        OVERFLOW,
        "flags",
        lambda: k.exchange[(1,)](zeros(4).int(), 1 << 16, 1 << 15),
    ),
    Fault(
        "overflows into the tensor",
        OVERFLOW,
        "x",
        lambda: k.strided[(1,)](ones(16), zeros(16), 1 << 28, 0, 1, B=32),
    ),
    # --- memory that nobody has written
    Fault(
        "reads what is empty",
        UNINITIALISED,
        "x",
        lambda: k.copy[(1,)](torch.empty(64), zeros(64), 64, 64, B=64),
        (0,),
    ),
    Fault(
        "reads behind what was written",
        UNINITIALISED,
        "x",
        lambda: k.copy[(2,)](written_to(90, 100), zeros(128), 100, 128, B=64),
        (90,),
    ),
    Fault(
        "reads columns that nobody wrote",
        UNINITIALISED,
        "x",
        lambda: k.rows[(2,)](written_to(100, 128).view(8, 16), zeros(8, 16), 0, 8, 16, 16, 16, R=4, C=16),
        (6, 4),
    ),
    Fault("reads the sum of a program that was not", UNINITIALISED, "scratch", lambda: two_phases(7), (7,)),
    Fault(
        "adds to what is empty",
        UNINITIALISED,
        "counts",
        lambda: k.count[(1,)](indices(2), torch.empty(10, dtype=torch.int32), 16, B=16),
    ),
    Fault(
        "reads a number that nobody wrote",
        UNINITIALISED,
        "x",
        lambda: k.single[(1,)](written_to(3, 4), zeros(4), 3, 0),
        (3,),
    ),
    # --- descriptors
    Fault(
        "describes from an odd address",
        ALIGNMENT,
        "the address",
        lambda: k.described[(1,)](ones(200)[1:], zeros(8, 16), 8, 8, 16, 0, C=16),
    ),
    Fault(
        "describes with an odd stride",
        ALIGNMENT,
        "the stride along axis 0",
        lambda: k.described[(1,)](ones(200), zeros(200), 8, 8, 18, 0, C=16),
    ),
    # --- races
    Fault(
        "writes tiles that overlap", RACE, "y", lambda: k.tiles[(4,)](torch.arange(64.0), zeros(64), 8, B=16)
    ),
    Fault(
        "writes one tile from all programs",
        RACE,
        "y",
        lambda: k.tiles[(4,)](torch.arange(64.0), zeros(64), 0, B=16),
    ),
    Fault("reads what the next program writes", RACE, "x", lambda: k.shifted[(4,)](zeros(80), 0, 16, B=16)),
    Fault("reads what the last program wrote", RACE, "x", lambda: k.shifted[(4,)](zeros(80), 16, -8, B=16)),
    Fault(
        "adds without an atomic operation", RACE, "total", lambda: k.added[(4,)](ones(64), zeros(4), 0, B=16)
    ),
    Fault(
        "forgets an axis of the grid", RACE, "y", lambda: k.planes[(2, 2)](ones(16), zeros(64), 16, 0, B=16)
    ),
    # --- numbers that are not finite
    Fault(
        "divides zero by zero",
        NONFINITE,
        "y",
        lambda: k.quotient[(1,)](zeros(16), zeros(16), zeros(16), B=16),
        (0,),
    ),
    Fault(
        "divides by zero once",
        NONFINITE,
        "y",
        lambda: k.quotient[(1,)](ones(16), ones(16).scatter(0, torch.tensor([5]), 0.0), zeros(16), B=16),
        (5,),
    ),
    Fault(
        "takes the logarithm of what is negative",
        NONFINITE,
        "y",
        lambda: k.logarithm[(1,)](-ones(16), zeros(16), B=16),
        (0,),
    ),
    Fault(
        "narrows what is too large",
        NONFINITE,
        "y",
        lambda: k.narrowed[(1,)](1e5 * ones(16), zeros(16).half(), B=16),
        (0,),
    ),
    Fault(
        "takes the largest of nothing",
        NONFINITE,
        "y",
        lambda: k.largest[(1,)](ones(16), zeros(1), 0, B=16),
        (0,),
    ),
]
"""At least 60."""

SELDOM = frozenset(
    {
        # kernels that few rows launch
        "writes at the length", "writes between a view's elements", "reads behind both of two tensors",
        "searches past the end", "multiplies a row too many", "multiplies beside the view",
        "writes a product over the edge", "turns around the length", "starts a tile past 2^31",
        "adds past 2^31 in the tile", "reads what the next program writes",
        "reads what the last program wrote",
        "forgets an axis of the grid", "takes the logarithm of what is negative", "narrows what is too large",
        "takes the largest of nothing",
        # other types than single precision
        "reads bytes behind", "writes halves behind",
        # right launches of such kernels
        "scatters", "one of two tensors", "searches", "products", "turned around", "a hash that overflows",
        "tiles in place", "planes", "the last one sums", "a NaN that was there", "the largest",
    }
)  # fmt: skip
"""Rows that are tried with `--slow` alone: each takes a second of compilation that no other row shares, and
its check is found by rows of other kernels, too."""
