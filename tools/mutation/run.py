"""Which lines no test watches: sampled mutants of `compiler/` and `ops/`, and the tests nearest to them.

    python -m tools.mutation draw --seed 11 --count 150   # a new record, with no results
    python -m tools.mutation run                          # mutants without a result; again after Ctrl-C
    python -m tools.mutation run --again survived         # those that survived, after tests were written
    python -m tools.mutation check                        # that what killed passes without a mutant
    python -m tools.mutation page                         # docs/mutation.md

Flows in: the committed tree, of which a copy is changed and tested; never the checkout itself. Flows out:
`evidence/mutation.json`, written after every mutant. Needs the extras `test` and `mutation`.
"""

from __future__ import annotations

import argparse
import collections
import compileall
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import process
from . import tests as nearest

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "evidence" / "mutation.json"
EQUIVALENTS = Path(__file__).with_name("equivalents.toml")

Row = dict[str, Any]


# ---- the record -----------------------------------------------------------------------------------


def as_text(record: Row) -> str:
    """The record as JSON, one line a mutant."""
    head = json.dumps({name: value for name, value in record.items() if name != "mutants"}, indent=1)
    rows = ",\n".join(f"  {json.dumps(row)}" for row in record["mutants"])
    return f'{head[:-2]},\n "mutants": [\n{rows}\n ]\n}}\n'


def equivalents() -> dict[tuple[str, str], str]:
    """By file and change: why no test can tell the mutant from the original."""
    rows = tomllib.loads(EQUIVALENTS.read_text()).get("equivalent", []) if EQUIVALENTS.exists() else []
    return {(row["file"], row["change"]): row["reason"] for row in rows}


def settled(row: Row, known: dict[tuple[str, str], str]) -> Row:
    """A row with its result: a survivor that is named as equivalent is `equivalent`."""
    result = row.get("result")
    if result in ("survived", "equivalent"):
        result = "equivalent" if (row["file"], row["change"]) in known else "survived"
        return {**row, "result": result}
    return row


def remember(record: Row) -> None:
    """Write the record, whole or not at all."""
    known = equivalents()
    record["mutants"] = [settled(row, known) for row in record["mutants"]]
    draft = RECORD.with_suffix(".draft")
    draft.write_text(as_text(record))
    draft.replace(RECORD)


def noted(row: Row) -> None:
    """Put a mutant's result into the record as it is now: other runs may have written since."""
    record = json.loads(RECORD.read_text())
    record["mutants"] = [row if row["number"] == other["number"] else other for other in record["mutants"]]
    remember(record)


def processor() -> str:
    """The processor's name and the number of its cores that are used."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores"


def git(*arguments: str) -> str:
    """What git prints for the checkout."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


# ---- the verbs ------------------------------------------------------------------------------------


