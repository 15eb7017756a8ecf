"""Ctrl-C ends a launch, whatever it does, and the process goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from tests.triton_backend import waiting_kernels as kernels

from anychip.runtime import native
from anychip.triton_backend import activate

DELAY = 0.15


@pytest.fixture(autouse=True)
def cpu():
    activate()


@pytest.fixture(params=["threads", "one thread"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(before if request.param == "threads" else 1)
    yield
    torch.set_num_threads(before)


@contextmanager
def sigint() -> Iterator[None]:
    """SIGINT to the process after a while."""
    sender = threading.Timer(DELAY, lambda: os.kill(os.getpid(), signal.SIGINT))
    sender.start()
    try:
        yield
    finally:
        sender.join()


@pytest.fixture
def endless():
    """Kernels that do not end by themselves, compiled."""
    out, flag = torch.zeros(64), torch.ones(1, dtype=torch.int32)
    kernels.run_on[(1,)](out, 0)
    kernels.stuck[(1,)](flag)
    kernels.many_steps[(1,)](out, 1)
    flag.zero_()
    return {
        "a loop": lambda: kernels.run_on[(1,)](out, 1),
        "loops": lambda: kernels.run_on[(40,)](out, 1),
        "a program that waits": lambda: kernels.stuck[(1,)](flag),
        "programs that wait": lambda: kernels.stuck[(1000,)](flag),
        "many programs": lambda: kernels.many_steps[(1 << 30,)](out, 20_000),
    }


@pytest.mark.parametrize(
    "kind", ["a loop", "loops", "a program that waits", "programs that wait", "many programs"]
)
def test_a_launch_is_ended_and_the_next_one_is_right(threads, endless, kind: str):
    with sigint(), pytest.raises(KeyboardInterrupt):
        endless[kind]()
    before = native.state().state.arena_bytes
    count = torch.zeros(1, dtype=torch.int32)
    kernels.ticket_lock[(100,)](count, torch.zeros_like(count), torch.zeros(101, dtype=torch.int32))
    assert count.item() == 100
    assert native.state().state.arena_bytes == before
    assert not native.state().state.current


@pytest.fixture
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield lambda function: signal.signal(signal.SIGINT, function)
    signal.signal(signal.SIGINT, before)


def test_a_handler_that_raises_nothing_lets_the_launch_go_on(endless, handler):
    seen: list[int] = []
    handler(lambda number, frame: seen.append(number))
    counts = torch.zeros(1088, dtype=torch.int32)
    steps = 2000
    with sigint():
        while True:
            counts.zero_()
            steps *= 2
            kernels.count_programs[(20_000,)](counts, steps)
            if seen:
                break
    assert seen == [signal.SIGINT]
    assert counts[:1024].sum() == 20_000


def test_what_a_handler_raises_comes_out_of_the_launch(endless, handler):
    def give_up(number, frame):
        raise RuntimeError("gave up")

    handler(give_up)
    with sigint(), pytest.raises(RuntimeError, match="gave up"):
        endless["loops"]()


def test_signals_that_are_ignored_stay_ignored(handler):
    handler(signal.SIG_IGN)
    count = torch.zeros(1, dtype=torch.int32)
    kernels.ticket_lock[(100,)](count, torch.zeros_like(count), torch.zeros(101, dtype=torch.int32))
    os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_threads_of_our_own_and_a_replayed_list():
    """Without OpenMP; and a launch list that is replayed is ended like a launch."""
    command = [sys.executable, "-m", "tests.triton_backend.interrupted_process"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["interrupted"] * 3 + ["right"]
