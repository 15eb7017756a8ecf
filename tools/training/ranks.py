"""Runs of `examples/training/pretrain.py` in forked ranks: PyTorch is imported once, and
what a run in one process compiled and planned is there in the ranks of the next one. Flows in: the options
of a run. Flows out: what its rank 0 gives, within a time-out."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

import anychip
from anychip.pytorch import statistics

EXAMPLE = Path(__file__).parents[2] / "examples" / "training"
TIMEOUT = 600.0
"""Seconds after which ranks that have not ended are killed."""


class RunError(RuntimeError):
    """A rank failed, or did not end in time; the message has what it wrote."""


def pretrain(*options: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """The result of a run with these options: losses, tokens_per_second, chips, and `fallen`, the operators
    that fell through to PyTorch's kernels on rank 0, with reasons. Raises RunError."""
    if str(EXAMPLE) not in sys.path:
        sys.path.insert(0, str(EXAMPLE))
    script: Any = importlib.import_module("pretrain")
    torch.set_num_threads(1)
    given = script.arguments([*options, "--json"])
    world = script.CUTS[given.parallel][0]
    if world == 1:
        statistics.fallen.clear()
        try:
            return script.run(given) | {"fallen": _fallen()}
        finally:
            anychip.disable()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ranks = [context.Process(target=_rank, args=(script, given, k, world, place)) for k in range(world)]
        for rank in ranks:
            rank.start()
        end = time.monotonic() + timeout
        while any(rank.is_alive() for rank in ranks) and time.monotonic() < end:
            if any(rank.exitcode for rank in ranks):
                break
            time.sleep(0.02)
        for rank in ranks:
            if rank.is_alive():
                rank.kill()
            rank.join()
        faults = [
            f"rank {k}: {file.read_text()}" for k in range(world) if (file := place / f"{k}.txt").exists()
        ]
        if faults or any(rank.exitcode for rank in ranks):
            raise RunError("\n".join(faults) or f"no end within {timeout:.0f} s: {' '.join(options)}")
        return json.loads((place / "result.json").read_text())


def _fallen() -> list[Any]:
    """Operators that fell through so far: name, reason, calls."""
    return sorted([name, reason, count] for (name, reason), count in statistics.fallen.items())


def _rank(script: Any, given: Any, rank: int, world: int, place: Path) -> None:
    """One rank, in a process of its own; what it raises is left in a file."""
    import torch.distributed as dist
    from torch._C._distributed_c10d import FileStore

    statistics.fallen.clear()
    try:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
        store = FileStore(str(place / "store"), world)
        patience = timedelta(seconds=TIMEOUT)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=patience)
        result = script.run(given)
        if rank == 0:
            (place / "result.json").write_text(json.dumps(result | {"fallen": _fallen()}))
        dist.destroy_process_group()
    except BaseException:
        (place / f"{rank}.txt").write_text(traceback.format_exc())
        raise
