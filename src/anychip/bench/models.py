"""A whole model by PyTorch's operators and by portable kernels under the strict policy.

Flows in: a callable model and its input, such as the demonstration's. Flows out: times of both, interleaved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..demo import minilm
from ..demo.demonstration import demonstrate
from ..demo.sentences import read_sentences, shipped_text
from ..pytorch import using
from .measure import Spread
from .quiet import Watch
from .report import duration


@dataclass(frozen=True, slots=True)
class ModelSpeed:
    """Seconds of both, the ratio eager / ours run by run, and the largest difference of the results."""

    ours: Spread
    eager: Spread
    ratio: Spread
    difference: float
    threads: int
    disturbed: str

    def cells(self) -> list[tuple[str, str]]:
        """Lines of a table."""
        ratio = self.ratio
        return [
            ("ours, median", duration(self.ours.median)),
            ("eager, median", duration(self.eager.median)),
            ("eager / ours (quartiles)", f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"),
            ("largest difference", f"{self.difference:.1e}"),
            ("threads", str(self.threads)),
            ("disturbed", self.disturbed or "no"),
        ]


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What a run of the demonstration's model gave: the TTIR of each kernel with its name, the median
    milliseconds of taking one from the cache in a new process, and the speed of both ways to run it."""

    kernels: Sequence[tuple[str, str]]
    cached_ms: float
    speed: ModelSpeed


def measure(model: Callable[[Any], torch.Tensor], batch: Any, rounds: int) -> ModelSpeed:
    """Time `model(batch)` both ways, in turns. The policy is switched outside of the timed part."""
    expected = model(batch)
    with using("strict"):
        difference = float((model(batch) - expected).abs().max())
        model(batch)
    watch = Watch()
    eager, ours = [], []
    for _ in range(rounds):
        eager.append(_seconds(model, batch))
        with using("strict"):
            ours.append(_seconds(model, batch))
    return ModelSpeed(
        Spread.of(ours),
        Spread.of(eager),
        Spread.of([e / o for e, o in zip(eager, ours, strict=True)]),
        difference,
        torch.get_num_threads(),
        watch.disturbance(),
    )


def _seconds(model: Callable[[Any], torch.Tensor], batch: Any) -> float:
    start = time.perf_counter()
    model(batch)
    return time.perf_counter() - start


def minilm_and_batch(sentences: int) -> tuple[minilm.Embedder, minilm.Batch]:
    """The demonstration's model and one batch of as many of its sentences, from the first again after the
    last."""
    text = read_sentences(shipped_text())
    wanted = [text[k % len(text)] for k in range(sentences)]
    return minilm.load_embedder(torch.float32), minilm.tokenize(wanted, sentences)[0]


def demonstrated() -> ModelRun:
    """The demonstration's kernels, their times from the cache, and the model's speed."""
    found = demonstrate(
        read_sentences(shipped_text()), 32, step=lambda what: None, kernel_ready=lambda name: None
    )
    speed = measure(*minilm_and_batch(32), rounds=15)
    return ModelRun(
        [(made.kernel, made.ttir) for made in found.kernels], found.compiling.cached_median, speed
    )
