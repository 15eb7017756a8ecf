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

ROUNDS = 5
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


def seconds(run: Callable[[], Any], number: int) -> float:
    """Processor time of one run, of `number`."""
    start = time.process_time()
    for _ in range(number):
        run()
    return (time.process_time() - start) / number


def measure(run: Callable[[], Any], file: Path) -> tuple[float, float, int, int]:
    """Seconds without a trace, the ratio with one, steps of a run, and bytes of 1,000 steps."""
    writer = Writer(file, {})
    count = 0

    def sink(step: Any) -> None:
        nonlocal count
        count += 1
        writer.step(step)

    def traced() -> None:
        with tracing(Tracer(sink)):
            run()

    run()
    traced()
    steps, size = count, file.stat().st_size
    number = max(2, int(LEAST / max(seconds(run, 2), 1e-3)))
    ratios, plain = [], []
    for _ in range(ROUNDS):
        plain.append(seconds(run, number))
        ratios.append(seconds(traced, number) / plain[-1])
    writer.close()
    return (
        statistics.median(plain),
        statistics.median(ratios),
        steps,
        file.stat().st_size * 1000 // count or size,
    )


def main() -> None:
    """Measure and print."""
    activate()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for make in (transformer, convolutional, perceptron):
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
