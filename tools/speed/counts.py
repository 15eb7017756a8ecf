"""How many instructions kernels, eager calls and a compilation take, beside what they took.

    python -m tools.speed.counts              # count, and compare with evidence/counts.json (make counts)
    python -m tools.speed.counts --record     # count, and write the record and its page
    python -m tools.speed.counts kernel       # only some groups: kernel, eager, compilation

Flows in: this checkout, and the record. Flows out: a line a count, and status 1 where something rose by more
than `LIMIT`. Counts do not depend on what else the machine does, as times do. Valgrind counts, and it knows
no AVX-512: kernels are compiled for `TARGET`, whatever the processor, and code with longer vectors is
another. Python's hashes are not random, nothing is collected as garbage, and one thread computes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from anychip.markdown import table
from tools.speed import callgrind
from tools.speed.callgrind import UnreadableCount

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "evidence" / "counts.json"
PAGE = ROOT / "docs" / "counts.md"
TARGET = "x86-64-v3"
LIMIT = 0.01
CHECK_LIMIT = 0.01
"""How far twice the calls may be from twice the count."""
GROUPS = ("kernel", "eager", "compilation")
"""Groups that can be counted alone; `eager` gives two rows for each call."""
ENVIRONMENT = {
    "ANYCHIP_TARGET": TARGET,
    "ATEN_CPU_CAPABILITY": "avx2",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}

Key = tuple[str, str]
Record = dict[str, Any]


class Line(NamedTuple):
    """A count beside the record's; None for the side on which there is none."""

    group: str
    name: str
    before: int | None
    after: int | None

    @property
    def change(self) -> float | None:
        """What it rose by, relative to the record."""
        return self.after / self.before - 1 if self.before and self.after is not None else None

    @property
    def verdict(self) -> str:
        """`rose`, `fell`, `new` (not in the record), `gone` (only there), or nothing."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        change = self.change or 0.0
        return "rose" if change > LIMIT else "fell" if change < -LIMIT else ""

    def __str__(self) -> str:
        before, after = ("-" if count is None else f"{count:,}" for count in (self.before, self.after))
        change = "" if self.change is None else f"{self.change:+.2%}"
        return f"{self.group:15} {self.name:35} {before:>15} {after:>15} {change:>9} {self.verdict}".rstrip()


# ---- counts ---------------------------------------------------------------------------------------


def obstacle() -> str:
    """Why nothing can be counted here; empty where it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"counts are those of {TARGET}, and this machine is {platform.machine()}"
    if shutil.which(callgrind.PROGRAM) is None:
        return "valgrind is not installed; `make valgrind` installs it (Debian)"
    return ""


def measured(groups: Sequence[str] = GROUPS) -> Record:
    """A record of this checkout. Raises UnreadableCount where counts are not those of the calls."""
    with tempfile.TemporaryDirectory() as scratch:
        found, facts = _run(Path(scratch), ["check", *groups])
    return {**circumstances(), "target": facts["target"], "shown": facts["shown"], "counts": counts(found)}


