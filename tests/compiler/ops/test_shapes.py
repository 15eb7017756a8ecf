"""Operations that move elements: reshape, trans, join, split, cat, interleave, broadcast, flip, gather, sort,
histogram, views of strided, reversed and unaligned memory, tensor descriptors, against NumPy and PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


@triton.jit
def transposed(x, out, S: tl.constexpr, ORDER: tl.constexpr, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    tl.store(out + i, tl.permute(tl.load(x + i).reshape(S), ORDER).reshape([COUNT]))


@triton.jit
def reshaped_twice(x, out, A: tl.constexpr, B: tl.constexpr, COUNT: tl.constexpr):
    """Adds the place in the first shape's last axis and in the second's first."""
    i = tl.arange(0, COUNT)
    first = tl.load(x + i).reshape(A) + tl.arange(0, A[1])[None, :] * 1000
    second = first.reshape(B) + tl.arange(0, B[0])[:, None] * 100000
    tl.store(out + i, second.reshape([COUNT]))


@triton.jit
def joined(x, y, out, low, high, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    pair = tl.join(tl.load(x + i), tl.load(y + i))
    tl.store(out + i[:, None] * 2 + tl.arange(0, 2)[None, :], pair)
    a, b = tl.split(pair)
    tl.store(low + i, a)
    tl.store(high + i, b)


@triton.jit
def interleaved(x, y, out, both, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    a, b = tl.load(x + i), tl.load(y + i)
    j = tl.arange(0, 2 * COUNT)
    tl.store(out + j, tl.interleave(a, b))
    tl.store(both + j, tl.cat(a, b, can_reorder=True))


@triton.jit
def flipped(x, out, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr):
    place = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out + place, tl.flip(tl.load(x + place), AXIS))


@triton.jit
def gathered(
    x, index, out, M: tl.constexpr, N: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, AXIS: tl.constexpr
):
    source = tl.load(x + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    place = tl.arange(0, P)[:, None] * Q + tl.arange(0, Q)[None, :]
    tl.store(out + place, tl.gather(source, tl.load(index + place), AXIS))


@triton.jit
def sorted_rows(x, out, M: tl.constexpr, N: tl.constexpr, DOWN: tl.constexpr):
    place = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out + place, tl.sort(tl.load(x + place), descending=DOWN))


@triton.jit
def counted(x, keep, out, COUNT: tl.constexpr, BINS: tl.constexpr, MASKED: tl.constexpr):
    i = tl.arange(0, COUNT)
    value = tl.load(x + i)
    if MASKED:
        result = tl.histogram(value, BINS, mask=tl.load(keep + i) != 0)
    else:
        result = tl.histogram(value, BINS)
    tl.store(out + tl.arange(0, BINS), result)


@triton.jit
def copied(x, out, xm, xn, om, on, M: tl.constexpr, N: tl.constexpr):
    m, n = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    tl.store(out + m * om + n * on, tl.load(x + m * xm + n * xn))


@triton.jit
def through_descriptors(x, out, rows, columns, r, c, M: tl.constexpr, N: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [rows, columns], [columns, 1], [M, N])
    target = tl.make_tensor_descriptor(out, [rows, columns], [columns, 1], [M, N])
    target.store([r, c], source.load([r, c]) + 1)


@triton.jit
def rows_through_descriptors(x, index, out, rows, columns, y, M: tl.constexpr, N: tl.constexpr):
    i = tl.load(index + tl.arange(0, M))
    source = tl.make_tensor_descriptor(x, [rows, columns], [columns, 1], [1, N])
    target = tl.make_tensor_descriptor(out, [rows, columns], [columns, 1], [1, N])
    target.scatter(source.gather(i, y) * 2, i, y)


def _numbers(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(-99, 99, shape).astype(np.int32))


@pytest.mark.skipif(
    triton.__version__.startswith(("3.6", "3.7")), reason="before 3.8, permute takes no tl.constexpr"
)
@settings(max_examples=40)
@given(data=st.data(), rank=st.integers(2, 5))
def test_transposition(data: st.DataObject, rank: int) -> None:
    shape = tuple(data.draw(st.sampled_from([1, 2, 4, 8])) for _ in range(rank))
    order = data.draw(st.permutations(range(rank)))
    x = _numbers(shape)
    out = torch.zeros(x.numel(), dtype=torch.int32)
    transposed[(1,)](x, out, shape, tuple(order), x.numel())
    np.testing.assert_array_equal(out.numpy(), x.permute(*order).reshape(-1).numpy())


@settings(max_examples=25)
@given(rows=st.sampled_from([1, 2, 8, 64, 256]), other=st.sampled_from([1, 4, 16, 256]))
def test_reshape(rows: int, other: int) -> None:
    first, second = (rows, 256 // rows), (other, 256 // other)
    x = _numbers((256,))
    out = torch.zeros(256, dtype=torch.int32)
    reshaped_twice[(1,)](x, out, first, second, 256)
    expected = x.view(first) + torch.arange(first[1]) * 1000
    expected = expected.reshape(second) + torch.arange(second[0])[:, None] * 100000
    np.testing.assert_array_equal(out.numpy(), expected.reshape(-1).numpy())


@pytest.mark.parametrize("size", SIZES)
def test_join_split_interleave_cat(size: int) -> None:
    x, y = _numbers((size,), 1), _numbers((size,), 2)
    out, both = torch.zeros(2 * size, dtype=torch.int32), torch.zeros(2 * size, dtype=torch.int32)
    low, high = torch.zeros_like(x), torch.zeros_like(x)
    joined[(1,)](x, y, out, low, high, size)
    pairs = torch.stack((x, y), 1).reshape(-1)
    assert torch.equal(out, pairs)
    assert torch.equal(low, x)
    assert torch.equal(high, y)
    interleaved[(1,)](x, y, out, both, size)
    assert torch.equal(out, pairs)
    assert torch.equal(both.sort().values, torch.cat((x, y)).sort().values)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("rows", "columns"), [(1, 16), (16, 1), (4, 8), (8, 64)])
def test_flip(rows: int, columns: int, axis: int) -> None:
    x = _numbers((rows, columns))
    out = torch.zeros_like(x)
    flipped[(1,)](x, out, rows, columns, axis)
    assert torch.equal(out, x.flip(axis))


@settings(max_examples=20)
@given(
    source=st.tuples(st.sampled_from([1, 4, 32]), st.sampled_from([2, 16, 64])),
    length=st.sampled_from([1, 8, 64]),
    axis=st.sampled_from([0, 1]),
    seed=st.integers(0, 9),
)
def test_gather(source: tuple[int, int], length: int, axis: int, seed: int) -> None:
    shape = (length, source[1]) if axis == 0 else (source[0], length)
    x = _numbers(source, seed)
    index = torch.from_numpy(np.random.default_rng(seed).integers(0, source[axis], shape).astype(np.int32))
    out = torch.zeros(shape, dtype=torch.int32)
    gathered[(1,)](x, index, out, *source, *shape, axis)
    assert torch.equal(out, x.gather(axis, index.long()))


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 16), (8, 8), (1, 64)])
@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.float16, torch.int8])
def test_sort(rows: int, columns: int, dtype: torch.dtype, down: bool) -> None:
    x = _numbers((rows, columns)).to(dtype)
    out = torch.zeros_like(x)
    sorted_rows[(1,)](x, out, rows, columns, down)
    assert torch.equal(out, x.sort(1, descending=down).values)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize(("count", "bins"), [(1, 1), (16, 2), (256, 16), (64, 128), (1024, 256)])
def test_histogram(count: int, bins: int, masked: bool) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, bins, count).astype(np.int32))
    keep = torch.from_numpy(rng.integers(0, 2, count).astype(np.int8))
    out = torch.full((bins,), 5, dtype=torch.int32)
    counted[(1,)](x, keep, out, count, bins, masked)
    chosen = x[keep.bool()] if masked else x
    assert torch.equal(out, torch.bincount(chosen, minlength=bins).to(torch.int32))


VIEWS = {
    "plain": lambda x: x[:8, :32],
    "transposed": lambda x: x.T[:8, :32],
    "reversed rows": lambda x: x[:8, :32],
    "every third": lambda x: x[:24:3, :64:2],
    "repeated row": lambda x: x[3:4, :32].expand(8, 32),
    "repeated column": lambda x: x[:8, 5:6].expand(8, 32),
    "one element": lambda x: x[2:3, 5:6].expand(8, 32),
    "unaligned": lambda x: x.reshape(-1)[7 : 7 + 8 * 33].view(8, 33)[:, :32],
}
DTYPES = [
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.bool,
    torch.float8_e5m2,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_strided_copies(dtype: torch.dtype) -> None:
    """Every kind of view read and written, by one kernel compiled for strides known when running."""
    base = _numbers((72, 72), 4).to(dtype)
    for (_, read), (name, write) in itertools.product(VIEWS.items(), VIEWS.items()):
        if name.startswith(("repeated", "one")):
            continue
        source, memory = read(base), torch.zeros(72, 72).to(dtype)
        expected = memory.clone()
        write(expected).copy_(source)
        target = write(memory)
        copied[(1,)](source, target, *source.stride(), *target.stride(), 8, 32)
        assert torch.equal(memory.view(torch.uint8), expected.view(torch.uint8))


@pytest.mark.parametrize(("row_step", "column_step"), [(-40, 1), (40, -1), (-1, -40), (-80, -2), (1, -40)])
def test_negative_strides(row_step: int, column_step: int) -> None:
    memory = _numbers((4000,), 5)
    middle = memory[2000:]
    out = torch.zeros(8, 32, dtype=torch.int32)
    copied[(1,)](middle, out, row_step, column_step, 32, 1, 8, 32)
    places = 2000 + np.arange(8)[:, None] * row_step + np.arange(32) * column_step
    np.testing.assert_array_equal(out.numpy(), memory.numpy()[places])


@pytest.mark.parametrize(("rows", "columns"), [(8, 32), (5, 20), (20, 48)])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 16), (-3, -4), (4, 28)])
def test_descriptors(rows: int, columns: int, row: int, column: int) -> None:
    """What lies outside the tensor is neither read nor written."""
    triton.set_allocator(lambda size, align, stream: torch.empty(size, dtype=torch.int8))
    x = _numbers((rows, columns), 6)
    out = torch.full_like(x, 7)
    expected = out.clone()
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + 8, rows), min(column + 32, columns)
    if top < bottom and left < right:
        expected[top:bottom, left:right] = x[top:bottom, left:right] + 1
    through_descriptors[(1,)](x, out, rows, columns, row, column, 8, 32)
    assert torch.equal(out, expected)


@pytest.mark.parametrize("column", [0, 16])
def test_rows_gathered_and_scattered(column: int) -> None:
    triton.set_allocator(lambda size, align, stream: torch.empty(size, dtype=torch.int8))
    x = _numbers((40, 64), 7)
    index = torch.from_numpy(np.random.default_rng(8).permutation(40)[:16].astype(np.int32))
    out = torch.zeros_like(x)
    rows_through_descriptors[(1,)](x, index, out, 40, 64, column, 16, 32)
    expected = torch.zeros_like(x)
    expected[index.long(), column : column + 32] = x[index.long(), column : column + 32] * 2
    assert torch.equal(out, expected)
