"""docs/mutation.md from the record: how many mutants each room's tests killed, and which others there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from anychip.markdown import numbers, table

from .process import Step
from .tests import MOST_RECORDS

RESULTS = ("killed", "timeout", "equivalent", "survived")

HEAD = """# Which lines do tests watch?

Written by `python -m tools.mutation page` from `evidence/mutation.json`; do not edit.

A *mutant* is the library with one small change: another operator, a number one larger, a condition reversed,
a loop that does nothing. The tests nearest to the changed line run on it. A mutant is *killed* when one of
them fails, and counts as *timeout* when they do not end. One that *survived* shows a line that these tests
do not watch; an *equivalent* one computes the same as the original, so that no test can find it.
"""

WAYS = """## How it was made
- {count} places of `src/anychip/compiler/` and `src/anychip/ops/`, drawn by the seed {seed} at the commit
  `{commit}`, by line: each of the {lines} lines that have a place is as likely as any other; then one
  position on it, then one of cosmic-ray's operators that apply there.
- Left out as changes that cannot matter (positions): {skipped}.
- Tests of the compiler are listed by file in `tools/mutation/nearest.toml`. For an operator, they are those
  of the records that its file registers, nearest first ({records} overloads at most), and its domain's.
  After 25 to {budget:.0f} processor seconds no further test begins.
- {processor}, Python {python}; {hours:.1f} hours of processor time in all. {checked}
- Resumed by `make mutation`; `python -m tools.mutation draw --seed N` begins another sample.
"""


def room_of(file: str) -> str:
    """The room of a file: `compiler/codegen`, `ops/linalg`; what all operators share is `ops`."""
    parts = file.removeprefix("src/anychip/").split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def _table(rows: Mapping[str, Counter[str]]) -> str:
    total = sum(rows.values(), Counter[str]())
    lines = [(room, rows[room]) for room in sorted(rows)]
    cells = (
        [room, counts.total(), *(counts[result] for result in RESULTS)]
        for room, counts in [*lines, ("**all**", total)]
    )
    return table(numbers(("room", "mutants", *RESULTS)), cells)


def _changes(rows: list[dict[str, Any]], reasons: Mapping[tuple[str, str], str] | None = None) -> str:
    lines = []
    for row in sorted(rows, key=lambda row: (row["file"], row["line"])):
        before, _, after = row["change"].partition(" -> ")
        reason = f": {reasons[row['file'], row['change']]}" if reasons else ""
        lines.append(f"- `{row['file'].removeprefix('src/anychip/')}`, line {row['line']}{reason}")
        lines.append(f"  ```diff\n  - {before}\n  + {after}\n  ```")
    return "\n".join(lines) if lines else "None."


def page(record: Mapping[str, Any], reasons: Mapping[tuple[str, str], str]) -> str:
    """The page's text. `reasons` says of equivalent mutants, by file and change, why they are."""
    done = [row for row in record["mutants"] if row.get("result")]
    by_room: dict[str, Counter[str]] = {}
    for row in done:
        by_room.setdefault(room_of(row["file"]), Counter())[row["result"]] += 1
    of = {result: [row for row in done if row["result"] == result] for result in RESULTS}
    killed = len(of["killed"]) + len(of["timeout"])
    share = f"{killed} of {len(done)} mutants are killed, {killed / max(1, len(done)):.0%}"
    open_ones = len(record["mutants"]) - len(done)
    skipped = ", ".join(f"{reason} ({number:,})" for reason, number in sorted(record["skipped"].items()))
    checked = record.get("checked")
    ways = WAYS.format(
        count=len(record["mutants"]),
        seed=record["seed"],
        commit=record["commit"],
        lines=f"{record['lines']:,}",
        skipped=skipped,
        records=MOST_RECORDS,
        budget=Step(()).budget,
        processor=record["processor"],
        python=record["python"],
        hours=sum(row["seconds"] for row in done) / 3600,
        checked=f"The tests that killed pass without a mutant (at `{checked}`)." if checked else "",
    )
    parts = [
        HEAD,
        f"**{share}**; {len(of['equivalent'])} are equivalent, {len(of['survived'])} survived"
        + (f", and {open_ones} were not tried yet" if open_ones else "")
        + ". The record has the commit of each result.\n",
        _table(by_room),
        f"\n## Survivors\n{_changes(of['survived'])}\n",
        f"## Equivalent mutants\n{_changes(of['equivalent'], reasons)}\n",
        ways,
    ]
    return "\n".join(parts)
