"""What the program around a launch may do: run threads of its own, fork workers, launch for ever."""

from __future__ import annotations

import os
import signal
import threading

import torch
from torch.utils.data import DataLoader, Dataset

from anychip.bench.kernels.elementwise import residual, silu_mul
from anychip.ops.attention.flash import attention
from anychip.ops.normalization.softmax import softmax
from anychip.pytorch.policy import disabled
from anychip.runtime import launches, native


class Halves(Dataset[torch.Tensor]):
    """Item i is computed by a kernel: i + i / 2, a thousand times."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        value = torch.full((50_000,), float(index))
        return residual(value, value)


def test_data_loaders_workers_launch() -> None:
    """They are forked from a process that has launched on all its threads."""
    Halves()[1]
    batches = list(
        DataLoader(Halves(), batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=60)
    )
    expected = torch.arange(12.0).view(3, 4) * 1.5
    for batch, wanted in zip(batches, expected, strict=True):
        torch.testing.assert_close(batch, wanted[:, None].expand(4, 50_000), rtol=0, atol=0)


def test_a_forked_server_computes_by_pytorchs_operators_too() -> None:
    """Servers load a model, warm it up and fork their workers, which call it. GNU OpenMP waits for ever for
    threads that the child does not have, so PyTorch's own operators must not ask it for any."""
    Halves()[1]
    value, weight = torch.ones(2000, 1000), torch.ones(1000, 300)
    child = os.fork()
    if child == 0:
        right = False
        try:
            with disabled():
                right = value.sum().item() == 2e6 and bool((value @ weight).eq(1000).all())
            right = right and bool(residual(value, value).eq(1.5).all())
        finally:
            os._exit(0 if right else 1)
    timer = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_of_the_program_launch_at_once() -> None:
    """Each one on its own data, the same kernels, with scratch memory."""
    softmax(torch.zeros(64, 300), 1, False)
    wrong: list[int] = []
    before = launches.count("softmax_kernel")

    def work(number: int) -> None:
        x = torch.randn(64, 300, generator=torch.Generator().manual_seed(number))
        expected = softmax(x, 1, False)
        for _ in range(50):
            if not torch.equal(softmax(x, 1, False), expected):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()
    assert wrong == []
    assert launches.count("softmax_kernel") == before + 4 * 51


def test_launches_in_a_steady_state_allocate_no_scratch_memory() -> None:
    q = torch.randn(1, 2, 100, 32)
    x = torch.randn(128, 128)

    def step() -> None:
        attention(q, q, q)
        softmax(x, 1, False)
        silu_mul(x, x)

    for _ in range(3):
        step()
    state = native.state().state
    held, peak = state.arena_bytes, state.arena_bytes_peak
    assert held > 0
    for _ in range(200):
        step()
    assert (state.arena_bytes, state.arena_bytes_peak) == (held, peak)
