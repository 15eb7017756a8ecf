"""Which arguments kernels read and write, on the TTIR of real kernels and of hand-written ones."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl

from anychip.compiler.analysis.arguments import ArgumentEffects, argument_effects
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse
from anychip.runtime import launches


@triton.jit
def copy(out, source, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + lane, tl.load(source + lane))


@triton.jit
def count(total, source, lock):
    tl.atomic_add(total, tl.load(source))
    tl.atomic_cas(lock, 1, 0)


@triton.jit
def walk(out, source, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    here = source + lane
    there = out + lane
    for _ in range(n):
        tl.store(there, tl.load(here))
        here += BLOCK
        there += BLOCK


@triton.jit
def swap(a, b, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    first = a + lane
    second = b + lane
    for _ in range(n):
        tl.store(first, 1.0)
        kept = first
        first = second
        second = kept


@triton.jit
def choose(a, b, c, flag):
    if flag > 0:
        target = a
    else:
        target = b
    tl.store(target, tl.load(c))


@triton.jit(noinline=True)
def put(pointer, value):
    tl.store(pointer, value)


@triton.jit
def by_call(a, b):
    put(b, tl.load(a))


@triton.jit
def early(a, b, n):
    if tl.program_id(0) >= n:
        return
    tl.store(a, tl.load(b))


@triton.jit
def untouched(a, b):
    tl.store(a, 1.0)


@triton.jit
def from_integer(a, address):
    tl.store(a, tl.load(address.to(tl.pointer_type(tl.float32))))


F = torch.float32
CASES = {
    "copy": (copy, lambda x, y, i: (x, y, 8), {0: "w", 1: "r"}),
    "atomics": (count, lambda x, y, i: (x, y, i), {0: "rw", 1: "r", 2: "rw"}),
    "loop": (walk, lambda x, y, i: (x, y, 2, 8), {0: "w", 1: "r"}),
    "swapped in a loop": (swap, lambda x, y, i: (x, y, 2, 8), {0: "w", 1: "w"}),
    "chosen": (choose, lambda x, y, i: (x, y, torch.ones(1), 3), {0: "w", 1: "w", 2: "r"}),
    "called": (by_call, lambda x, y, i: (x, y), {0: "r", 1: "w"}),
    "early return": (early, lambda x, y, i: (x, y, 4), {0: "w", 1: "r"}),
    "untouched": (untouched, lambda x, y, i: (x, y), {0: "w"}),
}


def effects(kernel, arguments) -> ArgumentEffects:
    with launches.record() as seen:
        kernel[(1,)](*arguments)
    module = parse(seen[-1].origin.ttir())
    inline_calls(module)
    return argument_effects(module.kernel)


@pytest.mark.parametrize("name", CASES)
def test_effects(name):
    kernel, make, expected = CASES[name]
    found = effects(kernel, make(torch.zeros(32), torch.zeros(32), torch.zeros(4, dtype=torch.int32)))
    assert found.read == {index for index, kinds in expected.items() if "r" in kinds}
    assert found.written == {index for index, kinds in expected.items() if "w" in kinds}
    assert not found.hidden


def test_addresses_made_of_integers_are_seen():
    x, y = torch.zeros(4), torch.zeros(4)
    found = effects(from_integer, (x, y.data_ptr()))
    assert found.hidden
    assert found.written == {0}


@triton.jit
def until(a, b, n):
    k = 0
    pointer = a
    while k < n:
        tl.store(b + k, tl.load(pointer))
        pointer += 1
        k += 1


def test_a_while_loop_keeps_pointers_apart():
    found = effects(until, (torch.zeros(8), torch.zeros(8), 3))
    assert (found.read, found.written) == ({0}, {1})
