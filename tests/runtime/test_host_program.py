"""What the program around a launch may do: run threads of its own, fork workers, launch for ever."""

from __future__ import annotations

import threading

import torch
from torch.utils.data import DataLoader, Dataset

from anychip.bench.kernels.elementwise import residual, silu_mul
from anychip.ops.attention.flash import attention
from anychip.ops.normalization.softmax import softmax
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
