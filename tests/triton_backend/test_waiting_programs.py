"""Kernels whose programs wait for each other end with the right result, whatever grid and threads."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch
from tests.triton_backend import waiting_kernels as kernels

import anychip
from anychip.runtime import launches, native
from anychip.runtime.errors import DeviceAssertion, TooManyPrograms
from anychip.triton_backend import activate

GRIDS = (1, 2, 33, 1000, 4096)


@pytest.fixture(autouse=True)
def cpu():
    activate()


@pytest.fixture(params=["threads", "one thread"])
def threads(request):
    """The team's size: a program must get its turn also where there is one thread for all."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if request.param == "threads" else 1)
    yield
    torch.set_num_threads(before)


def integers(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int32)


def barrier_sum(programs: int, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(2, programs)
    kernels.barrier_sum[(programs,)](x, torch.zeros(programs), out, integers(1), programs, WIDTH=16, MOST=64)
    return out


@pytest.mark.parametrize("programs", GRIDS)
def test_grid_barrier(threads, programs):
    x = torch.randint(-9, 9, (programs, 16)).float()
    before = launches.count("barrier_sum")
    total, rows = barrier_sum(programs, x)
    assert launches.count("barrier_sum") == before + 1
    assert total.eq(x.sum()).all()
    assert torch.equal(rows, x.sum(1)), "what was read before the wait is used after it"


@pytest.mark.parametrize("programs", [1, 2, 33])
def test_barrier_with_sense_reversal(threads, programs):
    rounds = 20
    values = integers(rounds + 1, programs)
    values[0] = torch.arange(programs)
    kernels.sense_reversal[(programs,)](values, integers(1), integers(1), rounds, programs)
    for r in range(rounds + 1):
        assert torch.equal(values[r], (torch.arange(programs, dtype=torch.int32) + r) % programs + r)


@pytest.mark.parametrize("programs", [2, 1000])
def test_spin_lock(threads, programs):
    total, order = integers(64), integers(programs)
    kernels.spin_lock[(programs,)](integers(1), total, order, WIDTH=64)
    assert total.eq(programs).all()
    assert sorted(order.tolist()) == list(range(programs))


def test_ticket_lock(threads):
    log = integers(501)
    kernels.ticket_lock[(500,)](integers(1), integers(1), log)
    assert torch.equal(log.long(), torch.arange(501).cumsum(0))


@pytest.mark.parametrize("programs", [2, 700])
def test_flags_from_the_last_program_to_the_first(threads, programs):
    data, out = integers(programs + 1, 16), integers(programs, 16)
    kernels.chain[(programs,)](integers(programs), data, out, programs)
    steps = torch.arange(programs, -1, -1, dtype=torch.int32)
    assert torch.equal(data, steps[:, None].expand(-1, 16))
    assert torch.equal(out, data[1:]), "the tile read before the wait is the old one"


def test_stream_k(threads):
    a, b = torch.randint(-4, 4, (128, 256)).float(), torch.randint(-4, 4, (256, 32)).float()
    c = torch.full((128, 32), float("nan"))
    split, rows = 4, 32
    programs = 128 // rows * split
    partial = torch.zeros(programs, rows, 32)
    kernels.stream_k[(programs,)](a, b, c, partial, integers(programs), 256, SPLIT=split, M=rows, N=32, BK=32)
    assert torch.equal(c, a @ b)


def test_programs_that_do_not_wait_are_not_limited():
    out = torch.zeros(300, dtype=torch.int32)
    kernels.persistent[(5000,)](integers(1), out, 300)
    assert torch.equal(out, torch.arange(300, dtype=torch.int32))
    x, total = torch.ones(5000, 16), torch.zeros(1)
    kernels.last_block[(5000,)](x, torch.zeros(5000), integers(1), total, 5000, WIDTH=16, MOST=8192)
    assert total.item() == 5000 * 16
    values = torch.arange(0, 3000, 3, dtype=torch.int32)
    wanted = torch.arange(5000, dtype=torch.int32)
    found = integers(5000)
    kernels.search[(5000,)](values, wanted, found, 1000)
    assert torch.equal(found.long(), torch.searchsorted(values, wanted))
    keys = torch.randperm(6000)[:5000].int()
    table = torch.full((8192,), -1, dtype=torch.int32)
    kernels.insert[(5000,)](table, keys, integers(5000), SIZE=8192)
    assert torch.equal(table[table >= 0].sort().values, keys.sort().values)


def test_too_many_programs_are_refused_before_any_runs():
    count = integers(1)
    with pytest.raises(
        TooManyPrograms, match=r"waiting_kernels.py:\d+.* 5000 programs, at most 4096"
    ) as raised:
        kernels.barrier_sum[(50, 100)](
            torch.zeros(1), torch.zeros(1), torch.zeros(1), count, 5000, WIDTH=16, MOST=64
        )
    assert count.item() == 0
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_failed_assertion_ends_those_who_wait(threads):
    with pytest.raises(DeviceAssertion, match="bad program") as raised:
        kernels.checked_barrier[(40,)](integers(1), integers(1), 7, 40, debug=True)
    assert raised.value.program_id == (7, 0, 0)
    assert barrier_sum(3, torch.ones(3, 16))[0].eq(48).all()


def test_scratch_memory_is_given_back():
    before = native.state().state.arena_bytes
    barrier_sum(1000, torch.ones(1000, 16))
    assert native.state().state.arena_bytes == before


def test_capture_and_replay():
    def total(x: torch.Tensor) -> torch.Tensor:
        out, count = x.new_zeros(2, 33), x.new_zeros(1, dtype=torch.int32)
        kernels.barrier_sum[(33,)](x, x.new_zeros(33), out, count, 33, WIDTH=16, MOST=64)
        return out[0]

    program = anychip.capture(total, torch.ones(33, 16))
    for value in (1.0, 3.0):
        assert program(torch.full((33, 16), value)).eq(33 * 16 * value).all()


def test_own_threads_and_printing():
    """A process without OpenMP has threads of the runtime's own; each program prints when all have come."""
    command = [sys.executable, "-m", "tests.triton_backend.waiting_process"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    printed = sorted(int(line.split()[-1]) for line in lines if "passed" in line)
    assert printed == list(range(40))
    assert last == "own threads True 40"
