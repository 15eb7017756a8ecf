"""Launch lists: slots patched for new addresses, arenas shared by liveness, failures, threads, counts."""

from __future__ import annotations

import gc
import itertools
import threading

import pytest
import torch
from tests.runtime import handwritten

from anychip.runtime import launches, native
from anychip.runtime.errors import DeviceAssertion
from anychip.runtime.program import LaunchList, MemoryBlock, MemoryKind, Pointer, RecordedLaunch

INPUT, OUTPUT, CONSTANT, TEMPORARY = (
    MemoryKind.INPUT,
    MemoryKind.OUTPUT,
    MemoryKind.CONSTANT,
    MemoryKind.TEMPORARY,
)

ADD = """
; out[p] = a[p] + b[p] + scalar over 64-bit integers; one element a program.
SIGNATURE {
entry:
  %out = load ptr, ptr %args
  %a_slot = getelementptr i64, ptr %args, i64 1
  %a = load ptr, ptr %a_slot
  %b_slot = getelementptr i64, ptr %args, i64 2
  %b = load ptr, ptr %b_slot
  %scalar_slot = getelementptr i64, ptr %args, i64 3
  %scalar = load i64, ptr %scalar_slot
  br label %test
test:
  %p = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %p, %last
  br i1 %more, label %body, label %end
body:
  %a_p = getelementptr i64, ptr %a, i64 %p
  %x = load i64, ptr %a_p
  %b_p = getelementptr i64, ptr %b, i64 %p
  %y = load i64, ptr %b_p
  %xy = add i64 %x, %y
  %sum = add i64 %xy, %scalar
  %out_p = getelementptr i64, ptr %out, i64 %p
  store i64 %sum, ptr %out_p
  %next = add i64 %p, 1
  br label %test
end:
  ret void
}
"""

LENGTH = 100
BYTES = 8 * LENGTH


@pytest.fixture(scope="module")
def add():
    return handwritten.function("add_integers", ADD, ("!tt.ptr<i64>",) * 3 + ("i64",))


def step(add, out, a, b, scalar=0, offset=0):
    pointers = (Pointer(0, out, 0, BYTES), Pointer(1, a, offset, BYTES), Pointer(2, b, 0, BYTES))
    return RecordedLaunch(add, (LENGTH, 1, 1), (0, 0, 0, scalar), pointers)


def chain(add, length):
    """out = in + length * weight, through `length - 1` temporaries."""
    weight = torch.arange(LENGTH)
    buffers = [
        MemoryBlock(INPUT, BYTES),
        MemoryBlock(OUTPUT, BYTES),
        MemoryBlock(CONSTANT, BYTES, weight.data_ptr()),
        *[MemoryBlock(TEMPORARY, BYTES)] * (length - 1),
    ]
    places = [0, *range(3, 2 + length), 1]
    recorded = [step(add, after, before, 2) for before, after in itertools.pairwise(places)]
    program = LaunchList(recorded, buffers)
    return program, weight


def test_new_addresses_at_each_replay(add):
    program, weight = chain(add, 1)
    kept = []
    for value in range(5):
        x, out = torch.full((LENGTH,), value), torch.empty(LENGTH, dtype=torch.int64)
        program.replay([x.data_ptr(), out.data_ptr()])
        kept.append((x, out))
    assert all(torch.equal(out, x + weight) for x, out in kept)


def test_constants_are_read_where_they_are(add):
    program, weight = chain(add, 3)
    x, out = torch.zeros(LENGTH, dtype=torch.int64), torch.empty(LENGTH, dtype=torch.int64)
    for factor in (1, 5):
        weight.copy_(factor * torch.arange(LENGTH))
        program.replay([x.data_ptr(), out.data_ptr()])
        assert torch.equal(out, 3 * factor * torch.arange(LENGTH))


def test_temporaries_share_the_arena(add):
    program, weight = chain(add, 20)
    assert program.arena_bytes == 2 * 832
    assert sum(lifetime.size for lifetime in program.lifetimes) == 19 * BYTES
    x, out = torch.ones(LENGTH, dtype=torch.int64), torch.empty(LENGTH, dtype=torch.int64)
    program.replay([x.data_ptr(), out.data_ptr()])
    assert torch.equal(out, 1 + 20 * weight)


