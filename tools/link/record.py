"""Keep what the link was measured at, row by row, so that a run that is cut short loses nothing.

    python -m tools.link.record [torture] [real-time] [measures] [watchdog]

`torture` is a million control ticks on a virtual clock in pieces of 50,000, `real-time` 90,000 ticks of
one robot by the real clock (half an hour) in pieces of 15,000, `measures` are those of `python -m tools.link`
the first two at SCHED_FIFO where that is allowed, `watchdog` 100,000 sequences of the exported watchdog
for each core. Rows of the record that name the commit of the sources are not run again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anychip.evidence.record import commit
from tools.mutation.run import processor

RECORD = Path(__file__).parents[2] / "evidence" / "link.json"
VIRTUAL = {f"virtual {seed}": ["--ticks", "50000", "--seed", str(seed)] for seed in range(1, 21)}
REAL = {
    f"real {seed}": ["--ticks", "15000", "--robots", "1", "--real-time", "--seed", str(seed)]
    for seed in range(1, 7)
}
FIFO = 50
BEFORE_OTHERS = ("latency", "load")
"""Measures whose processes are scheduled before other work; the others take their priorities themselves."""


def _json_of(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout[done.stdout.index("{") :])


def _measure(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tools.link", name], stdout=subprocess.PIPE, text=True, check=True,
        preexec_fn=_priority if name in BEFORE_OTHERS else None,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {key: told for line in lines for key, told in line.items()}[name]


def _torture(pieces: dict[str, list[str]]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for name, options in pieces.items():
        yield name, lambda options=options: _json_of("anychip", "link", "torture", *options, "--json")


def _measures() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for name in ("latency", "load", "period", "hostile"):
        yield name, lambda name=name: _measure(name)


def _watchdog() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    def run() -> dict[str, Any]:
        words = ["pytest", "--slow", "-q", "tests/edge/test_watchdog.py"]
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, check=False, cwd=RECORD.parents[1]
        )
        return {"command": " ".join(words), "result": done.stdout.strip().splitlines()[-1]}

    yield "watchdog", run


PARTS: dict[str, Callable[[], Iterator[tuple[str, Callable[[], dict[str, Any]]]]]] = {
    "torture": lambda: _torture(VIRTUAL),
    "real-time": lambda: _torture(REAL),
    "measures": _measures,
    "watchdog": _watchdog,
}


def _read() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def main(parts: list[str]) -> None:
    """Run what the record does not have of the named parts, or of all."""
    now = commit()
    for part in parts or PARTS:
        for name, run in PARTS[part]():
            if _read().get(name, {}).get("commit") == now:
                continue
            told = run() | {"commit": now, "processor": processor(), "load": round(os.getloadavg()[0], 1)}
            RECORD.write_text(
                json.dumps(_read() | {name: told}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
            )
            print(name, json.dumps(told), flush=True)


def _priority() -> None:
    """This process is scheduled before other work, where that is allowed."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO))


if __name__ == "__main__":
    main(sys.argv[1:])
