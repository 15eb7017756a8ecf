"""The record of a run on a chip: for every operator, overload and dtype, what was tried and what came of
it. Flows in: proofs. Flows out: `evidence/operators/<chip>.json`, read by `anychip ops` and the page of
operators. An operator has passed when every dtype of its record passed and nothing failed."""

from __future__ import annotations

import functools
import json
import platform
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from ..chips import detect_host
from ..ops.registry import operators
from ..pytorch.dispatch import served_variants
from . import opinfo
from .errors import EvidenceError
from .exceptions import EXEMPTIONS
from .outcome import KINDS, Proof, Verdict
from .proof import RECORD

REPOSITORY = Path(__file__).parents[3]
FOLDER = (REPOSITORY if (REPOSITORY / "pyproject.toml").exists() else Path()) / "evidence" / "operators"
"""In the repository that these sources are in, else below the current folder."""
TIER = "native"
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
PACKAGES = ("anychip", "torch", "triton", "llvmlite")


def chip_identifier() -> str:
    """The registry's name of this machine's chip, or one made of the processor's model."""
    host = detect_host()
    if host.chip is not None:
        return host.chip.identifier
    return re.sub(r"[^a-z0-9]+", "-", (host.model or host.architecture).lower()).strip("-")


def versions() -> dict[str, str]:
    """The packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that last changed the sources, with "+" if they differ from it, or nothing without git."""

    def git(*words: str) -> str:
        folder = Path(__file__).parents[1]
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    name = git("log", "-1", "--format=%h", "--", ".")
    return name + ("+" if name and git("status", "--porcelain", "--", ".") else "")


# ---- from proofs to operators ---------------------------------------------------------------------


@functools.cache
def owners() -> dict[str, str]:
    """The operator that serves each overload, variants included."""
    return {
        variant.name: operator.name
        for operator in operators().values()
        for overload in operator.overloads
        for variant in served_variants(overload.name)
    }


def base(overload: str) -> str:
    """The name of an overload without its suffix and underscores at its ends."""
    return overload.partition(".")[0].strip("_")


def subject_names(subject: str) -> set[str]:
    """The bases of the overloads that a subject is about."""
    if subject.startswith(RECORD):
        name = subject.removeprefix(RECORD)
        return (
            {base(overload.name) for overload in operators()[name].overloads}
            if name in operators()
            else set()
        )
    return opinfo.names_of(subject)


def blamed(proof: Proof, ran: Iterable[str]) -> set[str]:
    """The overloads that a failed trial speaks against: those that the subject is about, their backward
    forms included. What else ran in it has subjects of its own."""
    about = subject_names(proof.subject)
    return {name for name in ran if base(name) in about or base(name).removesuffix("_backward") in about}


