"""Runs samples of every operator with the sanitizer's checks in its kernels, and records what these report:
the kernels are proved, so a report is false, or a fault of the library's. Flows in: the conformance runs'
trials, in their mixed order. Flows out: `evidence/debug/sanitizer.json`; an interrupted run goes on.

    python -m tools.debugging.false_reports [SECONDS] [OPERATOR...]

Stores of infinities and NaN are left out: some samples have such results.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from anychip import using
from anychip.compiler.codegen.check_table import Check
from anychip.conformance.trials import chosen, dtypes_of, trials
from anychip.debug.collecting import Collector
from anychip.debug.written import following
from anychip.emulation.execution import host_name
from anychip.evidence.record import commit
from anychip.evidence.trial import observe
from anychip.runtime import checks, launches
from anychip.triton_backend import activate, sanitizer

RECORD = Path("evidence/debug/sanitizer.json")
CHECKS = frozenset(Check) - {Check.NONFINITE}


def main(seconds: float, names: list[str]) -> None:
    """Try operators that the record lacks, for so many seconds of processor time, or those of `names`."""
    activate()
    sanitizer.wanted = lambda: CHECKS
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record |= {"processor": host_name(), "torch": torch.__version__, "checks": sorted(CHECKS)}
    done: dict[str, Any] = record.setdefault("operators", {})
    everything = chosen()
    for name in names or everything:
        if time.process_time() > seconds:
            break
        if names or name not in done:
            done[name] = tried(name)
            write(record)
            print(name, done[name], flush=True)
    reports = sum(len(row["reports"]) for row in done.values())
    calls = sum(row["trials"] for row in done.values())
    print(f"{len(done)} of {len(everything)} operators, {calls} trials, {reports} reports")


def tried(name: str) -> dict[str, Any]:
    """What the checks report of an operator's trials."""
    collector = Collector()
    count, before = 0, launches.count()
    for dtype in dtypes_of(name):
        for trial in trials(name, dtype):
            with using("strict"), checks.listening(collector.add), following():
                observe(trial)
            count += 1
    return {
        "trials": count,
        "launches": launches.count() - before,
        "reports": [str(finding) for finding in collector.findings],
        "commit": commit(),
    }


def write(record: dict[str, Any]) -> None:
    """Write the record."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1000.0, sys.argv[2:])
