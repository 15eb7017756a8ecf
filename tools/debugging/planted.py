"""Plants the faults of the tests in six models, on this machine and on an emulated chip, and records which
were found at their operator. Flows in: faults. Flows out: `evidence/debug/bisect.json`; an interrupted run
goes on.

    python -m tools.debugging.planted [SECONDS]
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tests.debug.bisect.following import Followed, first_wrong, follow, planted_step
from tests.debug.bisect.models import MODELS
from tests.debug.bisect.planted import FAULTS, Fault

from anychip.debug.bisect.emulated import EmulatedChip
from anychip.emulation.execution import host_name
from anychip.evidence.record import commit
from anychip.triton_backend import activate

RECORD = Path("evidence/debug/bisect.json")
CHIP = "rv64gcv"
HERE = "here"


def main(seconds: float) -> None:
    """Try what the record lacks, for so many seconds, and write it."""
    activate()
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record |= {"processor": host_name(), "torch": torch.__version__, "chips": [HERE, CHIP]}
    found: dict[str, Any] = record.setdefault("faults", {})
    right: dict[str, Any] = record.setdefault("right", {})
    end = time.monotonic() + seconds
    for place in (HERE, CHIP):
        chip = None if place == HERE else EmulatedChip(CHIP)
        for model in MODELS:
            clean = follow(model)
            rows: list[Fault | None] = [None, *(fault for fault in FAULTS if fault.model == model)]
            for fault in rows:
                name = model if fault is None else fault.name
                table = right if fault is None else found
                if place in table.get(name, {}) or time.monotonic() > end:
                    continue
                table.setdefault(name, {})[place] = tried(clean, fault, chip)
                write(record)
                print(name, place, table[name][place], flush=True)
    print(*totals(record))


def tried(clean: Followed, fault: Fault | None, chip: EmulatedChip | None) -> dict[str, Any]:
    """What was found of a fault, or (None) of a right run."""
    followed = follow(fault.model, fault, chip) if fault is not None else follow(clean.model, None, chip)
    comparison, pair, verdict = first_wrong(clean, followed)
    told: dict[str, Any] = {"steps": len(comparison.pairs), "differing": len(comparison.differing)}
    told["commit"] = commit()
    if pair is not None and verdict is not None:
        told |= {"operator": pair.name, "step": pair.b.number, "text": verdict.text}
        told["distance"] = float(f"{pair.distance:.3g}") if math.isfinite(pair.distance) else None
    if fault is not None:
        told["found"] = pair is not None and pair.b.number == planted_step(fault, followed)
    return told


def write(record: dict[str, Any]) -> None:
    """Write the record."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def totals(record: dict[str, Any]) -> list[str]:
    """How many faults were found in each place, and how many right runs were called wrong."""
    lines = []
    for place in record["chips"]:
        rows = [row[place] for row in record["faults"].values() if place in row]
        wrong = [row[place] for row in record["right"].values() if place in row]
        false = sum("operator" in row for row in wrong)
        lines.append(
            f"{place}: {sum(row['found'] for row in rows)} of {len(rows)} found, "
            f"{false} false in {len(wrong)} right runs;"
        )
    return lines


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1000.0)
