"""What a trace costs: processor time of a model's runs with a trace over that without one, interleaved, on
one thread.

    python -m tools.debugging.overhead

Prints one line for each model and policy.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

import anychip
from anychip.debug.bisect.trace_file import Writer
from anychip.debug.bisect.tracing import Tracer, tracing
from anychip.triton_backend import activate

ROUNDS = 3
LEAST = 0.25
"""Seconds that one measurement takes at least."""


def transformer() -> Callable[[], Any]:
    """A layer of a transformer, forward and backward: 4 sequences of 64, 256 wide."""
    model, x = (
        nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True),
        torch.randn(4, 64, 256),
    )
    return lambda: model(x).square().mean().backward()


def convolutional() -> Callable[[], Any]:
    """Convolutions of 64 channels over 8 images of 32 x 32, forward."""
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    x = torch.randn(8, 3, 32, 32)
    return lambda: model(x)


def perceptron() -> Callable[[], Any]:
    """Three layers of 512 for a batch of 128, forward and backward."""
    model = nn.Sequential(*(layer for _ in range(3) for layer in (nn.Linear(512, 512), nn.GELU())))
    x = torch.randn(128, 512)
    return lambda: model(x).square().mean().backward()


def recurrent() -> Callable[[], Any]:
    """Twenty steps of a gated cell, 64 sequences, 256 wide, forward."""
    cell, x = nn.GRUCell(256, 256), torch.randn(20, 64, 256)

    def run() -> torch.Tensor:
        state = torch.zeros(64, 256)
        for step in x:
            state = cell(step, state)
        return state

    return torch.no_grad()(run)


def halves() -> Callable[[], Any]:
    """A gated layer in bfloat16, 128 rows, 512 and 1536 wide, forward."""
    gate, up, down = (nn.Linear(*size).bfloat16() for size in ((512, 1536), (512, 1536), (1536, 512)))
    x = torch.randn(128, 512).bfloat16()
    return torch.no_grad()(lambda: down(nn.functional.silu(gate(x)) * up(x)))


def training() -> Callable[[], Any]:
    """A step of AdamW on a classifier of 784, 512 and 10 for a batch of 128."""
    model, x = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)), torch.randn(128, 784)
    optimizer, wanted = torch.optim.AdamW(model.parameters(), foreach=False), torch.arange(128) % 10

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), wanted).backward()
        optimizer.step()

    return run


MODELS = (transformer, convolutional, perceptron, recurrent, halves, training)


def processor_time(what: Callable[[], Any]) -> float:
    """Seconds of processor time that a call takes."""
    start = time.process_time()
    what()
    return time.process_time() - start


def measure(run: Callable[[], Any], file: Path) -> tuple[float, float, int, int]:
    """Seconds of a run without a trace, the ratio with one, steps of a run, and bytes of 1,000 steps. A
    program of many runs is traced, as weights are read once in a program."""
    count = 0

    def traced(number: int) -> None:
        writer = Writer(file, {})

        def sink(step: Any) -> None:
            nonlocal count
            count += 1
            writer.step(step)

        with tracing(Tracer(sink)):
            plain(number)
        writer.close()

    def plain(number: int) -> None:
        for _ in range(number):
            run()

    plain(1)
    traced(1)
    steps = count
    number = max(2, int(LEAST / max(processor_time(lambda: plain(2)) / 2, 1e-3)))
    ratios, least = [], []
    for _ in range(ROUNDS):
        before = processor_time(lambda: plain(number))
        during = processor_time(lambda: traced(number))
        after = processor_time(lambda: plain(number))
        ratios.append(during / (before + after) * 2)
        least.append(min(before, after) / number)
    lines = len(file.read_text(encoding="utf-8").splitlines()) - 2
    return min(least), statistics.median(ratios), steps, file.stat().st_size * 1000 // lines


def main() -> None:
    """Measure and print."""
    activate()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for make in MODELS:
            for policy in ("none", "portable"):
                with nullcontext() if policy == "none" else anychip.using("portable"):
                    plain, ratio, steps, size = measure(make(), Path(folder) / "run.trace")
                print(
                    f"{make.__name__}, {policy}: {1e3 * plain:.1f} ms plain, {ratio:.2f} times with a trace, "
                    f"{steps} steps, {size} bytes for 1,000 steps",
                    flush=True,
                )


if __name__ == "__main__":
    main()
