"""The steps of the runs: what each does to one of its items, and how much of the time it may take. Flows in:
a run's name. Flows out: steps in their order, with their items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anychip.bench.llm import FUSED_CASES
from anychip.doctor.diagnosis import diagnose, well
from anychip.ops.registry import operators
from anychip.ops.rooms import everywhere

from . import proofs, speeds, training
from .placing import Place


def doctor(name: str, place: Place) -> dict[str, Any]:
    """The checks of `anychip doctor`, on the machine as it is."""
    checks = diagnose()
    return {"verdict": "passed" if well(checks) else "failed", "checks": [asdict(check) for check in checks]}


@dataclass(frozen=True)
class Step:
    """`until`: the share of the run's time at which the next step begins; `alone`: nothing else may run
    beside an item, whose times count; `limit`: seconds that one item may take."""

    run: Callable[[str, Place], dict[str, Any]]
    items: Callable[[], Sequence[str]]
    until: float
    alone: bool
    limit: float


def _fused_rows() -> list[str]:
    return [fused.name + ("_and_gradients" if fused.backward else "") for fused in FUSED_CASES]


STEPS: dict[str, Step] = {
    "doctor": Step(doctor, lambda: ["machine"], 0.15, True, 60.0),
    "models": Step(speeds.model, lambda: list(speeds.MODELS), 0.35, True, 60.0),
    "operators": Step(proofs.operator, lambda: sorted(operators()), 0.6, False, 45.0),
    "fused": Step(proofs.fused_operator, lambda: sorted(everywhere()), 0.75, False, 45.0),
    "bench ops": Step(speeds.operator, speeds.sampled, 0.9, True, 20.0),
    "bench llm": Step(speeds.fused_operator, _fused_rows, 1.0, True, 20.0),
    "training": Step(training.step, lambda: list(training.MODELS), 0.7, True, 90.0),
    "mixed ranks": Step(training.mixed, lambda: ["llama"], 1.0, True, 90.0),
}

RUNS: dict[str, tuple[str, ...]] = {
    "inference": ("doctor", "models", "operators", "fused", "bench ops", "bench llm"),
    "training": ("doctor", "training", "mixed ranks"),
}
"""The runs, and their steps in order. What says most comes first."""