def draw(seed: int, count: int) -> None:
    """Begin a record: mutants without results."""
    from . import places

    texts = places.sources(ROOT)
    skipped: collections.Counter[str] = collections.Counter()
    found = [place for file, text in texts.items() for place in places.places(text, file, skipped)]
    rows = []
    for number, place in enumerate(places.draw(found, seed, count)):
        text = places.mutated(texts[place.file], place.operator, place.occurrence)
        assert text is not None
        row = {"number": number, "file": place.file, "line": place.line, "operator": place.operator}
        changed = places.change(texts[place.file], text)
        rows.append({**row, "occurrence": place.occurrence, "change": changed})
    record = {"seed": seed, "commit": git("rev-parse", "--short=10", "HEAD"), "processor": processor()}
    record |= {"python": platform.python_version(), "files": len(texts), "places": len(found)}
    record |= {"lines": len({(place.file, place.line) for place in found}), "skipped": dict(skipped)}
    remember({**record, "mutants": rows})


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the committed tree, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="anychip-mutation-") as folder:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        compileall.compile_dir(f"{folder}/src", quiet=2)
        yield Path(folder)


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """A file with another text, and then as it was. Bytecode of the original stays valid, and is not taken
    for the mutant's, whose time of change differs."""
    original, status = path.read_bytes(), path.stat()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def records_of(tree: Path) -> dict[str, tuple[str, int]]:
    """Where each overload is registered, found by importing the copy's library in another process."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "records.json"
        process.forked(lambda: nearest.note_records(tree, result), tree, Path(folder))
        if not result.exists():
            raise SystemExit((Path(folder) / "output").read_text())
        return {name: (file, line) for name, (file, line) in json.loads(result.read_text()).items()}


def run(wanted: Callable[[Row], bool], log: Path | None) -> None:
    """Test the mutants that are wanted, and write each result at once."""
    from . import places

    record = json.loads(RECORD.read_text())
    commit = git("rev-parse", "--short=10", "HEAD")
    process.preload()
    with copied() as tree:
        registered, uses = records_of(tree), nearest.importers(tree)
        for row in record["mutants"]:
            if not wanted(row):
                continue
            path = tree / row["file"]
            text = places.apply(path.read_text(), row["operator"], row["occurrence"], row["change"])
            steps = nearest.steps(tree, row["file"], row["line"], registered, uses)
            keep = log / f"{row['number']}.txt" if log else None
            with changed(path, text):
                verdict = process.run(tree, steps, keep)
            kept = {
                name: row[name] for name in ("number", "file", "line", "operator", "occurrence", "change")
            }
            tests = [name for step in steps[: verdict.steps] for name in step.arguments]
            result = {"result": verdict.result, "by": verdict.by, "passed": verdict.passed}
            more = {"seconds": round(verdict.seconds, 1), "commit": commit, "tests": tests}
            noted({**kept, **result, **more})
            print(
                row["number"], row["file"], verdict.result, f"{verdict.seconds:.1f} s", verdict.by, flush=True
            )


def check() -> None:
    """Run the tests that killed without a mutant. A mutant whose test fails there too loses its result."""
    record = json.loads(RECORD.read_text())
    process.preload()
    with copied() as tree:
        while True:
            killers = dict.fromkeys(row["by"] for row in record["mutants"] if "::" in row.get("by", ""))
            arguments = [name for name in killers if (tree / name.partition("::")[0]).exists()]
            step = process.Step(tuple(arguments), budget=float("inf"))
            verdict = process.run(tree, [step], limited=False)
            print(f"{len(arguments)} tests without a mutant: {verdict.result} {verdict.by}", flush=True)
            if verdict.result == "survived":
                break
            for row in record["mutants"]:
                if row.get("by") == verdict.by:
                    for name in ("result", "by", "passed", "seconds", "commit", "tests"):
                        row.pop(name, None)
            remember(record)
    record["checked"] = git("rev-parse", "--short=10", "HEAD")
    remember(record)


def written(text: str) -> str:
    """docs/mutation.md as its record gives it; nothing of the `text` that it has is kept."""
    from .page import page  # imports Anychip, which the process that forks must not

    record, known = json.loads(RECORD.read_text()), equivalents()
    return page({**record, "mutants": [settled(row, known) for row in record["mutants"]]}, known)


def page() -> None:
    """Write docs/mutation.md, and what is known as equivalent into the record."""
    remember(json.loads(RECORD.read_text()))
    (ROOT / "docs" / "mutation.md").write_text(written(""))


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    drawing = verbs.add_parser("draw", help="begin a record")
    drawing.add_argument("--seed", type=int, required=True)
    drawing.add_argument("--count", type=int, default=150)
    running = verbs.add_parser("run", help="test the mutants that have no result")
    running.add_argument("--again", action="append", default=[], help="also those with this result")
    running.add_argument("--numbers", type=lambda text: [int(word) for word in text.split(",")])
    running.add_argument("--log", type=Path, help="a folder for what pytest prints")
    verbs.add_parser("check", help="run the tests that killed without a mutant")
    verbs.add_parser("page", help="write docs/mutation.md")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # a copy of the tree is removed
    if given.verb == "draw":
        draw(given.seed, given.count)
    elif given.verb == "run" and given.numbers:
        run(lambda row: row["number"] in given.numbers, given.log)
    elif given.verb == "run":
        run(lambda row: row.get("result") in (None, *given.again), given.log)
    elif given.verb == "check":
        check()
    else:
        page()


if __name__ == "__main__":
    main(sys.argv[1:])
