"""How quick the group `anychip` is beside PyTorch's gloo: an all-reduce of 64 MB on two ranks, interleaved.
Flows in: nothing. Flows out: for each pairing of host and device memory the ratio of gloo's time to ours,
median of rounds, and processor seconds of rank 0. `python -m tools.cluster.speed [MB] [ROUNDS]`."""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from tests.cluster import stand_in

import anychip.cluster  # noqa: F401

from . import job

DEVICE = "acme"


def worker(megabytes: int, rounds: int) -> None:
    """Time both groups on this rank."""
    torch.set_num_threads(1)
    kept = stand_in.make(DEVICE)
    dist.init_process_group("anychip", timeout=timedelta(seconds=120))
    rank = dist.get_rank()
    ours: Any = dist.group.WORLD
    gloo: Any = dist.new_group(backend="gloo")
    host = torch.ones(megabytes << 18)
    staged = stand_in.on_device(host, DEVICE)
    strided = torch.ones(megabytes << 18, 2)[:, 0]
    cases = {
        "gloo, f32 on the hosts": (gloo, host),
        "anychip, f32 on the hosts": (ours, host),
        "anychip, f32 on a device and a host": (ours, host if rank else staged),
        "anychip, f32 strided and plain": (ours, host if rank else strided),
        "anychip, bf16 on the hosts, as many elements": (ours, host.bfloat16()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    processor: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, (group, tensor) in cases.items():
            dist.barrier(group=gloo)
            began, used = time.perf_counter(), time.process_time()
            dist.all_reduce(tensor, dist.ReduceOp.AVG, group=group)
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - used)
    base = seconds["gloo, f32 on the hosts"][1:]
    told = {
        name: {
            "seconds": statistics.median(times[1:]),
            "gloo / this": statistics.median(g / t for g, t in zip(base, times[1:])),
            "processor seconds": statistics.median(processor[name][1:]),
        }
        for name, times in seconds.items()
    }
    print(json.dumps(told))
    dist.destroy_process_group()
    kept._destroy()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(int(sys.argv[2]), int(sys.argv[3]))
    else:
        sizes = [*sys.argv[1:], "64", "5"][:2] if len(sys.argv) < 3 else sys.argv[1:3]
        ended = job.run(["-m", "tools.cluster.speed", "worker", *sizes], 2, 500)
        print(json.dumps(json.loads(ended[0].output.splitlines()[-1]), indent=1))
