"""Runs third parties' own tests, unmodified, from outside the repository, and records what came of them.

    python -m tools.ecosystem SUITE TREE [--every N] [--only EXPRESSION] [--resume] [--source TEXT]
    python -m tools.ecosystem page

SUITE is one of those in `suites.py`; TREE the unpacked sources that hold its tests. The run's raw
records are kept in a file (`--records`), with which a run that was interrupted goes on; what they come to is
written into `evidence/ecosystem/SUITE.json`. `page` writes `docs/ecosystem.md` from those files.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .page import page
from .suites import SUITES, Record, Suite, verdict

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).resolve().with_name("plugin")
EVIDENCE = ROOT / "evidence" / "ecosystem"
PAGE = ROOT / "docs" / "ecosystem.md"
FREED_MEMORY_IS_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
"""To the C library: half of the time with large tensors is the system's, giving pages and taking them."""
PACKAGES = ("anychip", "torch", "triton", "llvmlite", "transformers")


def check(suite: Suite, tree: Path) -> None:
    """End with a message where the tree does not hold the suite."""
    if not (tree / suite.marker).exists():
        raise SystemExit(f"{tree} holds no {suite.marker}: give the root of the sources of {suite.package}")


def run(suite: Suite, arguments: argparse.Namespace, records: Path) -> None:
    """Run the suite. A process that a case ends is followed by another, which goes on after that case."""
    tree: Path = arguments.tree.resolve()
    paths = [str(PLUGIN), *(str(tree / source) for source in suite.sources)]
    with tempfile.TemporaryDirectory(prefix="ecosystem-", ignore_cleanup_errors=True) as folder:
        cache = arguments.cache or folder
        environment = {
            **os.environ,
            **FREED_MEMORY_IS_KEPT,
            **suite.environment,
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "ECOSYSTEM_RECORDS": str(records),
            "ECOSYSTEM_EVERY": str(arguments.every),
            "ECOSYSTEM_LARGE": suite.large,
            "ECOSYSTEM_LARGE_EVERY": str(arguments.large_every or arguments.every),
            "ECOSYSTEM_WITHOUT": suite.without[0],
            "ECOSYSTEM_SECONDS": str(arguments.seconds),
            "TRITON_CACHE_DIR": str(Path(cache) / "triton"),
            "TORCHINDUCTOR_CACHE_DIR": str(Path(cache) / "inductor"),
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "ecosystem_plugin",
            "-p",
            "no:cacheprovider",
            "-q",
            "--tb=short",
            "--continue-on-collection-errors",
            *(["-k", arguments.only] if arguments.only else []),
            *suite.paths,
        ]
        while True:
            before = len(read(records)[1])
            done = subprocess.run(command, cwd=tree / suite.folder, env=environment, check=False)
            if done.returncode >= 0 or len(read(records)[1]) == before:
                return


def read(path: Path) -> tuple[int, list[Record]]:
    """The number of cases of the right size in the suite, and the record of each case that was run: a failure
    before anything else, and a failure for a case that was begun and ended its process."""
    collected = 0
    if not path.exists():
        return collected, []
    cases: dict[str, Record] = {}
    begun: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        collected = max(collected, record.get("collected", 0))
        begun |= {record["begun"]} if "begun" in record else set()
        if "case" in record and cases.get(record["case"], {}).get("outcome") != "failed":
            cases[record["case"]] = record
    for case in begun - cases.keys():
        cases[case] = {
            "case": case,
            "outcome": "failed",
            "reason": "the process ended",
            "cuda": False,
            "seconds": 0,
        }
    return collected, list(cases.values())


def versions(suite: Suite) -> dict[str, str]:
    """What ran, by name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {**found, "commit": commit.stdout.strip() or "unknown"}


def evidence(
    name: str, arguments: argparse.Namespace, collected: int, records: list[Record]
) -> dict[str, Any]:
    """What a run came to, as it is kept."""
    suite = SUITES[name]
    files: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[tuple[str, str]]] = {}
    for record in records:
        outcome, reason = verdict(suite, record)
        files.setdefault(record["case"].split("::")[0], Counter())[outcome] += 1
        if reason:
            function = record["case"].split("::")[-1].split("[")[0]
            key = (reason, "" if outcome == "skipped" else function)
            reasons.setdefault(outcome, Counter())[key] += 1
    return {
        "format": 1,
        "suite": name,
        "source": arguments.source,
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "versions": versions(suite),
        "collected": collected,
        "every": arguments.every,
        "large_every": arguments.large_every or arguments.every,
        "only": arguments.only,
        "seconds_for_a_case": arguments.seconds,
        "outcomes": dict(sum(files.values(), Counter())),
        "files": {file: dict(counts) for file, counts in sorted(files.items())},
        "reasons": {
            outcome: [[*key, count] for key, count in counts.most_common()]
            for outcome, counts in sorted(reasons.items())
        },
    }


def written(text: str) -> str:
    """docs/ecosystem.md as its records give it; nothing of the `text` that it has is kept."""
    return page({path.stem: json.loads(path.read_text(encoding="utf-8")) for path in EVIDENCE.glob("*.json")})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=[*SUITES, "page"])
    parser.add_argument("tree", type=Path, nargs="?", help="root of the unpacked sources")
    parser.add_argument("--every", type=int, default=1, help="run every Nth case")
    parser.add_argument("--large-every", type=int, help="run every Nth of the cases with large tensors")
    parser.add_argument("--cache", type=Path, help="where to keep compiled kernels, for runs that go on")
    parser.add_argument("--only", default="", help="run the cases that this pytest expression names")
    parser.add_argument("--seconds", type=float, default=120, help="how long a case may take")
    parser.add_argument("--records", type=Path, help="where to keep the raw records of the run")
    parser.add_argument("--resume", action="store_true", help="run what --records has no record of")
    parser.add_argument("--no-run", action="store_true", help="write what --records holds, and run nothing")
    parser.add_argument("--source", default="", help="what the tree is, for the record")
    arguments = parser.parse_args()
    if arguments.suite != "page":
        if arguments.tree is None:
            parser.error("the root of the unpacked sources is missing")
        suite = SUITES[arguments.suite]
        check(suite, arguments.tree)
        with tempfile.TemporaryDirectory(prefix="ecosystem-") as folder:
            records = (arguments.records or Path(folder) / "records.jsonl").resolve()
            if not (arguments.resume or arguments.no_run):
                records.unlink(missing_ok=True)
            if not arguments.no_run:
                run(suite, arguments, records)
            kept = evidence(arguments.suite, arguments, *read(records))
        EVIDENCE.mkdir(parents=True, exist_ok=True)
        path = EVIDENCE / f"{arguments.suite}.json"
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(f"wrote {path}\n")
    PAGE.write_text(written(""), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main()
