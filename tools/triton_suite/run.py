"""Runs Triton's own language tests, unmodified, from outside the repository, and writes a page of the result.

    python -m tools.triton_suite TREE [--wheel FOLDER] [--sample N] [--page FILE]

TREE is the unpacked sources of Triton (or of a fork); its `python/test/unit/language` holds the tests.
`--wheel` names a folder with another Triton wheel unpacked in it, where the tests belong to another version
than the one installed. `--sample N` runs N cases of each test function instead of all, and the page says so.
`--from FILE` writes the page anew from the records of an earlier run; `--resume` goes on with one.
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
from collections import Counter, defaultdict
from pathlib import Path

from anychip.markdown import numbers, table

from .rules import Record, explain, left_out, names_a_gpu, skip_reason

FILES = (
    "test_core.py",
    "test_standard.py",
    "test_conversions.py",
    "test_random.py",
    "test_tensor_descriptor.py",
    "test_block_pointer.py",
    "test_tuple.py",
    "test_annotations.py",
    "test_decorator.py",
    "test_frontend.py",
    "test_libdevice.py",
    "test_compile_errors.py",
    "test_subprocess.py",
    "test_module.py",
    "test_matmul.py",
    "test_mxfp.py",
    "test_line_info.py",
    "test_pipeliner.py",
    "test_compile_only.py",
    "test_reproducer.py",
    "test_warp_specialization.py",
)
ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).resolve().with_name("plugin")
FOLDER = Path("python/test/unit/language")


def tests_of(tree: Path) -> Path:
    """The folder with the tests in a Triton tree."""
    for folder in (tree / FOLDER, tree):
        if (folder / "test_core.py").exists():
            return folder
    raise SystemExit(f"{tree} holds no {FOLDER}/test_core.py: give the root of an unpacked Triton tree")


def run(tests: Path, arguments: argparse.Namespace, records: Path) -> None:
    """Run the suite; a line of versions, and one record for each case, go to `records`."""
    paths = [str(PLUGIN), *([str(arguments.wheel)] if arguments.wheel else [])]
    with tempfile.TemporaryDirectory(prefix="triton-tests-") as cache:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "CONFORMANCE_RECORDS": str(records),
            "CONFORMANCE_SAMPLE": str(arguments.sample),
            "CONFORMANCE_RESUME": "1" if arguments.resume else "",
            "TRITON_CACHE_DIR": cache,
        }
        files = [name for name in FILES if (tests / name).exists()]
        if not (arguments.resume and records.exists()):
            records.write_text(json.dumps({"versions": versions(arguments)}) + "\n", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "triton_suite_plugin",
            "--device",
            "cpu",
            "-q",
            "--tb=short",
            "-n",
            str(arguments.jobs),
            *(["-k", arguments.only] if arguments.only else []),
            *files,
        ]
        subprocess.run(command, cwd=tests, env=environment, check=False)


def read(path: Path) -> tuple[dict[str, str], int, list[Record]]:
    """Versions of a run, the number of cases in the suite, and the record of each case that was run: a
    failure before anything else."""
    names: dict[str, str] = {}
    collected = 0
    cases: dict[str, Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        names = record.get("versions", names)
        collected = max(collected, record.get("collected", 0))
        if "case" in record and cases.get(record["case"], {}).get("outcome") != "failed":
            cases[record["case"]] = record
    return names, collected, list(cases.values())


def versions(arguments: argparse.Namespace) -> dict[str, str]:
    """What ran, by name; of the Triton whose wheel was given, if one was."""
    paths = os.pathsep.join([str(arguments.wheel)] if arguments.wheel else [])
    code = (
        "import triton, torch, llvmlite, anychip, json; print(json.dumps({'Anychip': anychip.__version__, "
        "'Triton': triton.__version__, 'PyTorch': torch.__version__, 'llvmlite': llvmlite.__version__}))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [paths, os.environ.get("PYTHONPATH")])),
    }
    text = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found: dict[str, str] = json.loads(text.stdout.splitlines()[-1])
    return {**found, "Python": platform.python_version(), "commit": commit.stdout.strip() or "unknown"}


def _share(outcomes: Counter[str]) -> str:
    counted = outcomes["passed"] + outcomes["failed"]
    return f"{100 * outcomes['passed'] / max(1, counted):.1f} % ({outcomes['passed']} of {counted})"


def page(records: list[Record], names: dict[str, str], collected: int) -> str:
    """The page in Markdown."""
    files: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = {key: Counter() for key in ("left out", "failed", "skipped")}
    for record in records:
        outcome = "left out" if left_out(record) else record["outcome"]
        files[Path(record["case"].split("::")[0]).name][outcome] += 1
        function = record["case"].split("::")[-1].split("[")[0]
        if outcome == "left out":
            reasons[outcome][f"{left_out(record)} | `{function}`"] += 1
        elif outcome == "failed":
            reasons[outcome][f"{explain(record)} | `{function}`"] += 1
        elif outcome == "skipped":
            reasons[outcome][skip_reason(record)] += 1
    total = sum(files.values(), Counter())
    plain = Counter(record["outcome"] for record in records if not names_a_gpu(record))
    rows = [
        [f"`{name}`", *(str(sum(c.values()) if key == "cases" else c[key]) for key in _COLUMNS)]
        for name, c in [*((n, files[n]) for n in FILES if n in files), ("all", total)]
    ]
    every = len(records) >= collected
    what = "every case" if every else f"{len(records)} of {collected} cases, drawn at random from each test"
    parts = [
        "# Triton's own language tests on the CPU",
        "Written by `make triton-tests TREE=...`; do not edit. The tests are those of a Triton tree, "
        f"unmodified, run with `--device cpu`: {what}.",
        f"**{_share(plain)}** of the cases whose source names neither CUDA nor a GPU's assembly or IR pass; "
        f"{_share(total)} of all that are neither skipped nor left out.",
        ", ".join(f"{name} {version}" for name, version in names.items())
        + f"; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}.",
        table(numbers(["file", *_COLUMNS]), rows),
        "Skipped is what the suite itself leaves out on a machine that is neither CUDA's nor HIP's. Left out "
        "are failures of tests that look into a GPU back end's assembly or IR, or name CUDA in their source.",
    ]
    titles = {"failed": "What fails", "left out": "What is left out", "skipped": "What the suite skips"}
    for key, title in titles.items():
        if reasons[key]:
            heads = ["reason", "test", "cases"] if key != "skipped" else ["reason", "cases"]
            body = [[*text.rsplit(" | ", len(heads) - 2), str(n)] for text, n in reasons[key].most_common()]
            parts += [f"## {title}", table(numbers(heads), body)]
    return "\n\n".join(parts) + "\n"


_COLUMNS = ["cases", "passed", "failed", "skipped", "xfailed", "left out"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tree", type=Path, help="root of an unpacked Triton tree")
    parser.add_argument("--wheel", type=Path, help="folder with another Triton wheel unpacked in it")
    parser.add_argument("--sample", type=int, default=0, help="cases of each test function; 0: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "triton-tests.md")
    parser.add_argument("--records", type=Path, help="where to keep the records of the run")
    parser.add_argument("--resume", action="store_true", help="run what --records has no record of")
    parser.add_argument("--only", default="", help="run the tests that this pytest expression names")
    parser.add_argument("--from", dest="earlier", type=Path, help="records of an earlier run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="triton-tests-") as folder:
        records = arguments.earlier or arguments.records or Path(folder) / "records.jsonl"
        if arguments.earlier is None:
            run(tests_of(arguments.tree.resolve()), arguments, records.resolve())
        names, collected, found = read(records)
    arguments.page.parent.mkdir(exist_ok=True)
    arguments.page.write_text(page(found, names, collected), encoding="utf-8")
    sys.stderr.write(f"wrote {arguments.page}\n")


if __name__ == "__main__":
    main()
