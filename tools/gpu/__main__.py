"""One prepared run on a GPU, which ends at its minute.

    python -m tools.gpu inference|training [--minutes N] [--device cuda] [--workers N] [--record FILE]
                                           [--only WORD ...] [--again]

Every finished piece is a line of the record; the same command goes on where the last one ended. Without a GPU
it says so and does nothing. `--only` takes items whose names are one of the words, `--again` begins anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .pool import Result, work
from .record import Item, Record
from .steps import RUNS, STEPS

MARGIN_SECONDS = 3.0
"""Of the time, kept for the end of the last item."""

ROOT = Path(__file__).resolve().parents[2]


def obstacle(device: str) -> str:
    """Why nothing can be run on a device; "" where something can."""
    if device == "cpu":
        return ""
    module: Any = getattr(torch, device, None)
    if module is None or not module.is_available():
        return f"PyTorch {torch.__version__} sees no device of the type {device!r}"
    return ""


def terms(device: str) -> dict[str, Any]:
    """What a record's rows have in common: where, and with which versions."""
    versions: dict[str, str] = {}
    for package in ("anychip", "torch", "triton", "llvmlite", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    name = platform.machine() if device == "cpu" else str(torch.get_device_module(device).get_device_name(0))
    return {"device": name, "type": device, "python": platform.python_version(), "versions": versions}


def main() -> None:
    """Read the command, and run."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu", description=__doc__)
    parser.add_argument("run", choices=sorted(RUNS))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--stand-in", default="", help="a module that stands in for a device, for tests")
    parser.add_argument("--workers", type=int, default=max(1, min(12, (os.cpu_count() or 2) - 2)))
    parser.add_argument("--record", type=Path, default=None)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    started = time.monotonic()
    reason = "" if given.stand_in else obstacle(given.device)
    if reason:
        print(f"skipped: {reason}")
        return
    file = given.record or ROOT / "evidence" / "gpu" / f"{given.run}.jsonl"
    if given.again:
        file.unlink(missing_ok=True)
    where = {"stand-in": given.stand_in} if given.stand_in else terms(given.device)
    record = Record(file, where)
    seconds = 60.0 * given.minutes - MARGIN_SECONDS
    command = [sys.executable, "-m", "tools.gpu.worker", given.device]
    command += [given.stand_in] if given.stand_in else []
    for name in RUNS[given.run]:
        step = STEPS[name]
        names = [one for one in step.items() if not given.only or one in given.only]
        items = [item for item in (Item(name, one) for one in names) if not record.is_done(item)]
        until = started + seconds * step.until
        crew = 1 if step.alone else given.workers
        left = work(items, crew, until, step.limit, command, lambda row: _keep(record, row))
        print(f"{name}: {len(items) - left} done now, {left} left, {len(names)} in all", flush=True)
    for name, counts in record.counts():
        print(f"{name}: " + ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items())))
    print(f"{time.monotonic() - started:.0f} s; {file}")


def _keep(record: Record, row: Result) -> None:
    record.add(row)
    told = row.get("why") or row.get("ratio") or ""
    told = f"{told:.2f}" if isinstance(told, float) else str(told)
    print(f"  {row['step']} {row['name']}: {row['verdict']} {told[:120]}", flush=True)


if __name__ == "__main__":
    main()
