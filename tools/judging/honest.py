"""The library's own operators before the judge: honest kernels, none of which it may refuse. Flows in: the
registry's overloads that are tasks, in a mixed order. Flows out: `evidence/judge/honest.json`, which has of
each what the judge said and when; an interrupted run goes on.

    python -m tools.judging.honest [--seconds 1000] [--most 100] [TASK...]
    python -m tools.judging.honest --write-set FOLDER [--most 200]

The second form writes a set of as many tasks and its file of candidates into a folder, for `anychip judge
--set FOLDER/candidates.txt --record FOLDER/records.jsonl`: one command that goes on where it was interrupted,
with a table at its end.

The guard that a candidate runs under takes memory of earlier calls for foreign: operators that keep a table
from call to call (of strides, of points of a transform) break its rules, and the reason says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anychip.author import campaign
from anychip.author.judgement import Terms
from anychip.author.processes.confined import Nursery
from anychip.author.record import key_file, load_key
from anychip.author.tasks.known import TABLE
from anychip.author.tasks.library import has_answer
from anychip.emulation.execution import host_name
from anychip.evidence.record import commit
from anychip.ops.registry import overloads

RECORD = Path("evidence/judge/honest.json")
FILE, SET = "own.py", "candidates.txt"
SOURCE = '''"""Every operator of the library as a candidate, under its overload's name."""

from anychip.ops.registry import overloads

globals().update(
    {name.replace(".", "_"): overload.implementation for name, (_, overload) in overloads().items()}
)
'''
TERMS = Terms(scale=0.02, shapes=2, rounds=6, checked=6, seconds=120.0, clock="processor")
"""Small shapes and few timed pairs: it is the verdict that counts here, not the speed."""


def tasks() -> list[str]:
    """Overloads that have an answer, in a mixed order: a run that is cut short has some of every domain.
    Names that mean PyTorch's public function as tasks are left out."""
    found = [name for name in overloads() if has_answer(name) and name not in TABLE]
    return sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())


def entries(names: Sequence[str], folder: Path) -> list[campaign.Entry]:
    """Candidates for tasks, whose file is written into a folder."""
    file = folder / FILE
    file.write_text(SOURCE, encoding="utf-8")
    return [
        campaign.entry(f"{file}:{name.replace('.', '_')}", name, _dtype(name), Path("/")) for name in names
    ]


def _dtype(name: str) -> str:
    """Single precision where the operator has it, or else its first type."""
    own = [str(dtype).removeprefix("torch.") for dtype in overloads()[name][0].dtypes]
    return "float32" if "float32" in own else own[0]


def write_set(folder: Path, most: int) -> None:
    """Write a set for `anychip judge --set`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = entries(tasks()[:most], folder)
    lines = [f"{FILE}:{one.function} {one.task} {one.dtype}\n" for one in made]
    (folder / SET).write_text("".join(lines), encoding="utf-8")


def main(seconds: float, most: int, names: list[str], folder: Path) -> None:
    """Judge what the record lacks, or `names`, for so many seconds of the clock."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record["processor"] = host_name()
    done: dict[str, Any] = record.setdefault("tasks", {})
    wanted = names or [name for name in tasks() if name not in done][: max(most - len(done), 0)]
    end, key = time.monotonic() + seconds, load_key(key_file())
    with Nursery(library=True) as nursery:
        for one in entries(wanted, folder):
            if time.monotonic() > end:
                break
            (outcome,) = campaign.run(nursery, [one], TERMS, None, key)
            done[one.task] = _row(outcome)
            RECORD.parent.mkdir(parents=True, exist_ok=True)
            RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            print(one.task, outcome.line, flush=True)
    accepted = sum(row["verdict"] == "accepted" for row in done.values())
    print(f"{accepted} of {len(done)} accepted")


def _row(outcome: campaign.Outcome) -> dict[str, Any]:
    if not outcome.signed:
        return {"verdict": "not judged", "line": outcome.line, "commit": commit()}
    content = outcome.signed["record"]
    return {
        "verdict": content["verdict"],
        "line": content["line"].partition(" (")[0],
        "checks": {check["name"]: check["outcome"] for check in content["checks"]},
        "dtype": content["dtype"],
        "commit": commit(),
    }


if __name__ == "__main__":
    import tempfile

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1000.0, help="of the clock")
    parser.add_argument("--most", type=int, default=100, help="tasks in the record, or in the set")
    parser.add_argument("--write-set", type=Path, metavar="FOLDER", help="write a set instead")
    parser.add_argument("tasks", nargs="*", help="these alone, again")
    told = parser.parse_args()
    if told.write_set is not None:
        write_set(told.write_set, told.most)
    else:
        with tempfile.TemporaryDirectory(prefix="anychip-judge-") as temporary:
            Path(temporary).chmod(0o755)
            main(told.seconds, told.most, told.tasks, Path(temporary))
