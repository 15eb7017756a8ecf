"""How right `anychip migrate` is on packages of other projects. `evidence/migration/labels.txt` says which
codes are right on which lines of which files; it was written before the rules were first run on
these packages.

Flows in: a folder with the packages, each unpacked into a folder of the name that the labels have. Flows out:
precision and recall, over all packages and over those held out.
`python -m tools.migration.labels FOLDER [--record]`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from anychip.migrate import scan

ROOT = Path(__file__).parents[2]
LABELS = ROOT / "evidence" / "migration" / "labels.txt"
RECORD = ROOT / "evidence" / "migration" / "precision.json"
HELD_OUT = ("basicsr", "coqui-tts", "deepspeed", "diffusers", "torchtune", "trl")
"""Packages whose results were looked at after the rules had been settled on the others."""

Label = tuple[int, str]
"""A line and a code."""


@dataclass(slots=True)
class Package:
    """The labelled files of a package. A file without labels is one in which nothing is right."""

    name: str
    files: dict[str, set[Label]] = field(default_factory=lambda: defaultdict(set))


def read(path: Path = LABELS) -> list[Package]:
    """The packages of a file of labels: `@ package file`, then lines `number code...`."""
    packages: dict[str, Package] = {}
    labels: set[Label] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        first, *rest = line.split()
        if first == "@":
            package = packages.setdefault(rest[0], Package(rest[0]))
            labels = package.files[rest[1]]
        else:
            labels.update((int(first), code) for code in rest)
    return list(packages.values())


def compared(package: Package, folder: Path) -> Iterator[tuple[str, str, int, str]]:
    """Each finding and label of the labelled files: "right", "wrong" or "missed", file, line, code."""
    found: dict[str, set[Label]] = defaultdict(set)
    here = Path.cwd()
    os.chdir(folder / package.name)
    try:
        for each in scan([Path(file) for file in package.files]).findings:
            found[each.file].add((each.line, each.code))
    finally:
        os.chdir(here)
    for file, wanted in package.files.items():
        for line, code in sorted(found[file] | wanted):
            has, wants = (line, code) in found[file], (line, code) in wanted
            yield "right" if has and wants else "wrong" if has else "missed", file, line, code


def figures(counts: Counter[str]) -> dict[str, float | int]:
    """Counts with the precision and recall that follow from them."""
    right, wrong, missed = counts["right"], counts["wrong"], counts["missed"]
    return {
        "right": right,
        "wrong": wrong,
        "missed": missed,
        "precision": round(right / max(right + wrong, 1), 4),
        "recall": round(right / max(right + missed, 1), 4),
    }


def main() -> None:
    """Compare, and print what is wrong or missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    everywhere: Counter[str] = Counter()
    held_out: Counter[str] = Counter()
    for package in read():
        for verdict, file, line, code in compared(package, options.folder):
            everywhere[verdict] += 1
            held_out[verdict] += package.name in HELD_OUT
            if verdict != "right":
                print(f"{verdict}: {package.name} {file}:{line} {code}")
    record = {"all": figures(everywhere), "held_out": figures(held_out)}
    print(json.dumps(record, indent=1))
    if options.record:
        kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
        RECORD.write_text(json.dumps(kept | {"now": record}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