def per_operator(proofs: Iterable[Proof]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """For each operator: trials passed and failed per overload and dtype, and per dtype and kind of trial
    where the subject was about it; failures, refusals. And the failures of subjects that are about no
    operator of the library (composites of several)."""
    trials: dict[str, dict[str, dict[str, Counter[str]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(Counter))
    )
    kinds: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    failures: dict[str, list[dict[str, Any]]] = defaultdict(list)
    others: list[dict[str, Any]] = []
    refused: dict[str, Counter[str]] = defaultdict(Counter)
    owner = owners()
    for proof in proofs:
        own = blamed(proof, proof.overloads)
        for name, tally in proof.overloads.items():
            if name in owner:
                counts = trials[owner[name]][name][proof.dtype]
                counts["passed"] += tally.passed
                counts["launches"] += tally.launches
                if name in own:
                    counts["failed"] += tally.failed
                    kinds[owner[name]][proof.dtype] += tally.kinds
        for failure in _failures(proof):
            names = {owner[n] for n in blamed(proof, failure["overloads"]) if n in owner} or _about(proof)
            for name in names:
                failures[name].append(failure)
            if not names:
                others.append(failure)
        for text, number in proof.unserved.items():
            overload, _, reason = text.partition(": ")
            if overload in owner:
                refused[owner[overload]][f"{proof.dtype}: {reason}"] += number
    found = {
        name: {
            "overloads": {
                o: {d: {word: n for word, n in c.items() if n} for d, c in by.items()}
                for o, by in sorted(trials[name].items())
            },
            "kinds": {dtype: ordered(counts) for dtype, counts in kinds[name].items() if counts.total()},
            "failures": failures[name],
            "refused": dict(refused[name]),
        }
        for name in operators()
    }
    return found, others


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of trials by kind, in the order of `KINDS`; without those that are none."""
    return {kind: counts[kind] for kind in KINDS if counts.get(kind)}


def _failures(proof: Proof) -> list[dict[str, Any]]:
    found = [
        {
            "subject": proof.subject,
            "dtype": proof.dtype,
            "kind": f.kind,
            "inputs": f.inputs,
            "reason": f.reason,
            "overloads": list(f.overloads),
        }
        for f in proof.failures
    ]
    if proof.died:
        found.append(
            {
                "subject": proof.subject,
                "dtype": proof.dtype,
                "kind": "process",
                "inputs": "",
                "reason": proof.died,
                "overloads": [],
            }
        )
    return found


def _about(proof: Proof) -> set[str]:
    """The operators that a subject is about, for failures in which no overload of ours ran to its end."""
    about = subject_names(proof.subject)
    return {operator for overload, operator in owners().items() if base(overload) in about}


def verdict(found: Mapping[str, Any]) -> str:
    """An operator in one word: "passed", "failed", or "untried" when no trial reached it."""
    counts = [c for by in found["overloads"].values() for c in by.values()]
    if found["failures"] or any(c.get("failed") for c in counts):
        return "failed"
    return "passed" if any(c.get("passed") and c.get("launches") for c in counts) else "untried"


# ---- the file -------------------------------------------------------------------------------------


def compose(proofs: Iterable[Proof]) -> dict[str, Any]:
    """A record as plain data."""
    proofs = list(proofs)
    found, others = per_operator(proofs)
    verdicts = Counter(verdict(row) for row in found.values())
    subjects: dict[str, dict[str, Any]] = defaultdict(dict)
    for proof in proofs:
        totals = {word: proof.total(word) for word in VERDICTS}
        subjects[proof.subject][proof.dtype] = {
            "verdict": proof.verdict,
            **{word: number for word, number in totals.items() if number},
            "samples": proof.samples,
            **({"unserved_because": sorted(proof.unserved)} if proof.unserved else {}),
        }
    return {
        "chip": chip_identifier(),
        "tier": TIER,
        "date": datetime.now(UTC).date().isoformat(),
        "commits": dict(Counter(proof.commit for proof in proofs)),
        "versions": versions(),
        "samples": dict(Counter(proof.samples for proof in proofs)),
        "dtypes": {
            dtype: _tried([proof for proof in proofs if proof.dtype == dtype])
            for dtype in dict.fromkeys(proof.dtype for proof in proofs)
        },
        "operators": {
            "passed": verdicts["passed"],
            "tried": verdicts["passed"] + verdicts["failed"],
            "total": len(found),
        },
        "overloads": {
            "passed": sum(_overload_passed(row, o) for row in found.values() for o in row["overloads"]),
            "total": len(owners()),
        },
        "trials": {word: sum(proof.total(word) for proof in proofs) for word in VERDICTS},
        "kinds": ordered(
            {kind: sum(proof.verdicts.get(kind, {}).get("passed", 0) for proof in proofs) for kind in KINDS}
        ),
        "exceptions": [asdict(exemption) for exemption in EXEMPTIONS],
        "results": {
            name: {"verdict": verdict(row), **{k: v for k, v in row.items() if v}}
            for name, row in sorted(found.items())
        },
        "other_failures": others,
        "subjects": dict(sorted(subjects.items())),
    }


def _tried(proofs: Sequence[Proof]) -> dict[str, int]:
    """How much was tried in a dtype: subjects, those of them with all samples, and trials by verdict."""
    return {
        "subjects": len(proofs),
        "all_samples": sum(proof.limit is None and not proof.cut for proof in proofs),
        **{word: sum(proof.total(word) for proof in proofs) for word in VERDICTS},
    }


def _overload_passed(row: Mapping[str, Any], overload: str) -> bool:
    counts = row["overloads"][overload].values()
    return any(c.get("passed") for c in counts) and not any(c.get("failed") for c in counts)


def write(record: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a record under its chip's name; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{record['chip']}.json"
    file.write_text(_lines(record) + "\n")
    return file


def _lines(record: Mapping[str, Any]) -> str:
    """JSON with a line for each operator and each subject, so that two records can be compared."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    parts = []
    for key, value in record.items():
        if key in ("results", "subjects") and value:
            rows = ",\n".join(f"  {text(name)}: {text(row)}" for name, row in value.items())
            parts.append(f" {text(key)}: {{\n{rows}\n }}")
        else:
            parts.append(f" {text(key)}: {text(value)}")
    return "{\n" + ",\n".join(parts) + "\n}"


def read_all(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Every record of a folder, by chip; none where there is no folder."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            found.append(json.loads(file.read_text()))
        except ValueError as error:
            raise EvidenceError(f"{file} is not a record: {error}; run `make test-ops` again.") from error
    return found
