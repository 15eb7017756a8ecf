"""Which families of the field are there: under SciPy's names, under PyTorch's, or not. Flows in: families.tsv
beside this file, which names for each its functions, oracle, gradient and tests. Flows out: rows, which
docs/science.md shows."""

from __future__ import annotations

import csv
from pathlib import Path

FILE = Path(__file__).with_suffix(".tsv")


def families(where: str) -> list[dict[str, str]]:
    """The rows of one kind: "here", "pytorch" (under PyTorch's names) or "missing"."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines, delimiter="\t") if row["where"] == where]
