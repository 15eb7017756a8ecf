"""Products in loops, done once for several iterations: ends that are masked, operands in any layout,
accumulators that somebody else reads, several products at once."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl
from tests.kernels.catalogue import Case

from anychip.compiler import pipeline, targets


@triton.jit
def matmul(
    out,
    a,
    b,
    M,
    N,
    K,
    am,
    ak,
    bk,
    bn,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    ACC: tl.constexpr,
    WRAP: tl.constexpr,
):
    """Rows and columns beyond the end are others again (WRAP), or masked."""
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    column = tl.program_id(1) * BN + tl.arange(0, BN)
    inner = tl.arange(0, BK)
    total = tl.zeros((BM, BN), ACC)
    at_a = a + (row % M if WRAP else row)[:, None] * am + inner[None, :] * ak
    at_b = b + inner[:, None] * bk + (column % N if WRAP else column)[None, :] * bn
    for k in range(0, K, BK):
        some_a, some_b = inner[None, :] < K - k, inner[:, None] < K - k
        if not WRAP:
            some_a, some_b = some_a & (row < M)[:, None], some_b & (column < N)[None, :]
        total = tl.dot(
            tl.load(at_a, mask=some_a, other=0),
            tl.load(at_b, mask=some_b, other=0),
            total,
            input_precision="ieee",
            out_dtype=ACC,
        )
        at_a += BK * ak
        at_b += BK * bk
    inside = (row < M)[:, None] & (column < N)[None, :]
    tl.store(out + row[:, None] * N + column[None, :], total, mask=inside)


@triton.jit
def pair(out, first, x, a, b, scale, count, N: tl.constexpr, READ: tl.constexpr):
    """Two products of one left operand; with READ, the first accumulator is read in the loop."""
    i = tl.arange(0, N)
    place = i[:, None] * N + i[None, :]
    one, two = tl.zeros((N, N), tl.float32), tl.zeros((N, N), tl.float32)
    for k in range(count):
        left = tl.load(x + i[:, None] * (N * count) + (k * N + i)[None, :])
        one = tl.dot(left, tl.load(a + k * N * N + place), one, input_precision="ieee")
        right = tl.load(b + k * N * N + place)
        two = tl.dot(left, right + one if READ else right, two, input_precision="ieee")
    tl.store(first + place, one)
    tl.store(out + place, two * scale)


TYPES = {
    torch.float32: (torch.float32, tl.float32),
    torch.float64: (torch.float64, tl.float64),
    torch.float16: (torch.float32, tl.float32),
    torch.bfloat16: (torch.float32, tl.float32),
    torch.int8: (torch.int32, tl.int32),
}


def _numbers(shape: tuple[int, int], dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Integers so small that every sum of their products is exact, down to the least of int8."""
    numbers = torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed))
    if dtype == torch.int8:
        numbers = torch.where(numbers == 4, -128, numbers)
    return numbers.to(dtype)


@pytest.mark.parametrize("wrap", [True, False], ids=["wrapped", "masked"])
@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("dtype", list(TYPES), ids=str)
def test_matmul(dtype: torch.dtype, layout: str, wrap: bool) -> None:
    """33 x 40 with an inner dimension of less than one iteration, many, and many and a bit."""
    result, accumulator = TYPES[dtype]
    for m, n, k in ((33, 40, 0), (33, 40, 1056), (32, 64, 1000), (64, 32, 5)):
        a = _numbers((k, m), dtype, 1).T if layout[0] == "t" else _numbers((m, k), dtype, 1)
        b = _numbers((n, k), dtype, 2).T if layout[1] == "t" else _numbers((k, n), dtype, 2)
        out = torch.full((m, n), 77, dtype=result)
        grid = (triton.cdiv(m, 32), triton.cdiv(n, 32))
        strides = (a.stride(0), a.stride(1), b.stride(0), b.stride(1))
        matmul[grid](out, a, b, m, n, k, *strides, 32, 32, 32, accumulator, wrap)
        assert torch.equal(out.double(), a.double() @ b.double())


