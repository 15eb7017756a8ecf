"""The table of docs/link.md. Flows in: the record evidence/link.json. Flows out: the page with its table as
the record gives it."""

from __future__ import annotations

import json
from typing import Any

from anychip.bench.page import replaced
from anychip.markdown import table

from .record import RECORD

BROKEN = ("actions_past_expiry", "replayed", "unordered", "misplaced")


def written(text: str) -> str:
    """docs/link.md with its table made anew."""
    return replaced(text, {"link": measured(json.loads(RECORD.read_text(encoding="utf-8")))})


def measured(record: dict[str, Any]) -> str:
    """A row for each thing that was measured."""
    rows = [row for kind in ("virtual", "real") for row in _torture(kind, record)]
    rows += [row for name, row in _ROWS.items() if name in record for row in row(record[name])]
    named = sorted({told["commit"] for told in record.values()})
    processors = sorted({told["processor"] for told in record.values()})
    loads = [told["load"] for told in record.values()]
    head = (
        f"{'; '.join(processors)}; commit {', '.join(named)}; load average {min(loads):g} to {max(loads):g}"
        " (`python -m tools.link.record`):"
    )
    return f"{head}\n\n{table(['what', 'measured'], rows)}"


def _torture(kind: str, record: dict[str, Any]) -> list[tuple[str, str]]:
    found = [told for name, told in record.items() if name.startswith(f"{kind} ")]
    if not found:
        return []
    total = {key: sum(told[key] for told in found) for key in ("ticks", "actions_executed", *BROKEN)}
    robots = sorted({told["robots"] for told in found})
    who = f"{', '.join(map(str, robots))} robot{'s' * (robots != [1])}"
    name = f"`torture`, {who}, {kind} clock, {len(found)} runs"
    counts = (
        f"{total['ticks']:,} ticks, {total['actions_executed']:,} actions: "
        f"{total['actions_past_expiry']} past expiry, {total['replayed']} replayed, "
        f"{total['unordered']} out of order, {total['misplaced']} of another robot"
    )
    late = max(told["stop_over_limit_ms"] for told in found)
    period = 1000 / found[0]["hz"]
    return [
        (name, counts),
        (f"from a cut to the start of the stop, above the limit (period {period:g} ms), {kind} clock",
         f"{late:g} ms at most"),
    ]  # fmt: skip


def _latency(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("above the policy's own time, loopback, 10 kB",
         f"{told['median_ms']:.2f} ms median, {told['p99_ms']:.2f} ms 99th percentile"),
        ("from observation to answer, the policy's own time with it",
         f"{told['whole_median_ms']:.2f} ms median"),
        ("as many bytes over a plain socket between two processes, at the same period",
         f"{told['bare_median_ms']:.2f} ms median"),
    ]  # fmt: skip


def _load(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("64 robots at 20 Hz, policy 64-256-256-7, chunks of 8, 80 ms",
         f"{told['observations']:,} observations, {told['met']:.2%} answered in time; worst robot's share "
         f"beside the best one's {told['fairness']:.3f}"),
    ]  # fmt: skip


def _period(told: dict[str, Any]) -> list[tuple[str, str]]:
    fifo, plain = told["fifo"], told["plain"]
    return [
        ("period of 20 ms with both cores loaded, 99th percentile of the error",
         f"{fifo['p99_ms']:.2f} ms under `SCHED_FIFO`; {plain['p99_ms']:.2f} ms without"),
    ]  # fmt: skip


def _hostile(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("hostile frames",
         f"{told['frames']:,}: {told['accepted']} accepted; {told['grown_mb']:.2f} MB more memory than "
         f"after a tenth; others {'served' if told['others_served'] else 'not served'}"),
    ]  # fmt: skip


def _watchdog(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [("watchdog, 100,000 sequences for each core under emulation", told["result"].strip("= "))]


_ROWS = {
    "latency": _latency, "load": _load, "period": _period, "hostile": _hostile, "watchdog": _watchdog,
}  # fmt: skip