def _run(scratch: Path, groups: Sequence[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """Instructions by callgrind's names, and what the counting process said of itself. It runs twice: kernels
    are compiled without Valgrind, for the same target, and taken from the cache under it. Raises
    UnreadableCount where that is not what the process says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANYCHIP_", "TRITON_"))}
    environment = kept | ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}
    environment |= {f"{cache}_CACHE_DIR": str(scratch / cache.lower()) for cache in ("ANYCHIP", "TRITON")}
    facts = scratch / "facts.json"
    program = [sys.executable, "-m", "tools.speed.counted", str(facts), *groups]
    under = [callgrind.PROGRAM, *callgrind.OPTIONS, f"--callgrind-out-file={scratch / 'counts.callgrind'}"]
    for command in (program, [*under, *program]):
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    said = json.loads(facts.read_text(encoding="utf-8"))
    if not said["counting"] or said["target"] != TARGET or said["avx512"]:
        raise UnreadableCount(f"code is to be for {TARGET} under Valgrind, and the process says {said}")
    return callgrind.read(scratch), said


def counts(found: Mapping[str, int]) -> list[Record]:
    """Rows of a record: instructions of one call each, without what the requests themselves take. Raises
    UnreadableCount where the counts of the group `check` do not show that they are those of the calls."""
    by_key: dict[Key, tuple[int, int]] = {}
    for text, instructions in found.items():
        group, name, calls = text.split("; ")
        by_key[group, name] = int(calls), instructions
    by_key.pop(("check", "first"), None)
    _, share = by_key.pop(("check", "none"))
    once, twice = (by_key.pop(("check", name))[1] - share for name in ("once", "twice"))
    if once <= 0 or abs(twice / once - 2) > 2 * CHECK_LIMIT:
        raise UnreadableCount(f"twice the calls took {twice:,} instructions, and once {once:,}")
    return [
        {"group": group, "name": name, "calls": calls, "instructions": round((total - share) / calls)}
        for (group, name), (calls, total) in by_key.items()
    ]


def circumstances() -> Record:
    """Where and with what this checkout is counted."""
    from anychip.chips import detect_host
    from anychip.evidence.record import commit

    valgrind = subprocess.run([callgrind.PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "processor": detect_host().model,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "triton", "llvmlite")},
            "libc": platform.libc_ver()[1],
            "valgrind": valgrind.stdout.strip().removeprefix("valgrind-"),
        },
    }


# ---- comparison -----------------------------------------------------------------------------------


def compared(before: Sequence[Record], after: Sequence[Record]) -> list[Line]:
    """Every row of either side, in the order of the record, new ones last."""
    old, new = (
        {(row["group"], row["name"]): row["instructions"] for row in rows} for rows in (before, after)
    )
    return [Line(*key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]


def of_groups(record: Record, groups: Sequence[str]) -> list[Record]:
    """The record's rows of these groups."""
    wanted = {name for group in groups for name in _ROW_GROUPS.get(group, (group,))}
    return [row for row in record["counts"] if row["group"] in wanted]


_ROW_GROUPS = {"eager": ("eager call", "operator alone")}


def differing_versions(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Versions that are others than the record's, as a phrase."""
    names = dict.fromkeys([*before, *after])
    return ", ".join(
        f"{name} {after.get(name, 'none')} (was {before.get(name, 'none')})"
        for name in names
        if before.get(name) != after.get(name)
    )


# ---- record and page ------------------------------------------------------------------------------

HEAD = """# How many instructions does it take?

Written by `python -m tools.speed.counts --record` from `evidence/counts.json`; do not edit.

Instructions of one call, counted by Valgrind's callgrind in user space. Counts do not depend on what else
the machine does, so that a change of a hundredth shows; they say nothing of caches, and are no times.
`make counts` counts anew, and ends with status 1 where a count rose by more than {limit:.0%}. With other
versions of Python, PyTorch, Triton or LLVM, counts are others.

Valgrind knows no AVX-512. LLVM takes the processor that it shows to programs for `{shown}`, and kernels are
compiled for `{target}`; what longer vectors take is not counted here. One thread, no garbage collection,
`PYTHONHASHSEED=0`; everything was called before it is counted. The count of a kernel holds the Python that
launches it. An eager call is one on 16 x 16 elements under the portable policy; the operator alone is its
function, without PyTorch's dispatcher. The compilation is that of one kernel, with no cache.

Counted at the commit `{commit}` on {date} ({processor}; {versions}).

"""


def page(record: Record) -> str:
    """docs/counts.md."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    head = HEAD.format(limit=LIMIT, **{**record, "versions": versions})
    columns = ("what", "which", ("instructions", "right"))
    rows = ((row["group"], row["name"], f"{row['instructions']:,}") for row in record["counts"])
    return head + table(columns, rows) + "\n"


def written(text: str) -> str:
    """docs/counts.md as its record gives it; nothing of the `text` that it has is kept."""
    return page(load(RECORD))


def load(file: Path) -> Record:
    """A record. Raises UnreadableCount where there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableCount(f"cannot read {file}: {error}; --record writes it") from error


def as_text(record: Record) -> str:
    """A record as a file, a row a line."""
    rows = ",\n".join("  " + json.dumps(row) for row in record["counts"])
    head = json.dumps({name: value for name, value in record.items() if name != "counts"}, indent=1)
    return f'{head[:-2]},\n "counts": [\n{rows}\n ]\n}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("groups", nargs="*", help=f"what to count, among {', '.join(GROUPS)}; all without")
    parser.add_argument("--record", action="store_true", help="write the record and the page")
    options = parser.parse_args()
    groups = options.groups or list(GROUPS)
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"{', '.join(sorted(unknown))}: groups are {', '.join(GROUPS)}")
    if options.record and options.groups:
        parser.error("a record holds all groups: name none with --record")
    if reason := obstacle():
        print(f"nothing is counted: {reason}")
        return 0
    record = measured(groups)
    known = load(RECORD) if RECORD.exists() else {"counts": [], "versions": {}}
    lines = compared(of_groups(known, groups), record["counts"])
    print(*lines, sep="\n")
    if not RECORD.exists():
        print("There is no record to compare with; --record writes one (make counts RECORD=1).")
    elif others := differing_versions(known["versions"], record["versions"]):
        print(f"Other versions than the record's: {others}")
    if options.record:
        RECORD.write_text(as_text(record), encoding="utf-8")
        PAGE.write_text(page(record), encoding="utf-8")
        return 0
    refused = [line.name for line in lines if line.verdict in ("rose", "gone")]
    print(f"{len(lines)} counts; risen by more than {LIMIT:.0%}, or gone: {', '.join(refused) or 'none'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
