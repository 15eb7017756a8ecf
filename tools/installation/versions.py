"""Which versions of Python, PyTorch and Triton work: what was run, and what can be installed.

    python -m tools.installation.versions run        # the tests of `CHECKS` with what this environment holds
    python -m tools.installation.versions resolve    # for which versions uv finds wheels (needs uv)
    python -m tools.installation.versions page       # the table in README.md

Flows in: an environment, or an index of packages. Flows out: `evidence/versions.json`, and the table made of
it. Resolution reads metadata: no wheel is downloaded. PyTorch's builds on PyPI demand one Triton each. With
another one, its builds for CPUs are meant, which demand none: the demand is lifted, the wheels are asked for.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anychip import markdown

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "evidence" / "versions.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- versions: written by tools/installation/versions.py -->", "<!-- end of versions -->"

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
PYTORCHES = ("2.13.0", "2.14.1", "2.15.0")
TRITONS = ("3.6.0", "3.7.1", "3.8.0", "3.9.0")
PLATFORM = "x86_64-manylinux_2_28"
KEY = ("python", "torch", "triton")

CHECKS: tuple[tuple[str, ...], ...] = (
    ("tests/triton_backend", "tests/runtime", "tests/doctor", "tests/pytorch/test_dispatch.py"),
    ("tests/pytorch/compilation/test_backend.py",),
    ("tests/ecosystem/test_programs.py", "--slow", "-k", "causal or residual or bert"),
    ("tests/ops/test_operators.py", "-k", "float32 and (exp or mm or sum or softmax or conv or sort)"),
)
"""What is run for a row of the table, in some minutes: arguments of pytest."""

Row = dict[str, Any]


def known() -> dict[str, list[Row]]:
    """The record: rows of what was run, and of what resolves."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {"run": [], "resolved": []}


def remember(kind: str, rows: Iterable[Row]) -> None:
    """Put rows into the record, in place of those of the same versions."""
    record = known()
    kept = {tuple(row[name] for name in KEY): row for row in (*record[kind], *rows)}
    record[kind] = [kept[key] for key in sorted(kept)]
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


# ---- run ------------------------------------------------------------------------------------------


def run(checks: Sequence[Sequence[str]] = CHECKS, jobs: int = 1) -> Row:
    """Run the tests in this environment. The row has versions, counts of outcomes, and the commit."""
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    start = datetime.datetime.now(datetime.UTC)
    for arguments in checks:
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(jobs), "--dist", "loadfile", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        sys.stdout.write(done.stdout[-3000:] + done.stderr[-2000:])
        if done.returncode > 1:
            raise SystemExit(f"pytest {' '.join(arguments)} ended with status {done.returncode}")
        for name in counts:
            found = re.search(rf"(\d+) {name}", done.stdout.splitlines()[-1])
            counts[name] += int(found[1]) if found else 0
    seconds = (datetime.datetime.now(datetime.UTC) - start).total_seconds()
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": version("torch").partition("+")[0],
        "triton": version("triton"),
        "llvmlite": version("llvmlite"),
        "build": version("torch").partition("+")[2] or _build(),
        **counts,
        "seconds": round(seconds),
        "date": f"{start:%Y-%m-%d}",
        "commit": _git("rev-parse", "--short=10", "HEAD") + _changed(),
    }


def _build() -> str:
    """The kind of PyTorch that is installed ("cu132", "cpu"), where the package's version does not say."""
    import torch

    return torch.__version__.partition("+")[2]


def _changed() -> str:
    """A mark for code that is not the commit's."""
    return "-dirty" if _git("status", "--porcelain", "src", "tests", "examples", "pyproject.toml") else ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


# ---- resolve --------------------------------------------------------------------------------------


def requirements(torch: str, triton: str) -> list[str]:
    """What `pip install anychip[torch]` asks for, with these versions of PyTorch and Triton."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["torch"]]
    exact = {"torch": torch, "triton": triton}
    others = [line for line in asked if re.split(r"[^\w-]", line)[0] not in exact]
    return [*others, *(f"{name}=={number}" for name, number in exact.items())]


def resolve(python: str, torch: str, triton: str) -> Row:
    """Whether wheels of everything exist for a Python, by metadata alone; which, or why not."""
    row: Row = {"python": python, "torch": torch, "triton": triton}
    for lifted in (False, True):
        found, problem = _uv(python, requirements(torch, triton), f"triton=={triton}\n" if lifted else "")
        if found:
            return {**row, "resolved": True, "any_triton": lifted, "llvmlite": found["llvmlite"]}
    return {**row, "resolved": False, "reason": problem}


def _uv(python: str, asked: list[str], overrides: str) -> tuple[dict[str, str], str]:
    """Versions by package that uv would install, or what stands against it."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, lifted = Path(folder, "wanted.in"), Path(folder, "lifted.in")
        wanted.write_text("\n".join(asked))
        lifted.write_text(overrides)
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header"),
            *("--no-annotate", "--only-binary", ":all:", "--python-version", python),
            *("--python-platform", PLATFORM, "--override", str(lifted), str(wanted)),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {}, " ".join(done.stderr.split())
    pins = (line.split("==") for line in done.stdout.splitlines() if "==" in line)
    return dict(pins), ""


# ---- page -----------------------------------------------------------------------------------------


def table(record: dict[str, list[Row]]) -> str:
    """The versions of PyTorch and Triton by Python: run (and at which commit), resolved, or neither."""
    ran = {tuple(row[name] for name in KEY): row for row in record["run"]}
    resolved = {tuple(row[name] for name in KEY): row for row in record["resolved"]}
    rows = []
    for torch in PYTORCHES:
        for triton in TRITONS:
            keys = [(python, torch, triton) for python in PYTHONS]
            rows.append((torch, triton, *(_cell(ran.get(key), resolved.get(key)) for key in keys)))
    return markdown.table(("PyTorch", "Triton", *(f"Python {python}" for python in PYTHONS)), rows)


def _cell(ran: Row | None, resolved: Row | None) -> str:
    if ran:
        failed = f", {ran['failed']} failed" if ran["failed"] else ""
        return f"run: {ran['passed']} tests passed{failed} (`{ran['commit']}`)"
    if resolved is None:
        return "not tried"
    if not resolved["resolved"]:
        return "no wheels"
    return "resolved, pin lifted" if resolved["any_triton"] else "resolved"


def written(text: str) -> str:
    """The README with the table of the record between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(known())}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=("run", "resolve", "page"))
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    if given.verb == "run":
        row = run(jobs=given.jobs)
        remember("run", [row])
        sys.exit(row["failed"] > 0)
    if given.verb == "resolve":
        for python in PYTHONS:
            for torch in PYTORCHES:
                rows = [resolve(python, torch, triton) for triton in TRITONS]
                sys.stdout.writelines(f"{row}\n" for row in rows)
                remember("resolved", rows)
    README.write_text(written(README.read_text()))


if __name__ == "__main__":
    main()
