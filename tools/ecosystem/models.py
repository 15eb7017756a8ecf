"""Times models of `transformers`, compiled by us, against eager PyTorch and Inductor's C++.

    python -m tools.ecosystem.models [--size tiny|base|both] [--mode infer|train|both] [--model NAME ...]

Each model is run by all three in turn, on one thread, after their results and gradients were compared;
the figure is the least of the thread's processor times, which other programs disturb less than a clock. Each
row is measured in a process of its own, and added to `evidence/ecosystem/models.json`, of which
`python -m tools.ecosystem page` makes a table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from anychip.chips.host import detect_host
from anychip.pytorch.compilation import backend

from .configurations import MODELS, SIZES, example

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tools.ecosystem.models"
RECORD = ROOT / "evidence" / "ecosystem" / "models.json"
WARM = 3
MODES = ("infer", "train")
SMALL_GRADIENT = 1e-3
"""What a difference may be, relative to a model's largest gradient: sums of thousands of products in single
precision differ by the order in which they are added."""


def step(module: Any, run: Callable[..., Any], value: torch.Tensor, mode: str) -> torch.Tensor:
    """An inference, or the forward and backward pass of a training step."""
    if mode == "infer":
        with torch.no_grad():
            return run(value)[0]
    module.zero_grad()
    result = run(value)[0]
    result.square().mean().backward()
    return result.detach()


def outcome(module: Any, run: Callable[..., Any], value: torch.Tensor, mode: str) -> list[torch.Tensor]:
    """What one step gives: the result, and in training the gradients."""
    result = step(module, run, value, mode)
    if mode == "infer":
        return [result]
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    return [result, *(torch.zeros_like(p) if grad is None else grad.clone() for p, grad in gradients)]


def compare(actual: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Raise unless results are equal but for rounding, gradients relative to the largest of all."""
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-3, atol=1e-3)
    largest = max((float(x.abs().max()) for x in expected[1:]), default=0.0)
    for ours, theirs in zip(actual[1:], expected[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=SMALL_GRADIENT * largest)


def measure(name: str, size: str, mode: str, runs: int) -> dict[str, Any]:
    """Milliseconds of each way to run a model, and the seconds until its first result."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    module = MODELS[name](SIZES[size]).eval()  # without dropout, so that results can be compared
    value = example(name, SIZES[size])
    ways: dict[str, Callable[..., Any]] = {"eager": module}
    first: dict[str, float] = {}
    expected = outcome(module, module, value, mode)
    for way, compiler in (("anychip", backend), ("inductor", "inductor")):
        ways[way] = torch.compile(module, backend=compiler)
        start = time.perf_counter()
        result = outcome(module, ways[way], value, mode)
        first[way] = round(time.perf_counter() - start, 2)
        compare(result, expected)
    times: dict[str, list[int]] = {way: [] for way in ways}
    for _ in range(WARM + runs):
        for way, run in ways.items():
            start = time.thread_time_ns()
            step(module, run, value, mode)
            times[way].append(time.thread_time_ns() - start)
    compare(outcome(module, ways["anychip"], value, mode), expected)  # as it is replayed
    milliseconds = {way: round(min(t[WARM:]) / 1e6, 4) for way, t in times.items()}
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    return {
        "model": name,
        "size": size,
        "mode": mode,
        "date": date,
        "milliseconds": milliseconds,
        "first_seconds": first,
    }


def measured_apart(name: str, size: str, mode: str, runs: int) -> dict[str, Any]:
    """`measure` in a process of its own, so that each begins with memory that nobody has used."""
    command = [sys.executable, "-m", MODULE, "--alone", "--model", name, "--size", size, "--mode", mode]
    done = subprocess.run(
        [*command, "--runs", str(runs)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def remember(row: dict[str, Any]) -> None:
    """Put a row into the record, in place of the one before."""
    rows = json.loads(RECORD.read_text(encoding="utf-8"))["rows"] if RECORD.exists() else []
    known = {(r["model"], r["size"], r["mode"]): r for r in rows}
    known[row["model"], row["size"], row["mode"]] = row
    order = [(model, size, mode) for size in SIZES for mode in MODES for model in MODELS]
    record = {
        "format": 2,
        "machine": detect_host().model,
        "versions": {p: version(p) for p in ("anychip", "torch", "triton", "transformers")},
        "rows": [known[key] for key in order if key in known],
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both")
    parser.add_argument("--mode", choices=[*MODES, "both"], default="both")
    parser.add_argument("--model", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--runs", type=int, help="repetitions instead of the size's own number")
    parser.add_argument("--alone", action="store_true", help="measure in this process, write no record")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for size in SIZES if arguments.size == "both" else [arguments.size]:
        for mode in MODES if arguments.mode == "both" else [arguments.mode]:
            for name in arguments.model:
                runs = arguments.runs or SIZES[size].runs
                if arguments.alone:
                    sys.stdout.write(json.dumps(measure(name, size, mode, runs)) + "\n")
                    continue
                row = measured_apart(name, size, mode, runs)
                sys.stderr.write(f"{json.dumps(row)}\n")
                remember(row)


if __name__ == "__main__":
    main()
