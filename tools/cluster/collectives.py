"""The table of collectives and element types. `python -m tools.cluster.collectives record` tries all of
them with the group `anychip` and with PyTorch's gloo, on two ranks, and writes the record that
docs/cluster.md's table is made of; `worker BACKEND SHAPE` is what each rank runs."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

import torch
import torch.distributed as dist

import anychip.cluster  # noqa: F401
from anychip.evidence.record import commit

from . import job
from .matrix import LAYOUTS, measured

RECORD = job.ROOT / "evidence" / "cluster" / "collectives.json"
SHAPE = (6, 5)
SECONDS = 240.0


def worker(backend: str, shape: tuple[int, ...]) -> None:
    """Try everything on this rank, and write what came of it as JSON."""
    torch.set_num_threads(1)
    dist.init_process_group(backend, timeout=timedelta(seconds=30))
    print(json.dumps(measured(shape)))
    dist.destroy_process_group()


def tried(backend: str, ranks: int, shape: tuple[int, ...] = SHAPE) -> dict[str, str]:
    """What came of each trial on all ranks: "right" where it was right on each, else what the first other
    rank saw."""
    text = "x".join(map(str, shape))
    ended = job.run(["-m", "tools.cluster.collectives", "worker", backend, text], ranks, SECONDS)
    found = [json.loads(each.output.splitlines()[-1]) for each in ended]
    return {name: next((each[name] for each in found if each[name] != "right"), "right") for name in found[0]}


def record() -> None:
    """Write the record, a row for each collective and type: what each layout gave."""
    rows: dict[str, dict[str, str]] = {}
    for backend in ("anychip", "gloo"):
        for name, told in tried(backend, 2).items():
            collective_and_type, _, layout = name.rpartition("/")
            rows.setdefault(collective_and_type, {})[f"{backend} {layout}"] = told
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    written = {
        "command": "python -m tools.cluster.collectives record",
        "commit": commit(),
        "torch": torch.__version__,
        "ranks": 2,
        "shape": list(SHAPE),
        "layouts": list(LAYOUTS),
        "rows": rows,
    }
    RECORD.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(sys.argv[2], tuple(map(int, sys.argv[3].split("x"))))
    else:
        record()
