"""The job that faults are injected into: a small model with dropout under DDP, unequal shards, checkpoints.
Flows in: a folder, how many steps, a fault. Flows out: a file of each rank's losses, and an exit.

As a program it runs as `-m tools.cluster.training FOLDER STEPS [--fault KIND RANK STEP] [--asynchronous]`,
under torchrun: the fault happens once, and the job goes on from its last checkpoint when it is started
again."""

from __future__ import annotations

import argparse
import os
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import anychip.cluster  # noqa: F401
from anychip.cluster.checkpoint import Checkpoints
from anychip.cluster.shards import Shards
from anychip.cluster.steps import Steps

SAMPLES, BATCH = 96, 12
INTERVAL = 3
TIMEOUT = 12.0
SLOW_SECONDS, STRAGGLER_SECONDS = 60.0, 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls which rank in which step."""

    kind: str = ""
    rank: int = 0
    step: int = 0


def train(folder: Path, steps: int, fault: Fault, timeout: float = TIMEOUT, is_async: bool = False) -> None:
    """Train from the last checkpoint to `steps`; `is_async`: checkpoints are written while steps go on."""
    torch.set_num_threads(1)
    dist.init_process_group("anychip", timeout=timedelta(seconds=timeout))
    rank, size = dist.get_rank(), dist.get_world_size()
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(SAMPLES, 6, generator=generator), torch.randn(SAMPLES, 2, generator=generator)
    torch.manual_seed(3)
    layers = [torch.nn.Linear(6, 64), torch.nn.Dropout(0.2), torch.nn.Tanh(), torch.nn.Linear(64, 2)]
    model: Any = DistributedDataParallel(torch.nn.Sequential(*layers))
    torch.manual_seed(100 + rank)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    shards = Shards(SAMPLES, BATCH, [2.0, *[1.0] * (size - 1)], rank)
    checkpoints = Checkpoints(folder / "checkpoints", model, optimizer, shards, INTERVAL, is_async=is_async)
    watch = Steps(every=2)
    step = checkpoints.restore()
    with open(folder / f"losses-{rank}.txt", "a", buffering=1) as log:
        while step < steps:
            for indices in shards:
                with watch.step(step):
                    here = fault.rank == rank and fault.step == step
                    optimizer.zero_grad()
                    loss = shards.weigh(torch.nn.functional.mse_loss(model(x[indices]), y[indices]))
                    if here and fault.kind in BEFALLS:
                        loss.register_hook(lambda _, kind=fault.kind: BEFALLS[kind](folder))
                    if fault.kind == "straggler" and fault.rank == rank:
                        time.sleep(STRAGGLER_SECONDS)
                    loss.backward()
                    optimizer.step()
                    total = loss.detach() / size
                    dist.all_reduce(total)
                    log.write(f"{step} {float(total.item()).hex()}\n")
                if watch.straggler is not None and rank == 0:
                    (folder / "straggler.txt").write_text(f"{watch.straggler.member.rank} {watch.straggler}")
                checkpoints.after(step)
                step += 1
                if step == steps:
                    break
    checkpoints.finish()
    dist.destroy_process_group()


def _befalls_once(folder: Path) -> bool:
    marker = folder / "befallen"
    if marker.exists():
        return False
    marker.touch()
    return True


def _kill(folder: Path) -> None:
    if _befalls_once(folder):
        os.kill(os.getpid(), signal.SIGKILL)


def _stop(folder: Path) -> None:
    if _befalls_once(folder):
        os.kill(os.getpid(), signal.SIGSTOP)


def _slow(folder: Path) -> None:
    if _befalls_once(folder):
        time.sleep(SLOW_SECONDS)


def _cut(folder: Path) -> None:
    """Wait until the injector has taken the cable out."""
    if _befalls_once(folder):
        while not (folder / "cable is out").exists():
            time.sleep(0.05)


BEFALLS = {"kill": _kill, "stop": _stop, "slow": _slow, "cut": _cut}
"""What happens in the middle of a backward pass."""


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--fault", nargs=3, metavar=("KIND", "RANK", "STEP"), default=("", "0", "0"))
    parser.add_argument("--asynchronous", action="store_true")
    given = parser.parse_args()
    kind, rank, step = given.fault
    train(given.folder, given.steps, Fault(kind, int(rank), int(step)), is_async=given.asynchronous)


if __name__ == "__main__":
    main()
