"""A whole model by PyTorch's operators and by portable kernels under the strict policy.

Flows in: a callable model and its input. Flows out: times of both, interleaved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

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
