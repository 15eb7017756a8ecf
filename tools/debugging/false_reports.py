"""Runs samples of every operator with the sanitizer's checks in its kernels, and records what these report:
the kernels are proved, so a report is false, or a fault of the library's. Flows in: the conformance runs'
trials, in their mixed order. Flows out: `evidence/debug/sanitizer.json`; an interrupted run goes on.

    python -m tools.debugging.false_reports [--seconds 1000] [--samples 1] [OPERATOR...]

Without names it tries what the record lacks: the first sample of every overload, in the operator's first
type.
Almost all of its time is spent on compiling kernels with checks. Stores of infinities and NaN are left out:
some samples have such results.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from anychip import using
from anychip.compiler.codegen.check_table import Check
from anychip.conformance.trials import Sampling, chosen, dtypes_of, trials
from anychip.debug.collecting import Collector
from anychip.debug.written import following
from anychip.emulation.execution import host_name
from anychip.evidence.record import commit
from anychip.evidence.trial import observe
from anychip.ops.registry import operators
from anychip.runtime import checks, launches
from anychip.triton_backend import activate, sanitizer

RECORD = Path("evidence/debug/sanitizer.json")
CHECKS = frozenset(Check) - {Check.NONFINITE}


def main(seconds: float, samples: int, names: list[str]) -> None:
    """Try operators that the record lacks, for so many seconds of processor time, or those of `names`."""
    activate()
    sanitizer.wanted = lambda: CHECKS
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record |= {"processor": host_name(), "torch": torch.__version__, "checks": sorted(CHECKS)}
    done: dict[str, Any] = record.setdefault("operators", {})
    everything = chosen()
    for name in [name for name in done if name not in everything]:
        del done[name]
    for name in chosen(names):
        if time.process_time() > seconds:
            break
        if names or name not in done:
            done[name] = tried(name, samples)
            write(record)
            print(name, done[name], flush=True)
    print(said(done, len(everything)))


def tried(name: str, samples: int) -> dict[str, Any]:
    """What the checks report of an operator's trials, and of how many of its overloads these are."""
    collector = Collector()
    sampling = Sampling(dtypes_of(name)[:1] if samples == 1 else Sampling().dtypes, samples)
    served: set[str] = set()
    count, before, start = 0, launches.count(), time.process_time()
    for dtype in dtypes_of(name, sampling):
        for trial in trials(name, dtype, sampling):
            with using("strict"), checks.listening(collector.add), following():
                served.update(observe(trial).served)
            count += 1
    own = {overload.name for overload in operators()[name].overloads}
    return {
        "trials": count,
        "overloads": f"{len(own & served)} of {len(own)}",
        "launches": launches.count() - before,
        "reports": [str(finding) for finding in collector.findings],
        "commit": commit(),
        "seconds": round(time.process_time() - start, 1),
    }


def said(done: dict[str, Any], everything: int) -> str:
    """The record's totals in words."""
    reports = sum(len(row["reports"]) for row in done.values())
    calls, ran = (sum(row[key] for row in done.values()) for key in ("trials", "launches"))
    return f"{len(done)} of {everything} operators, {calls} trials, {ran} launches, {reports} reports"


def write(record: dict[str, Any]) -> None:
    """Write the record."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1000.0, help="processor time to spend")
    parser.add_argument(
        "--samples", type=int, default=1, help="of each overload; more than one: half types too"
    )
    parser.add_argument("operators", nargs="*", help="these alone, again")
    told = parser.parse_args()
    main(told.seconds, told.samples, told.operators)
