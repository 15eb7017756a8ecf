"""Grids over threads: every program once, ids right, arenas private, failures reported."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime import handwritten

from anychip.runtime import launch, native
from anychip.runtime.errors import ArgumentError, DeviceAssertion
from anychip.runtime.slots import Slot

POINTER, INT = Slot.POINTER, Slot.INT

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(scope="module")
def visit():
    kernel = handwritten.function("visit", handwritten.VISIT, ("!tt.ptr<i64>", "!tt.ptr<i64>"))
    call = launch.launcher((POINTER, POINTER), kernel.arg_types, "visit")

    def run(*grid: int) -> tuple[torch.Tensor, torch.Tensor]:
        total = grid[0] * grid[1] * grid[2]
        counts, threads = torch.zeros(2, total, dtype=torch.int64)
        call(*grid, 0, kernel.address, None, None, None, None, counts, threads)
        return counts, threads

    made: Any = run
    made.record = kernel.record
    made.keep = kernel
    return made


@pytest.fixture(scope="module")
def tally():
    kernel = handwritten.function("tally", handwritten.TALLY, ("!tt.ptr<i64>",))
    call = launch.launcher((POINTER,), kernel.arg_types, "tally")

    def run(*grid: int) -> list[int]:
        out = torch.zeros(4, dtype=torch.int64)
        call(*grid, 0, kernel.address, None, None, None, None, out)
        return out.tolist()

    made: Any = run
    made.keep = kernel
    return made


@given(
    grid=st.tuples(*[st.integers(1, 40)] * 3),
    estimate=st.sampled_from([0, 1, 10**6, 10**9]),
    grain=st.sampled_from([0, 1, 7, 4096]),
)
@settings(max_examples=60, deadline=None)
def test_every_program_runs_once_whatever_time_was_expected(visit, grid, estimate, grain):
    visit.record.picoseconds, visit.record.grain = estimate, grain
    try:
        counts, threads = visit(*grid)
    finally:
        visit.record.grain = 0
    assert counts.eq(1).all()
    if grain > counts.numel() // 2:
        assert len(threads.unique()) == 1, "a thread takes a grain at least"


def test_program_ids_are_64_bits_wide(tally):
    extent = (1 << 31) - 1
    assert tally(extent, 4, 1) == [4 * extent, extent, 4, 1]
    assert tally(1, extent, 1 << 20) == [extent << 20, 1, extent, 1 << 20]


@pytest.mark.parametrize("grid", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0)])
def test_a_grid_without_programs_runs_nothing(tally, grid):
    assert tally(*grid) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((-1, 1, 1), "grid x is -1"),
        ((1, 1 << 31, 1), "grid y is 2147483648"),
        ((1, 1, 2.0), "grid z is 2.0"),
        (((1 << 31) - 1,) * 3, "2\\^63 program instances"),
    ],
)
def test_impossible_grids_are_refused(tally, grid, message):
    with pytest.raises(ArgumentError, match=message):
        tally(*grid)


def test_threads_are_pytorchs(visit):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        visit.record.picoseconds = 10**9
        assert 1 <= visit(4096, 1, 1)[1].unique().numel() <= 3
        torch.set_num_threads(1)
        visit.record.picoseconds = 10**9
        assert visit(4096, 1, 1)[1].unique().tolist() == [threading.main_thread().ident]
    finally:
        torch.set_num_threads(before)


def test_a_launch_inside_a_parallel_region_stays_on_its_thread(visit):
    runtime = native.state()
    inside = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
    before = runtime.state.in_team
    runtime.state.in_team = ctypes.cast(inside, ctypes.c_void_p).value
    try:
        visit.record.picoseconds = 10**9
        assert visit(4096, 1, 1)[1].unique().numel() == 1
    finally:
        runtime.state.in_team = before


def test_arenas_are_private_to_threads_and_launches():
    kernel = handwritten.function(
        "scratch", handwritten.SCRATCH, ("!tt.ptr<i64>", "i64"), arena_bytes=1024 * 8
    )
    call = launch.launcher((POINTER, INT), kernel.arg_types, "scratch")
    errors = torch.zeros(8, dtype=torch.int64)

    def many(index: int) -> None:
        for step in range(40):
            tag = (index * 100 + step) << 32
            call(64, 1, 1, 0, kernel.address, None, None, None, None, errors[index], tag)

    threads = [threading.Thread(target=many, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors.tolist() == [0] * 8
    assert kernel.record.launches == 8 * 40


def test_scratch_memory_stays_bounded_and_can_be_given_back():
    kernel = handwritten.function("big", handwritten.TALLY, ("!tt.ptr<i64>",), arena_bytes=1 << 20)
    call = launch.launcher((POINTER,), kernel.arg_types, "big")
    out = torch.zeros(4, dtype=torch.int64)
    runtime = native.state()
    for _ in range(3):
        call(1000, 1, 1, 0, kernel.address, None, None, None, None, out)
    held = runtime.state.arena_bytes
    for _ in range(500):
        call(1000, 1, 1, 0, kernel.address, None, None, None, None, out)
    assert runtime.state.arena_bytes == held
    assert runtime.state.arena_bytes_peak >= 1 << 20
    runtime.trim()
    assert runtime.state.arena_bytes == 0
    call(1000, 1, 1, 0, kernel.address, None, None, None, None, out)
    assert out[0] == 504 * 1000


def test_scratch_memory_that_cannot_be_had_is_an_error():
    kernel = handwritten.function("huge", handwritten.TALLY, ("!tt.ptr<i64>",), arena_bytes=1 << 60)
    call = launch.launcher((POINTER,), kernel.arg_types, "huge")
    out = torch.zeros(4, dtype=torch.int64)
    held = native.state().state.arena_bytes
    with pytest.raises(MemoryError, match="huge"):
        call(1, 1, 1, 0, kernel.address, None, None, None, None, out)
    assert native.state().state.arena_bytes <= held
    assert out[0] == 0


@pytest.mark.parametrize(("grid", "bad"), [(1, 0), (100, 57), (100_000, 99_999)])
def test_a_failed_assertion_names_kernel_message_and_program(grid, bad):
    kernel = handwritten.function("checked", handwritten.ASSERT, ("i64",), messages=("first", "x > 0"))
    call = launch.launcher((INT,), kernel.arg_types, "checked")
    for _ in range(3):
        with pytest.raises(DeviceAssertion, match=r"checked.*x > 0") as raised:
            call(grid, 1, 1, 0, kernel.address, None, None, None, None, bad)
        assert raised.value.program_id == (bad, 0, 0)
        assert isinstance(raised.value, RuntimeError)
        call(grid, 1, 1, 0, kernel.address, None, None, None, None, -1)


def test_a_forked_child_launches_on_threads_of_its_own(visit):
    visit.record.picoseconds = 10**9
    visit(1000, 1, 1)
    child = os.fork()
    if child == 0:
        try:
            visit.record.picoseconds = 10**9
            for _ in range(20):
                counts, _ = visit(1000, 1, 1)
                if not counts.eq(1).all():
                    os._exit(1)
            os._exit(0)
        finally:
            os._exit(2)
    timer = threading.Timer(60, os.kill, (child, 9))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    assert visit(1000, 1, 1)[0].eq(1).all()


def test_our_own_pool_serves_processes_without_openmp(visit):
    runtime = native.state()
    before = runtime.state.run_team
    runtime.state.run_team = None
    try:
        for _ in range(20):
            visit.record.picoseconds = 10**9
            counts, _ = visit(1000, 1, 1)
            assert counts.eq(1).all()
        threads = [threading.Thread(target=lambda: visit(1000, 2, 1)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert runtime.state.pool
    finally:
        runtime.state.run_team = before