@pytest.mark.parametrize("read", [False, True], ids=["apart", "chained"])
@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_two_products(count: int, read: bool) -> None:
    size = 16
    x, a, b = (_numbers((size, size * count), torch.float32, seed) for seed in range(3))
    a, b = (t.reshape(size, count, size).transpose(0, 1).contiguous() / 8 for t in (a, b))
    first, out = torch.zeros(size, size), torch.zeros(size, size)
    pair[(1,)](out, first, x, a, b, 2.0, count, size, read)
    one, two = torch.zeros(size, size).double(), torch.zeros(size, size).double()
    for k in range(count):
        left = x[:, k * size : (k + 1) * size].double()
        one += left @ a[k].double()
        two += left @ (b[k].double() + (one if read else 0))
    torch.testing.assert_close(first.double(), one, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(out.double(), two * 2, rtol=1e-5, atol=1e-2)


def test_rows_are_read_where_they_lie() -> None:
    """The left operand needs no packing where its rows are contiguous, and only there."""
    tiles = {"bn": 1, "BM": 32, "BN": 32, "BK": 32, "ACC": tl.float32, "WRAP": True}
    for contiguous, verdicts in (("ak", {"in place", "vector"}), ("am", {"vector"})):
        case = Case(matmul, "*fp32 *fp32 *fp32 i32 i32 i32 i32 i32", {**tiles, contiguous: 1})
        found = pipeline.explain(case.ttir(), targets.get("znver5")).accesses
        assert {a.verdict for a in found if a.kind == "load"} == verdicts


@triton.jit
def growing(out, a, b, each, N: tl.constexpr, ACC: tl.constexpr, CHAIN: tl.constexpr):
    """Programs that share a right operand need more of it one after the other, then start anew."""
    x = tl.program_id(0)
    i = tl.arange(0, N)
    place = i[:, None] * N + i[None, :]
    left = tl.load(a + x * N * N + place)
    total = tl.zeros((N, N), ACC)
    for k in range(x % each + 1):
        right = tl.load(b + (x // each * each + k) * N * N + place)
        if CHAIN:
            total = tl.dot(left, right, input_precision="ieee", out_dtype=ACC) - total
        else:
            total = tl.dot(tl.load(a + (x + k) * N * N + place), right, total, out_dtype=ACC)
    tl.store(out + x * N * N + place, total)


@pytest.mark.parametrize("chain", [False, True], ids=["waits", "at once"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_operands_of_the_program_before(dtype: torch.dtype, chain: bool) -> None:
    """More iterations than are kept, or fewer; twice, with other numbers at the same addresses."""
    size, each, heads = 32, 30, 2
    result, accumulator = TYPES[dtype]
    programs = each * heads
    a, b, out = (torch.zeros(n, size, size, dtype=dtype) for n in (programs + each, programs, programs))
    out = out.to(result)
    for seed in (1, 3):
        a.copy_(_numbers((len(a) * size, size), dtype, seed).view_as(a).clamp(-3, 3))
        b.copy_(_numbers((len(b) * size, size), dtype, seed + 1).view_as(b).clamp(-3, 3))
        growing[(programs,)](out, a, b, each, size, accumulator, chain)
        for x in range(programs):
            total = torch.zeros(size, size).double()
            for k in range(x % each + 1):
                right = b[x // each * each + k].double()
                total = a[x].double() @ right - total if chain else total + a[x + k].double() @ right
            assert torch.equal(out[x].double(), total)


@triton.jit
def weighted(out, a, b, each, N: tl.constexpr):
    """Attention's products without the exponentials: the first is needed at once, the second waits."""
    x = tl.program_id(0)
    i = tl.arange(0, N)
    place = i[:, None] * N + i[None, :]
    left = tl.load(a + x * N * N + place)
    total = tl.zeros((N, N), tl.float32)
    for k in range(x % each + 1):
        right = tl.load(b + (x // each * each + k) * N * N + place)
        weights = tl.dot(left, tl.trans(right), out_dtype=tl.float32)
        total = tl.dot(weights.to(right.dtype), right, total, out_dtype=tl.float32)
    tl.store(out + x * N * N + place, total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_product_that_waits_beside_one_that_does_not(dtype: torch.dtype) -> None:
    """More iterations than are kept of either operand."""
    size, each = 32, 150
    a, b = (_numbers((each * size, size), dtype, seed).clamp(-1, 1).view(each, size, size) for seed in (1, 2))
    out = torch.zeros(each, size, size)
    weighted[(each,)](out, a, b, each, size)
    terms = [b[k].double().T @ b[k].double() for k in range(each)]
    for x in (0, 7, 64, each - 1):
        assert torch.equal(out[x].double(), a[x].double() @ sum(terms[: x + 1]))