def test_offsets_and_scalars(add):
    buffers = [MemoryBlock(INPUT, 2 * BYTES), MemoryBlock(OUTPUT, BYTES)]
    program = LaunchList([step(add, 1, 0, 0, scalar=-7 & (1 << 64) - 1, offset=80)], buffers)
    x, out = torch.arange(2 * LENGTH), torch.empty(LENGTH, dtype=torch.int64)
    program.replay([x.data_ptr(), out.data_ptr()])
    assert torch.equal(out, x[10 : 10 + LENGTH] + x[:LENGTH] - 7)


def test_an_empty_list_does_nothing():
    LaunchList([], []).replay([])
    LaunchList([], [MemoryBlock(INPUT, 8), MemoryBlock(OUTPUT, 8)]).replay([16, 32])


def test_the_wrong_number_of_addresses_is_an_error(add):
    program, _ = chain(add, 1)
    with pytest.raises(IndexError):
        program.replay([1, 2, 3])


def test_a_failed_assertion_names_kernel_and_program(add):
    failing = handwritten.function("checked", handwritten.ASSERT, ("i64",), messages=("first", "x > 0"))
    recorded = [step(add, 1, 0, 0), RecordedLaunch(failing, (10, 1, 1), (3,), ()), step(add, 1, 0, 0, 1)]
    program = LaunchList(recorded, [MemoryBlock(INPUT, BYTES), MemoryBlock(OUTPUT, BYTES)])
    x, out = torch.arange(LENGTH), torch.empty(LENGTH, dtype=torch.int64)
    for _ in range(3):
        with pytest.raises(DeviceAssertion, match=r"checked.*x > 0") as raised:
            program.replay([x.data_ptr(), out.data_ptr()])
        assert raised.value.program_id == (3, 0, 0)
        assert torch.equal(out, 2 * x)


def test_an_arena_that_cannot_be_had_is_an_error(add):
    buffers = [MemoryBlock(INPUT, BYTES), MemoryBlock(OUTPUT, BYTES), MemoryBlock(TEMPORARY, 1 << 60)]
    program = LaunchList([step(add, 2, 0, 0), step(add, 1, 2, 2)], buffers)
    x, out = torch.zeros(2, LENGTH, dtype=torch.int64)
    with pytest.raises(MemoryError, match="arena"):
        program.replay([x.data_ptr(), out.data_ptr()])


def test_launches_are_counted_and_counts_outlive_the_list(add):
    before = launches.count("add_integers")
    program, _ = chain(add, 5)
    x, out = torch.zeros(2, LENGTH, dtype=torch.int64)
    for _ in range(3):
        program.replay([x.data_ptr(), out.data_ptr()])
    assert launches.count("add_integers") == before + 15
    del program
    gc.collect()
    assert launches.count("add_integers") == before + 15


def test_threads_replay_one_list_at_once(add):
    program, weight = chain(add, 12)
    wrong = []

    def work(seed: int) -> None:
        x, out = torch.arange(LENGTH) * seed, torch.empty(LENGTH, dtype=torch.int64)
        for _ in range(300):
            out.fill_(-1)
            program.replay([x.data_ptr(), out.data_ptr()])
            if not torch.equal(out, x + 12 * weight):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_replays_keep_scratch_memory_bounded(add):
    program, _ = chain(add, 12)
    x, out = torch.zeros(2, LENGTH, dtype=torch.int64)
    for _ in range(10):
        program.replay([x.data_ptr(), out.data_ptr()])
    held = native.state().state.arena_bytes
    for _ in range(10_000):
        program.replay([x.data_ptr(), out.data_ptr()])
    assert native.state().state.arena_bytes == held


def test_kernels_are_listed_with_programs_and_bytes(add):
    program, _ = chain(add, 4)
    (row,) = program.kernels()
    assert (row.kernel, row.launches, row.programs, row.flops) == ("add_integers", 4, 4 * LENGTH, None)
    assert row.bytes == 4 * 3 * BYTES
    assert program.constant_bytes == BYTES
