"""The whole of a comparison: both sides run and write traces, these are compared, and what is suspicious is
judged on a second run, side B first. Flows in: two sides. Flows out: what was found, and a script that
repeats it alone."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...errors import AnychipError
from . import trace_file
from .comparing import Comparison, Pair, compare
from .judging import FAULT, RIGHT, UNKNOWN, Verdict, judge_by_other
from .script import write
from .session import PROBLEM, TRACE, VERDICTS, Wanted, file_of, steps_of
from .sides import Checkouts, Side
from .trace_file import DRAW, Trace
from .tracing import Captured

SAME, ROUNDING, INPUTS, SUSPECTED = "same", "rounding", "inputs", "suspected"
"""Outcomes beside FAULT: the same bits everywhere; nothing but accumulated rounding; the runs were given
different tensors; steps that are suspicious could not be judged."""


FAR = 64.0
"""Suspicion of a step on equal inputs that no rounding explains."""


class SideFailed(AnychipError):
    """A side's program wrote no trace, or no verdicts."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison found. `side`: whose operator is wrong, "A" or "B", or "A or B" where only the other
    tells. `verdict`: on the step that is wrong, `pair`: that step, or the one that is most apart."""

    outcome: str
    comparison: Comparison
    side: str = ""
    verdict: Verdict | None = None
    pair: Pair | None = None
    judged: tuple[Verdict, ...] = ()
    script: Path | None = None
    reduced: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        pair = self.pair
        return {
            "outcome": self.outcome,
            "side": self.side,
            "step": None if pair is None else [pair.a.number, pair.b.number],
            "operator": None if pair is None else pair.name,
            "distance": None if pair is None else _finite(pair.distance),
            "inputs_distance": None if pair is None else _finite(pair.before),
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "judged": len(self.judged),
            "steps": len(self.comparison.pairs),
            "differing": len(self.comparison.differing),
            "only_a": self.comparison.only_a,
            "only_b": self.comparison.only_b,
            "script": None if self.script is None else str(self.script),
            "reduced": self.reduced,
            "remarks": list(self.remarks),
        }


@dataclass(slots=True)
class _Judged:
    """What a second run of one side said."""

    verdicts: list[Verdict] = field(default_factory=list)
    reduced: dict[str, Any] | None = None
    remarks: list[str] = field(default_factory=list)


class Bisection:
    """A comparison of two sides, whose results go to the folder `into`. `quiet`: the programs' output is
    thrown away. `say` is told what happens now."""

    def __init__(self, a: Side, b: Side, into: Path, *, quiet: bool = False, say: Callable[[str], None]):
        self.sides, self.into, self.quiet, self.say = {"A": a, "B": b}, into, quiet, say
        self.remarks: list[str] = []

    def find(self) -> Report:
        """Run, compare, judge. Raises SideFailed, UnknownSide, UnreadableTrace."""
        self.into.mkdir(parents=True, exist_ok=True)
        with Checkouts() as checkouts, tempfile.TemporaryDirectory(prefix="anychip-bisect-") as temporary:
            self._checkouts, self._temporary = checkouts, Path(temporary)
            return self._found(self._trace("A"), self._trace("B"))

    def _found(self, a: Trace, b: Trace) -> Report:
        comparison = compare(a, b)
        if not comparison.differing and not comparison.only_a and not comparison.only_b:
            return Report(SAME, comparison, remarks=tuple(self.remarks))
        if any(pair.b.kind == DRAW for pair in comparison.differing):
            self.remarks.append(
                "random numbers differ: seed them by `torch.manual_seed`, with one number of threads"
            )
        judged: list[Verdict] = []
        suspects = comparison.suspects()
        for name in ("B", "A"):
            report = self._judge(name, comparison, suspects, judged)
            if report is not None:
                return report
        most = max(comparison.differing, key=lambda pair: pair.distance, default=None)
        worst = max(suspects, key=lambda pair: pair.suspicion, default=most)
        outcome = ROUNDING
        if comparison.inputs:
            outcome, worst = INPUTS, comparison.inputs[0]
        elif any(v.outcome == UNKNOWN for v in judged) or (suspects and not judged):
            outcome = SUSPECTED
        return Report(outcome, comparison, pair=worst, judged=tuple(judged), remarks=tuple(self.remarks))

    def _judge(
        self, name: str, comparison: Comparison, suspects: Sequence[Pair], judged: list[Verdict]
    ) -> Report | None:
        """A report, if a suspect is wrong on this side."""
        side = self.sides[name]
        if side.trace is not None or not suspects:
            return None
        by_number = {(pair.b if name == "B" else pair.a).number: pair for pair in suspects}
        told = self._second(name, by_number)
        for verdict in told.verdicts:
            pair = by_number[verdict.number]
            unsettled = verdict.outcome == UNKNOWN or (verdict.outcome == RIGHT and _far(pair))
            if name == "B" and unsettled and pair.before == 0.0:
                verdict = self._by_other(pair, verdict)
            judged.append(verdict)
            if verdict.outcome == FAULT:
                alone = verdict.number in {v.number for v in told.verdicts if v.outcome == FAULT}
                script = write(
                    self.into, verdict, side if alone else None, told.reduced, file_of(verdict.number)
                )
                return Report(
                    FAULT, comparison, name if alone else "A or B", verdict, pair, tuple(judged), script,
                    told.reduced, tuple(self.remarks),
                )  # fmt: skip
        return None

    def _by_other(self, pair: Pair, verdict: Verdict) -> Verdict:
        """A step of a kernel or a custom operator on side B by what side A gave for the same inputs."""
        ours = self.into / file_of(pair.b.number)
        if self.sides["A"].trace is not None or not ours.exists():
            return verdict
        folder = self._temporary / "other"
        self._second("A", {pair.a.number: pair}, folder)
        theirs = folder / file_of(pair.a.number)
        if not theirs.exists():
            return verdict
        b, a = (torch.load(file, weights_only=False) for file in (ours, theirs))
        captured = Captured(pair.b.number, pair.name, _Tensors(b["tensors"]), b["outputs"])  # type: ignore[arg-type]
        return judge_by_other(captured, a["outputs"], a["moved"])

    # ---- runs -------------------------------------------------------------------------------------

    def _trace(self, name: str) -> Trace:
        side = self.sides[name]
        if side.trace is not None:
            return trace_file.read(side.trace)
        folder = self.into / name.lower()
        self.say(f"{name}: {side.words}")
        self._run(side, folder, Wanted(str(folder.absolute()), chip=side.chip, modules=dict(side.modules)))
        found = trace_file.read(folder / TRACE)
        if not found.whole:
            self.remarks.append(f"the trace of {name} ends early: its process was killed")
        return found

    def _second(self, name: str, wanted: Mapping[int, Pair], folder: Path | None = None) -> _Judged:
        side, folder = self.sides[name], folder or self.into
        self.say(f"{name} again, {len(wanted)} step{'s' * (len(wanted) != 1)} to be judged")
        steps = [pair.b if name == "B" else pair.a for pair in wanted.values()]
        asked = Wanted(
            str(folder.absolute()),
            tuple(sorted(wanted)),
            steps_of(steps),
            tuple(number for number, pair in wanted.items() if _far(pair)),
            side.chip,
            dict(side.modules),
        )
        self._run(side, folder, asked)
        file = folder / VERDICTS
        if not file.exists():
            raise SideFailed(f"the second run of {name} ({side.words}) ended without a verdict")
        told = json.loads(file.read_text(encoding="utf-8"))
        other = sorted({*told["changed"], *told["missing"]})
        if other:
            self.remarks.append(
                f"{name} is not the same twice: steps {other[:5]} gave other bits on its second run, or did "
                "not come; fix its seeds, and OMP_NUM_THREADS"
            )
        verdicts = [
            Verdict(v["step"], v["name"], v["outcome"], v["text"], v["bound"]) for v in told["verdicts"]
        ]
        return _Judged(verdicts, told["reduced"])

    def _run(self, side: Side, folder: Path, wanted: Wanted) -> None:
        """Run a side's program. Raises SideFailed where it was not followed."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in (PROBLEM, VERDICTS, TRACE):
            (folder / name).unlink(missing_ok=True)
        output = subprocess.DEVNULL if self.quiet else None
        done = subprocess.run(
            side.command, env=side.environment_for(wanted.to_json()), cwd=side.folder(self._checkouts),
            stdout=output, check=False,
        )  # fmt: skip
        problem = folder / PROBLEM
        if problem.exists():
            raise SideFailed(f"{side.words}: {problem.read_text(encoding='utf-8')}")
        if not (folder / (VERDICTS if wanted.steps else TRACE)).exists():
            raise SideFailed(
                f"{side.words}: the program (status {done.returncode}) was not followed\n  It never imported "
                "PyTorch, or its Python has no Anychip of this version."
            )
        if done.returncode:
            self.remarks.append(f"{side.words} ended with status {done.returncode}")


def _finite(distance: float) -> float | None:
    """A distance for JSON, which has no infinity: of other shapes, or with more that is not finite."""
    return distance if math.isfinite(distance) else None


def _far(pair: Pair) -> bool:
    """Whether a step is far from the other run's on the same inputs. If it is right by its own process's
    PyTorch all the same, then PyTorch's operators themselves were replaced on one side."""
    return pair.before == 0.0 and pair.suspicion > FAR


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The inputs of a step that another process captured."""

    inputs: list[Any]
