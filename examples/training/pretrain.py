"""Pretrain a small Llama, in one process or cut over several by PyTorch's own engines, with the same losses.

python examples/training/pretrain.py --model llama-tiny --parallel fsdp2 --steps 20 --seed 0 --json

The global batch, its order and the initial weights depend on the seed alone. Without `torchrun` the script
starts as many processes as the cut needs. Rank 0 prints; with --json one line: losses (global means), tokens
per second, and each rank's chip.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from checkpoints import load, save
from cuts import CUTS, SCHEDULES, Engine, Settings, clip_gradients
from llama import MODELS, Llama
from optimisers import OPTIMISERS, optimiser
from text import Windows

import anychip
from anychip import training
from anychip.compiler.targets.host import host
from anychip.measurements.chip import identify

DTYPES = {"float32": None, "bfloat16": torch.bfloat16}
TIMEOUT = timedelta(seconds=120)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="llama-tiny")
    parser.add_argument("--parallel", choices=CUTS, default="single")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--policy",
        choices=("strict", "portable", "auto", "pytorch"),
        default=os.environ.get("ANYCHIP_POLICY", "strict"),
    )
    parser.add_argument("--batch", type=int, default=8, help="windows of the global batch")
    parser.add_argument("--length", type=int, default=64, help="tokens of a window")
    parser.add_argument("--vocabulary", type=int, default=256)
    parser.add_argument("--optimiser", choices=OPTIMISERS, default="adamw")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--clip", type=float, default=1.0, help="the largest norm of all gradients")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--microbatches", type=int, default=4, help="of a pipeline")
    parser.add_argument("--schedule", choices=SCHEDULES, default="1f1b", help="of a pipeline")
    parser.add_argument("--compile", metavar="BACKEND", default="", help="such as anychip or inductor")
    parser.add_argument("--save", type=Path, help="a folder for the checkpoint after the last step")
    parser.add_argument("--resume", type=Path, help="a checkpoint of any cut; --steps counts from its step")
    parser.add_argument("--logits", type=Path, help="a file for the logits of one more batch, as they end up")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(given)


def start_processes(given: argparse.Namespace) -> None:
    """Start this script under torchrun where the cut needs processes and there are none."""
    if "WORLD_SIZE" in os.environ or CUTS[given.parallel][0] == 1:
        return
    count = str(CUTS[given.parallel][0])
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count]
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(count))))
    os.execv(sys.executable, [sys.executable, *run, *sys.argv])


def is_first() -> bool:
    """Whether this is the rank that reports."""
    return not dist.is_initialized() or dist.get_rank() == 0


def train(given: argparse.Namespace, engine: Engine, first: int) -> tuple[list[float], float]:
    """Losses of all steps, and tokens per second over all but the first step."""
    windows = Windows(given.batch, given.length, given.seed)
    updates = optimiser(given.optimiser, engine.parameters(), given.learning_rate)
    if given.resume:
        load(given.resume, engine, updates)
    losses: list[float] = []
    begun = time.perf_counter()
    for step in range(first, first + given.steps):
        losses.append(engine.step(*windows.at(step)))
        clip_gradients(engine, given.clip)
        updates.step()
        updates.zero_grad()
        if step == first:
            begun = time.perf_counter()
        training.report(loss=losses[-1], tokens=given.batch * given.length)
        if is_first() and not given.json:
            print(f"step {step}: loss {losses[-1]:.4f}", file=sys.stderr)
    seconds = time.perf_counter() - begun
    if given.save:
        save(given.save, engine, updates)
        if is_first():
            (given.save / "step").write_text(str(first + given.steps))
    return losses, (given.steps - 1) * given.batch * given.length / seconds if given.steps > 1 else 0.0


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Train in this process, as one rank where there are several; gives what rank 0 prints."""
    anychip.disable()  # the weights are those of PyTorch's own generator under every policy
    torch.manual_seed(given.seed)
    model = Llama(MODELS[given.model].with_vocabulary(given.vocabulary), given.length)
    if given.policy != "pytorch":
        anychip.enable(given.policy)
    settings = Settings(DTYPES[given.dtype], given.microbatches, given.schedule, given.compile)
    engine = CUTS[given.parallel][1](model, settings)
    first = int((given.resume / "step").read_text()) if given.resume else 0
    losses, rate = train(given, engine, first)
    if given.logits:
        logits = engine.logits(Windows(given.batch, given.length, given.seed).at(first + given.steps)[0])
        if is_first():
            torch.save(logits, given.logits)
    chip = f"{identify(torch.get_num_threads()).model} ({host().cpu})"
    names = [chip]
    if dist.is_initialized():
        names = [""] * dist.get_world_size()
        dist.all_gather_object(names, chip)
    return {"losses": losses, "tokens_per_second": rate, "chips": names}


def main() -> None:
    """Train as the command line says, and print on rank 0."""
    given = arguments()
    start_processes(given)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo", timeout=TIMEOUT)
    elif given.parallel != "single":
        raise SystemExit(f"--parallel {given.parallel} needs torchrun")
    result = run(given)
    if is_first():
        if given.json:
            print(json.dumps(result), flush=True)
        else:
            first, last = result["losses"][0], result["losses"][-1]
            rate, names = result["tokens_per_second"], ", ".join(result["chips"])
            print(f"loss {first:.4f} to {last:.4f}, {rate:.0f} tokens/s on {names}")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
