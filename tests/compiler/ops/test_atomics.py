"""Atomics on every type they are defined for, as tiles and as scalars: masked, with colliding addresses, with
results used, from many programs at once; compare-and-swap as a lock."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

KINDS = ["add", "max", "min", "and", "or", "xor", "xchg"]
INTEGERS = ["int32", "int64", "uint32", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@triton.jit
def update(pointer, value, mask, KIND: tl.constexpr):
    if KIND == "add":
        old = tl.atomic_add(pointer, value, mask=mask)
    elif KIND == "max":
        old = tl.atomic_max(pointer, value, mask=mask)
    elif KIND == "min":
        old = tl.atomic_min(pointer, value, mask=mask)
    elif KIND == "and":
        old = tl.atomic_and(pointer, value, mask=mask)
    elif KIND == "or":
        old = tl.atomic_or(pointer, value, mask=mask)
    elif KIND == "xor":
        old = tl.atomic_xor(pointer, value, mask=mask)
    else:
        old = tl.atomic_xchg(pointer, value, mask=mask)
    return old


@triton.jit
def tile(p, values, places, keep, old, B: tl.constexpr, KIND: tl.constexpr):
    i = tl.arange(0, B)
    before = update(p + tl.load(places + i), tl.load(values + i), tl.load(keep + i) != 0, KIND)
    tl.store(old + i, before, mask=tl.load(keep + i) != 0)


@triton.jit
def scalar(p, values, old, keep, KIND: tl.constexpr):
    program = tl.program_id(0)
    on = tl.load(keep + program) != 0
    before = update(p, tl.load(values + program), on, KIND)
    tl.store(old + program, before, mask=on)


@triton.jit
def count_up(p, B: tl.constexpr):
    tl.atomic_add(p + tl.arange(0, B) % 4, 1)


@triton.jit
def swap(p, expected, value, old, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(old + i, tl.atomic_cas(p + i, tl.load(expected + i), tl.load(value + i)))


@triton.jit
def locked(lock, total, B: tl.constexpr):
    """Each program adds to every element of `total` while it holds the lock."""
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    i = tl.arange(0, B)
    tl.store(total + i, tl.load(total + i) + 1)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


REFERENCES = {
    "add": lambda a, b: a + b,
    "max": max,
    "min": min,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "xchg": lambda a, b: b,
}


def _cases() -> list[tuple[str, str]]:
    logic = [(k, t) for k in ("and", "or", "xor") for t in ("int32", "int64")]
    extremes = [(k, t) for k in ("max", "min") for t in [*INTEGERS, "float32", "float64"]]
    other = [("add", t) for t in [*INTEGERS, *FLOATS]] + [
        ("xchg", t) for t in ["int32", "int64", *FLOATS[2:]]
    ]
    return logic + extremes + other


def _numbers(dtype: str, size: int, seed: int) -> torch.Tensor:
    low = 0 if dtype.startswith("u") else -20
    return torch.from_numpy(np.random.default_rng(seed).integers(low, 20, size)).to(getattr(torch, dtype))


@pytest.mark.parametrize(("kind", "dtype"), _cases())
def test_tiles(kind: str, dtype: str) -> None:
    """64 updates of 16 places, in order, some of them masked; each gives what was there before it."""
    rng = np.random.default_rng(3)
    p, values = _numbers(dtype, 16, 1), _numbers(dtype, 64, 2)
    places, keep = rng.integers(0, 16, 64).astype(np.int32), rng.integers(0, 2, 64).astype(np.int8)
    memory, expected_old = p.tolist(), [7] * 64
    for k in range(64):
        if keep[k]:
            expected_old[k] = memory[places[k]]
            memory[places[k]] = REFERENCES[kind](memory[places[k]], values[k].item())
    old = torch.full((64,), 7).to(p.dtype)
    tile[(1,)](p, values, torch.from_numpy(places), torch.from_numpy(keep), old, 64, kind)
    assert p.tolist() == memory
    if not (kind in ("max", "min") and p.is_floating_point()):  # Triton does the signs one after the other
        assert old.tolist() == expected_old


@pytest.mark.parametrize(("kind", "dtype"), _cases())
def test_scalars(kind: str, dtype: str) -> None:
    p, values = _numbers(dtype, 1, 1), _numbers(dtype, 6, 2)
    keep = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.int8)
    expected = p[0].item()
    for k in range(6):
        if keep[k]:
            expected = REFERENCES[kind](expected, values[k].item())
    old = torch.full((6,), 99).to(p.dtype)
    first = p[0].item()
    scalar[(6,)](p, values, old, keep, kind)
    olds = {old[k].item() for k in range(6) if keep[k]}
    assert first in olds
    assert old[~keep.bool()].tolist() == [99, 99]
    if kind != "xchg":
        assert p[0].item() == expected
    else:
        assert p[0].item() in values[keep.bool()].tolist()


@pytest.mark.parametrize("dtype", ["int32", "int64", *FLOATS])
def test_many_programs_at_once(dtype: str) -> None:
    """128 programs and 8 elements each: 4 counters, exact in every type."""
    p = torch.zeros(4, dtype=getattr(torch, dtype))
    count_up[(100,)](p, 8)
    assert p.tolist() == [200] * 4


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_compare_and_swap(dtype: str) -> None:
    p = torch.arange(32).to(getattr(torch, dtype))
    expected, value = p.clone(), p + 100
    expected[::3] += 1
    old = torch.zeros_like(p)
    after = torch.where(expected == p, value, p)
    before = p.clone()
    swap[(1,)](p, expected, value, old, 32)
    assert p.tolist() == after.tolist()
    assert old.tolist() == before.tolist()


def test_a_lock() -> None:
    lock, total = torch.zeros(1, dtype=torch.int32), torch.zeros(64, dtype=torch.int32)
    locked[(200,)](lock, total, 64)
    assert total.tolist() == [200] * 64
    assert lock.item() == 0
