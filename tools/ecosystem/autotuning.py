"""Times the first call of autotuned kernels whose configurations are written for GPUs.

    python -m tools.ecosystem.autotuning [--rounds N]

Every figure is of a process of its own with empty caches: the processor time of a kernel's first call, with
all of its configurations and with the one that was then chosen. Both take turns, the least of the rounds
counts, and results are compared with PyTorch's. The rows go to `evidence/ecosystem/autotuning.json`, from
which `python -m tools.ecosystem page` makes a table.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tools.ecosystem.autotuning"
RECORD = ROOT / "evidence" / "ecosystem" / "autotuning.json"
SIZE = 256


@triton.jit
def product_kernel(a, b, out, N, M: tl.constexpr, K: tl.constexpr, D: tl.constexpr):
    row, column, inner = (
        tl.program_id(0) * M + tl.arange(0, M),
        tl.program_id(1) * K + tl.arange(0, K),
        tl.arange(0, D),
    )
    total = tl.zeros((M, K), tl.float32)
    for start in range(0, N, D):
        at = start + inner
        left = tl.load(a + row[:, None] * N + at, mask=(row[:, None] < N) & (at < N), other=0.0)
        right = tl.load(b + at[:, None] * N + column, mask=(at[:, None] < N) & (column < N), other=0.0)
        total = tl.dot(left, right, total)
    inside = (row[:, None] < N) & (column < N)
    tl.store(out + row[:, None] * N + column, total, mask=inside)


@triton.jit
def softmax_kernel(a, b, out, N, M: tl.constexpr, K: tl.constexpr):
    row, column = tl.program_id(0) * M + tl.arange(0, M), tl.arange(0, K)
    inside = (row[:, None] < N) & (column < N)
    x = tl.load(a + row[:, None] * N + column, mask=inside, other=-float("inf"))
    x += tl.load(b + row[:, None] * N + column, mask=inside, other=0.0)
    numerator = tl.exp(x - tl.max(x, 1)[:, None])
    tl.store(out + row[:, None] * N + column, numerator / tl.sum(numerator, 1)[:, None], mask=inside)


@dataclass(frozen=True)
class Tuned:
    """A kernel, the sides of its tiles, and what it computes."""

    kernel: Any
    sides: dict[str, tuple[int, ...]]
    grid: Callable[[dict[str, int]], tuple[int, ...]]
    expected: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def configurations(self) -> list[triton.Config]:
        """Every tile, with the numbers of warps and stages that GPUs are tried with."""
        return [
            triton.Config(dict(zip(self.sides, sides, strict=True)), num_warps=warps, num_stages=stages)
            for sides in itertools.product(*self.sides.values())
            for warps in (4, 8)
            for stages in (2, 3, 4)
        ]


KERNELS = {
    "matrix product": Tuned(
        product_kernel,
        {"M": (16, 64, 128), "K": (32, 64, 128, 256), "D": (32, 64)},
        lambda meta: (triton.cdiv(SIZE, meta["M"]), triton.cdiv(SIZE, meta["K"])),
        lambda a, b: a @ b,
    ),
    "softmax of a sum": Tuned(
        softmax_kernel,
        {"M": (1, 2, 4, 8, 16), "K": (SIZE,)},
        lambda meta: (triton.cdiv(SIZE, meta["M"]),),
        lambda a, b: (a + b).softmax(1),
    ),
}


@triton.jit
def first_kernel(out, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), 1.0)


def first_call(name: str, chosen: dict[str, int]) -> dict[str, Any]:
    """Processor seconds of the first call in this process, which has compiled another kernel before; with
    the tile `chosen`, or with all configurations where that is empty."""
    torch.set_num_threads(1)
    first_kernel[(1,)](torch.empty(16), BLOCK=16)
    tuned = KERNELS[name]
    configurations = [triton.Config(chosen)] if chosen else tuned.configurations()
    kernel = triton.autotune(configurations, key=["N"])(tuned.kernel)
    a, b = torch.randn(2, SIZE, SIZE)
    out = torch.empty(SIZE, SIZE)
    start = time.process_time()
    kernel[tuned.grid](a, b, out, SIZE)
    seconds = time.process_time() - start
    torch.testing.assert_close(out, tuned.expected(a, b), rtol=1e-4, atol=1e-3)
    best = {side: kernel.best_config.kwargs[side] for side in tuned.sides}
    return {"seconds": round(seconds, 3), "configurations": len(configurations), "chosen": best}


def in_a_process(name: str, chosen: dict[str, int]) -> dict[str, Any]:
    """`first_call` in a process of its own with empty caches."""
    with tempfile.TemporaryDirectory(prefix="anychip-autotuning-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, "--one", name, json.dumps(chosen)],
            env={**os.environ, "TRITON_CACHE_DIR": folder},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def measure(rounds: int) -> list[dict[str, Any]]:
    """A row for each kernel."""
    rows = []
    for name in KERNELS:
        every: list[dict[str, Any]] = []
        single: list[dict[str, Any]] = []
        for _ in range(rounds):
            every.append(in_a_process(name, {}))
            single.append(in_a_process(name, every[-1]["chosen"]))
            sys.stderr.write(f"{name}: {every[-1]}, {single[-1]['seconds']} s with that alone\n")
        rows.append(
            {
                "kernel": name,
                "configurations": every[0]["configurations"],
                "every": [run["seconds"] for run in every],
                "single": [run["seconds"] for run in single],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("KERNEL", "TILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, chosen = arguments.one
        sys.stdout.write(json.dumps(first_call(name, json.loads(chosen))) + "\n")
        return
    from anychip.chips.host import detect_host

    contents = {
        "format": 1,
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "machine": detect_host().model,
        "versions": {package: version(package) for package in ("anychip", "torch", "triton")},
        "rows": measure(arguments.rounds),
    }
    RECORD.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    sys.stderr.write(f"wrote {RECORD}\n")


if __name__ == "__main__":
    main()
