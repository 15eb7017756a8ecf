"""Outcomes of a proof as data that can be written and added up. A trial passed, failed, was not served,
or called nothing that computes; nothing is rounded up."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["passed", "failed", "unserved", "views"]
KINDS = (
    "sample",
    "layout",
    "in-place",
    "out",
    "gradient",
    "gradcheck",
    "reference",
    "error",
    "transposed",
    "expanded",
    "empty",
    "0-d",
    "special",
    "record",
)
"""sample: PyTorch's sample inputs; layout: the same in strided memory; in-place, out: the variants;
gradient: derivatives, against PyTorch's; gradcheck: derivatives, against differences, in float64;
reference: PyTorch's harder inputs; error: wrong input, same kind of error; transposed, expanded, empty, 0-d,
special (NaN and infinities): made of the first samples; record: the samples of the library's own record."""

FAILURES_KEPT = 5
"""Failures that a proof describes; it counts them all."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed trial: its kind, its inputs in words, why, and the overloads that ran in it."""

    kind: str
    inputs: str
    reason: str
    overloads: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """Trials in which an overload ran, by verdict, the kernels that it launched, and how many passed of
    each kind of trial."""

    passed: int = 0
    failed: int = 0
    launches: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Proof:
    """All trials of one subject (an entry of PyTorch's database, or a record) in one dtype."""

    subject: str
    dtype: str
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    overloads: dict[str, Tally] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    unserved: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cut: bool = False
    """Whether the time that it was given ended before its trials did."""
    died: str = ""
    """Why the process that ran it ended, if it did."""
    limit: int | None = None
    """Samples of each maker that were asked for; None: all."""
    budget: float | None = None
    """Processor time in seconds that it was given; None: any."""
    commit: str = ""
    """The commit of the sources that ran, where a campaign says so."""

    def count(self, kind: str, verdict: Verdict) -> None:
        """Add one trial."""
        self.verdicts.setdefault(kind, Counter())[verdict] += 1

    def fail(self, failure: Failure) -> None:
        """Add one failed trial."""
        self.count(failure.kind, "failed")
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)

    def total(self, verdict: Verdict) -> int:
        """Trials with a verdict."""
        return sum(counts[verdict] for counts in self.verdicts.values())

    @property
    def samples(self) -> str:
        """How many samples were tried, in words."""
        if self.cut:
            return f"as many as {self.budget:g} s allowed" if self.budget is not None else "some"
        return "all" if self.limit is None else f"the first {self.limit} of each kind"

    def covers(self, limit: int | None, budget: float | None) -> bool:
        """Whether trying this many samples in this time again would show nothing new: nothing failed, as
        many samples were asked for, and its own time was enough or no shorter."""
        enough = self.limit is None or (limit is not None and limit <= self.limit)
        as_long = not self.cut or (self.budget is not None and budget is not None and budget <= self.budget)
        return self.verdict != "failed" and enough and as_long

    @property
    def passed(self) -> bool:
        """Whether some trial passed and none failed."""
        return not self.died and self.total("passed") > 0 and self.total("failed") == 0

    @property
    def verdict(self) -> str:
        """The whole in one word: passed, failed, "not served" or "no computation"."""
        if self.died or self.total("failed"):
            return "failed"
        if self.total("passed"):
            return "passed" if not self.total("unserved") else "passed in part"
        return "not served" if self.total("unserved") else "no computation"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "subject": self.subject,
            "dtype": self.dtype,
            "verdicts": {kind: dict(counts) for kind, counts in self.verdicts.items()},
            "overloads": {
                name: {
                    "passed": tally.passed,
                    "failed": tally.failed,
                    "launches": tally.launches,
                    "kinds": dict(tally.kinds),
                }
                for name, tally in self.overloads.items()
            },
            "failures": [asdict(failure) for failure in self.failures],
            "unserved": dict(self.unserved),
            "seconds": self.seconds,
            "cut": self.cut,
            "died": self.died,
            "limit": self.limit,
            "budget": self.budget,
            "commit": self.commit,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Proof:
        """The inverse of `to_json`."""
        return Proof(
            subject=data["subject"],
            dtype=data["dtype"],
            verdicts={kind: Counter(counts) for kind, counts in data["verdicts"].items()},
            overloads={
                name: Tally(**{**tally, "kinds": Counter(tally["kinds"])})
                for name, tally in data["overloads"].items()
            },
            failures=[Failure(**{**f, "overloads": tuple(f["overloads"])}) for f in data["failures"]],
            unserved=Counter(data["unserved"]),
            seconds=data["seconds"],
            cut=data["cut"],
            died=data["died"],
            limit=data["limit"],
            budget=data["budget"],
            commit=data["commit"],
        )
