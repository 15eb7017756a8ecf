"""What a judgement gives: each check with its outcome, times, and a word. Plain data, for records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CHECKS: Mapping[str, str] = {
    "loaded": "the file is executed and has the function",
    "ran": "a call ends with tensors in memory of the call",
    "computed by kernels": "PyTorch's compute operators are refused; launches are counted",
    "right": "results are near PyTorch's in float64, by the bound of the library's own proofs",
    "inputs unchanged": "the memory of inputs is what it was, with the places between elements",
    "replayed": "the call's launches, run by another process, give the same bits",
    "right on hidden inputs": "those launches are right for inputs that the candidate never saw",
    "same bits twice": "they give the same bits again at other addresses, over other garbage",
    "within bounds": "compiled with checks, no access leaves its tensor's memory",
    "right on another instruction set": "compiled for other instruction sets, they are right",
    "right gradients": "where the candidate has gradients, they are right",
    "same launches": "timed calls launch what was checked",
    "right when timed": "results picked at random from the timed calls are right",
    "not under the roof": "no time is less than this machine can do",
    "not under its own kernels": "no time is less than that of the launches alone",
    "fast enough": "the lower bound of the speed is at least what was asked for",
}
"""Name of a check -> what it says, in the order in which they are made."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `outcome`: "passed", "failed", or "not made" (as `detail` says why)."""

    name: str
    outcome: str
    detail: str = ""
    inputs: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds by a clock, all with what an answer costs (`answer`), and the reference's time over
    the candidate's with its bounds (95 %). `kernels`: the launches alone; `roof`: the least that this machine
    can do (0 where it was not measured)."""

    clock: str
    candidate: float
    reference: float
    speed: float
    low: float
    high: float
    rounds: int
    kernels: float
    answer: float
    roof: float

    @property
    def lost(self) -> str:
        """The stage in which most of a call's time above the roof is spent."""
        host = max(self.candidate - self.kernels, 0.0)
        kernels = max(self.kernels - self.answer - self.roof, 0.0)
        return "on the host, before and between launches" if host > kernels else "in the kernels"


@dataclass(slots=True)
class Verdict:
    """The outcome of a judgement."""

    task: str
    dtype: str
    candidate: str
    checks: list[Check] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    times: Times | None = None
    held: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether all checks that were made passed, and the last one was reached."""
        return bool(self.checks) and self.times is not None and self.fault is None

    @property
    def fault(self) -> Check | None:
        """The check that failed."""
        return next((check for check in self.checks if check.outcome == "failed"), None)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        if self.fault is not None:
            where = f" ({self.fault.inputs})" if self.fault.inputs else ""
            return f"refused: {self.fault.name}: {self.fault.detail}{where}"
        if self.times is None:
            return "refused: the judgement did not end"
        times = self.times
        return (
            f"accepted: {times.speed:.2f} times the reference's speed ({times.low:.2f} to {times.high:.2f})"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "task": self.task,
            "dtype": self.dtype,
            "candidate": self.candidate,
            "verdict": "accepted" if self.accepted else "refused",
            "line": self.line,
            "checks": [asdict(check) for check in self.checks],
            "kernels": self.kernels,
            "times": None if self.times is None else asdict(self.times) | {"lost": self.times.lost},
            "confinement": dict(self.held),
        }
