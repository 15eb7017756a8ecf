"""How loads and stores come out: which are vectors, which need masks; and that all forms do the same."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from tests.ttir import ttir_of

from anychip.compiler import pipeline, targets

HOST = targets.host()


def accesses(kernel: triton.JITFunction, types: str = "*fp32 *fp32 i32 i32") -> list[tuple[str, str, str]]:
    signature = dict(zip(kernel.arg_names, types.split(), strict=True))
    found = pipeline.explain(ttir_of(kernel, signature), HOST).accesses
    return [(a.kind, a.verdict, a.mask) for a in found]


@triton.jit
def plain(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + i, tl.load(x + n + i))


@triton.jit
def bounded(x, out, n, s):
    i = tl.program_id(0) * 256 + tl.arange(0, 256)
    tl.store(out + i, tl.load(x + i, mask=i < n), mask=i < n)


@triton.jit
def two_sided(x, out, n, s):
    i = tl.arange(0, 256)
    inside = (i >= s) & (i < n)
    tl.store(out + i, tl.load(x + i, mask=inside, other=1.0), mask=inside)


@triton.jit
def odd_lanes(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + i, tl.load(x + i, mask=i % 2 == 1), mask=i % 3 == 0)


@triton.jit
def one_for_all(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + i, tl.load(x + n + i * 0))


@triton.jit
def every_second(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + i * 2, tl.load(x + i * 2))


@triton.jit
def stride_at_run_time(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + i * s, tl.load(x + i * s))


@triton.jit
def reversed_order(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + 255 - i, tl.load(x + 255 - i))


@triton.jit
def around(x, out, n, s):
    i = tl.arange(0, 256)
    tl.store(out + i, tl.load(x + (i + s) % n))


@triton.jit
def looked_up(x, out, n, s):
    i = tl.arange(0, 256)
    j = tl.load(x + i).to(tl.int32)
    tl.store(out + j, tl.load(x + j))


@pytest.mark.parametrize(
    ("kernel", "load", "store"),
    [
        (plain, ("vector", "none"), ("vector", "none")),
        (bounded, ("vector", "bound"), ("vector", "bound")),
        (two_sided, ("vector", "bound"), ("vector", "bound")),
        (odd_lanes, ("vector", "mask"), ("vector", "mask")),
        (one_for_all, ("broadcast", "none"), ("vector", "none")),
        (every_second, ("vector", "none"), ("strided", "none")),
        (stride_at_run_time, ("strided", "none"), ("strided", "none")),
        (reversed_order, ("vector", "none"), ("vector", "none")),
        (around, ("vector", "none"), ("vector", "none")),
        (looked_up, ("gather", "none"), ("gather", "none")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_verdict(kernel: triton.JITFunction, load: tuple[str, str], store: tuple[str, str]) -> None:
    found = accesses(kernel)
    assert ("load", *load) == [a for a in found if a[0] == "load"][-1]
    assert ("store", *store) == [a for a in found if a[0] == "store"][-1]


# --- every element type, every kind of mask -------------------------------------------------------------
@triton.jit
def masked_copy(x, out, mask, B: tl.constexpr):
    i = tl.arange(0, B)
    on = tl.load(mask + i) != 0
    tl.store(out + i, tl.load(x + i, mask=on), mask=on)


@triton.jit
def strided_copy(x, out, read, write, count, B: tl.constexpr):
    i = tl.arange(0, B)
    value = tl.load(x + i * read, mask=i < count)
    tl.store(out + i * write, value, mask=i < count)


@triton.jit
def spread_copy(x, out, mask, READ: tl.constexpr, SHARED: tl.constexpr, B: tl.constexpr):
    i = tl.arange(0, B)
    on = tl.load(mask + i) != 0
    tl.store(out + i, tl.load(x + i // SHARED * READ, mask=on, other=7))


@triton.jit
def far_copy(x, out, base, B: tl.constexpr):
    """Offsets of 64 bits, which do not fit into 32."""
    i = tl.arange(0, B).to(tl.int64) + base
    tl.store(out + (i - base), tl.load(x - base + i))


@triton.jit
def truth(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(out + i, tl.load(x + i) & (i % 3 > 0))


BYTES = [
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def _bits(tensor: torch.Tensor) -> np.ndarray:
    return tensor.view(torch.uint8).numpy()


MASKS = {
    "all": lambda i, n: i >= 0,
    "none": lambda i, n: i < 0,
    "prefix": lambda i, n: i < n // 3,
    "suffix": lambda i, n: i >= n // 3,
    "middle": lambda i, n: (i >= n // 4) & (i < n // 2 + 1),
    "random": lambda i, n: i * 2654435761 % 7 < 3,
}


@pytest.mark.parametrize("size", [1, 4, 64, 256])
@pytest.mark.parametrize("dtype", BYTES, ids=str)
@pytest.mark.parametrize("which", list(MASKS))
def test_masked_copy(which: str, dtype: torch.dtype, size: int) -> None:
    """Nothing is touched where the mask is off; memory before and after stays as it was."""
    width = torch.empty((), dtype=dtype).element_size()
    x = (torch.arange((size + 64) * width) * 37 % 100).to(torch.uint8).view(dtype)
    out = (torch.arange((size + 64) * width) % 90 + 1).to(torch.uint8).view(dtype)
    mask = MASKS[which](torch.arange(size), size)
    expected = _bits(out).reshape(-1, width).copy()
    expected[32 : 32 + size][mask.numpy()] = _bits(x).reshape(-1, width)[32 : 32 + size][mask.numpy()]
    masked_copy[(1,)](x[32:], out[32:], mask.to(torch.int8), size)
    np.testing.assert_array_equal(_bits(out).reshape(-1, width), expected)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.float32, torch.int64], ids=str)
@pytest.mark.parametrize("read", [-3, -1, 0, 1, 2, 5])
@pytest.mark.parametrize("write", [-2, -1, 1, 3])
def test_strided_copy(read: int, write: int, dtype: torch.dtype) -> None:
    size, count = 64, 50
    x = (torch.arange(1024) % 100).to(dtype)
    out = torch.zeros(1024, dtype=dtype)
    expected = out.clone()
    i = torch.arange(count)
    expected[512 + i * write] = x[512 + i * read]
    strided_copy[(1,)](x[512:], out[512:], read, write, count, size)
    assert torch.equal(out, expected)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.float32, torch.int64], ids=str)
@pytest.mark.parametrize(("read", "shared"), [(-3, 1), (-1, 1), (2, 1), (3, 1), (4, 1), (1, 2)])
@pytest.mark.parametrize("which", list(MASKS))
def test_constant_distances_under_a_mask(which: str, read: int, shared: int, dtype: torch.dtype) -> None:
    size = 64
    x, out = (torch.arange(1024) % 100).to(dtype), torch.zeros(size, dtype=dtype)
    mask = MASKS[which](torch.arange(size), size)
    spread_copy[(1,)](x[512:], out, mask.to(torch.int8), read, shared, size)
    i = torch.arange(size) // shared * read + 512
    assert torch.equal(out, torch.where(mask, x[i], torch.tensor(7, dtype=dtype)))


def test_elements_that_are_off_are_not_touched() -> None:
    """The last element that is on is the last byte before a page that must not be read."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    x = torch.frombuffer(memory, dtype=torch.float32, count=page // 4)
    x.copy_(torch.arange(page // 4))
    libc = ctypes.CDLL(None, use_errno=True)
    protect = libc.mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(start + page, page, 0) == 0
    try:
        for read in (2, 3, -2):
            size, on = 64, 21
            out = torch.zeros(size)
            mask = (torch.arange(size) < on).to(torch.int8)
            first = 0 if read < 0 else x.numel() - 1 - (on - 1) * read
            begin = x[(on - 1) * -read :] if read < 0 else x[first:]
            spread_copy[(1,)](begin, out, mask, read, 1, size)
            expected = torch.arange(on) * float(read) + int(begin.storage_offset())
            assert torch.equal(out[:on], expected)
    finally:
        assert protect(start + page, page, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("base", [0, 1 << 31, -(1 << 33), (1 << 40) + 5])
def test_offsets_of_64_bits(base: int) -> None:
    x, out = torch.arange(64.0), torch.zeros(64)
    far_copy[(1,)](x, out, base, 64)
    assert torch.equal(out, x)


@pytest.mark.parametrize("size", [1, 8, 128])
def test_tiles_of_truth_values(size: int) -> None:
    x = torch.arange(size) % 2 == 0
    out = torch.zeros(size, dtype=torch.bool)
    truth[(1,)](x, out, size)
    assert torch.equal(out, x & (torch.arange(size) % 3 > 0))
