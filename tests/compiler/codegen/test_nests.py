"""Square blocks transposed and rows interleaved in registers; nests that use both, run by the plug-in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from anychip.compiler.codegen.nests import interleave, lane_patterns, transpose
from anychip.compiler.llvm.builder import Builder
from anychip.compiler.llvm.types import Val
from anychip.compiler.schedule.steps import Nest

from .jit import compile_loop


@pytest.mark.parametrize("size", [2, 4, 8, 16])
@pytest.mark.parametrize("column", [0, 1, -1])
def test_transpose(size: int, column: int) -> None:
    """Column `column` of a block whose rows are multiples of the row that is given."""

    def body(b: Builder, values: list[Val]) -> Val:
        rows = [b.add(values[0], b.int(1000 * k, values[0].type)) for k in range(size)]
        return transpose(b, rows)[column]

    given = np.arange(size, dtype=np.int32)
    block = given[None, :] + 1000 * np.arange(size)[:, None]
    np.testing.assert_array_equal(compile_loop(body, ["i32"], "i32", size)(given), block[:, column])


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("lanes", [4, 8])
def test_interleave(count: int, lanes: int) -> None:
    """Two or four rows as one: the sum of the halves is checked, the result being wider than a row."""

    def body(b: Builder, values: list[Val]) -> Val:
        rows = [b.add(values[0], b.int(1000 * k, values[0].type)) for k in range(count)]
        wide = interleave(b, rows)
        total = b.shuffle(wide, range(lanes))
        for part in range(1, count):
            weighed = b.mul(
                b.shuffle(wide, range(part * lanes, (part + 1) * lanes)), b.int(7**part, values[0].type)
            )
            total = b.add(total, weighed)
        return total

    given = np.arange(lanes, dtype=np.int32)
    wide = (given[:, None] + 1000 * np.arange(count)[None, :]).ravel()
    expected = sum(wide[p * lanes : (p + 1) * lanes] * 7**p for p in range(count))
    np.testing.assert_array_equal(compile_loop(body, ["i32"], "i32", lanes)(given), expected)


@pytest.mark.parametrize(
    ("extents", "vector_axis", "expected"),
    [
        ((1, 8), 1, [[0] * 8, [0, 1, 2, 3, 4, 5, 6, 7]]),
        ((8, 1), 0, [[0, 1, 2, 3, 4, 5, 6, 7], [0] * 8]),
        ((2, 4), 1, [[0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 2, 3] * 2]),
        ((4, 2), 0, [[0, 1, 2, 3] * 2, [0, 0, 0, 0, 1, 1, 1, 1]]),
        ((2, 2, 2), 2, [[0] * 4 + [1] * 4, [0, 0, 1, 1] * 2, [0, 1] * 4]),
    ],
)
def test_lane_patterns(extents: tuple[int, ...], vector_axis: int, expected: list[list[int]]) -> None:
    """The vector axis runs fastest, then the others from the last to the first."""
    nest = Nest((64,) * len(extents), [], lanes=8, lane_extents=extents, vector_axis=vector_axis)
    assert [list(lane_patterns(nest)[axis]) for axis in range(len(extents))] == expected


@triton.jit
def copy_transposed(x, out, R: tl.constexpr, C: tl.constexpr):
    r, c = tl.arange(0, R)[:, None], tl.arange(0, C)[None, :]
    tl.store(out + c * R + r, tl.load(x + r * C + c))


@triton.jit
def product_with_transposed(x, y, out, N: tl.constexpr):
    """The right operand lies along the inner dimension: it is packed by blocks."""
    i, j = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    product = tl.dot(tl.load(x + i * N + j), tl.trans(tl.load(y + i * N + j)), out_dtype=out.dtype.element_ty)
    tl.store(out + i * N + j, product)


@triton.jit
def transposed_through_loop(x, out, rounds, N: tl.constexpr):
    i, j = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    a = tl.load(x + i * N + j)
    b = tl.load(x + j * N + i)
    for _ in range(rounds):
        a, b = b + 1, a * 2
    tl.store(out + i * N + j, a)
    tl.store(out + N * N + j * N + i, b)


@triton.jit
def copy_of_everything(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    value = tl.load(x + i)
    tl.store(out + i, value + tl.sum(value.to(tl.int32), 0).to(value.dtype))


@pytest.mark.parametrize("shape", [(1, 64), (4, 4), (8, 64), (16, 16), (64, 8), (128, 32)])
@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.float32, torch.float64], ids=str)
def test_transposed_copy(shape: tuple[int, int], dtype: torch.dtype) -> None:
    x = (torch.arange(shape[0] * shape[1]) % 100).to(dtype).reshape(shape)
    out = torch.zeros(shape[::-1], dtype=dtype)
    copy_transposed[(1,)](x, out, *shape)
    assert torch.equal(out, x.T)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8], ids=str)
def test_product_with_a_transposed_operand(size: int, dtype: torch.dtype) -> None:
    x, y = (((torch.arange(size * size) * k) % 13 - 6).reshape(size, size).to(dtype) for k in (5, 7))
    out = torch.zeros(size, size, dtype=torch.float32 if dtype.is_floating_point else torch.int32)
    product_with_transposed[(1,)](x, y, out, size)
    assert torch.equal(out.double(), x.double() @ y.double().T)


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [4, 16, 64])
def test_carried_tiles_that_lie_across(size: int, rounds: int) -> None:
    x = torch.arange(size * size, dtype=torch.int32).reshape(size, size)
    out = torch.zeros(2, size, size, dtype=torch.int32)
    a, b = x, x.T
    for _ in range(rounds):
        a, b = b + 1, a * 2
    transposed_through_loop[(1,)](x, out, rounds, size)
    assert torch.equal(out[0], a)
    assert torch.equal(out[1], b.T)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.float32], ids=str)
def test_huge_tile(dtype: torch.dtype) -> None:
    """65,536 elements in one tile: loops, not code, and a buffer that is kept through a reduction."""
    x = (torch.arange(65536) % 3).to(dtype)
    out = torch.zeros_like(x)
    copy_of_everything[(1,)](x, out, 65536)
    assert torch.equal(out, x + x.to(torch.int32).sum().to(torch.int32).to(dtype))
