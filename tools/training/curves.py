"""A hundred steps of eleven models under `strict` against PyTorch's own, seed by seed, for the table in
`docs/training.md`.

python -m tools.training.curves run                            # all, into evidence/training/curves.json
python -m tools.training.curves run --models Llama --steps 20 --json   # to standard output
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import anychip
from anychip.evidence.record import commit
from anychip.markdown import table
from anychip.measurements.chip import identify
from anychip.pytorch import statistics

from .models import TASKS

RECORD = Path(__file__).parents[2] / "evidence" / "training" / "curves.json"
DTYPES = {"f32": None, "bf16": torch.bfloat16}
RATE = 3e-3
SEEDS = (0, 1, 2)
"""The first is compared; PyTorch's losses under the others are its own spread."""


def losses(name: str, steps: int, seed: int, dtype: torch.dtype | None, policy: str) -> list[float]:
    """The losses of a training with AdamW. Weights, batches and dropout are those of the seed under every
    policy."""
    anychip.disable()
    torch.manual_seed(seed)
    task = TASKS[name]()
    task.model.train()
    updates = torch.optim.AdamW(task.model.parameters(), lr=RATE, fused=True)
    found: list[float] = []
    if policy != "pytorch":
        anychip.enable(policy, random="native")
    try:
        for step in range(steps):
            generator = torch.Generator().manual_seed(1000 * seed + step)
            with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
                loss = task.loss(generator)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
            updates.step()
            updates.zero_grad()
            found.append(loss.item())
    finally:
        anychip.disable()
    return found


def largest(a: list[float], b: list[float]) -> float:
    """The largest difference of two curves' losses, in parts of the loss."""
    return max(abs(x - y) / abs(y) for x, y in zip(a, b, strict=True))


def between_seeds(curves: list[list[float]]) -> float:
    """How far PyTorch's curves of different seeds are apart in the mean over all steps, in parts of the
    loss."""
    steps = list(zip(*curves, strict=True))
    return sum((max(each) - min(each)) / (sum(each) / len(each)) for each in steps) / len(steps)


def compare(name: str, steps: int, dtype: str, policy: str = "strict") -> dict[str, Any]:
    """The curves of a model, and what fell through."""
    kind = DTYPES[dtype]
    expected = [losses(name, steps, seed, kind, "pytorch") for seed in SEEDS]
    statistics.fallen.clear()
    got = losses(name, steps, SEEDS[0], kind, policy)
    return {
        "model": name,
        "dtype": dtype,
        "losses": got,
        "reference": expected[0],
        "largest": largest(got, expected[0]),
        "spread": between_seeds(expected),
        "fallen": sorted([op, reason, count] for (op, reason), count in statistics.fallen.items()),
        "commit": commit(),
    }


# ---- record and table -------------------------------------------------------------------------------


def section(record: dict[str, Any]) -> str:
    """The table of a record."""
    made = table(
        ["model", "losses", "f32: largest difference", "bf16: largest difference", "between seeds"],
        _lines(record),
    )
    facts = (
        f"{record['steps']} steps, PyTorch {record['torch']}, {record['chip']}, policy {record['policy']}."
    )
    return f"{facts}\n\n{made}"


def _lines(record: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    rows = {(row["model"], row["dtype"]): row for row in record["rows"]}
    """A row for each model that the record has."""
    for name in TASKS:
        of_model = [rows.get((name, dtype)) for dtype in DTYPES]
        first = of_model[0]
        if first is not None:
            cells = [f"{row['largest']:.1e}" if row else "not measured" for row in of_model]
            curve = f"{first['losses'][0]:.3f} to {first['losses'][-1]:.3f}"
            yield (name, curve, *cells, f"{first['spread']:.1e}")


def _record(given: argparse.Namespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "chip": identify(1).model,
        "torch": torch.__version__,
        "steps": given.steps,
        "policy": given.policy,
        "rows": rows,
    }


def main() -> None:
    """Run models that the record lacks, or those that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run",))
    parser.add_argument("--models", nargs="*", choices=TASKS, help="those that are missing if none is named")
    parser.add_argument("--dtypes", nargs="*", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--policy", choices=("strict", "portable"), default="strict")
    parser.add_argument("--json", action="store_true", help="to standard output; the record stays as it is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [(name, dtype) for name in given.models or TASKS for dtype in given.dtypes]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    if RECORD.exists() and not given.json:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        if record["steps"] == given.steps and record["policy"] == given.policy:
            rows = {(row["model"], row["dtype"]): row for row in record["rows"]}
    for key in wanted:
        if key in rows and not given.models:
            continue
        rows[key] = compare(key[0], given.steps, key[1], given.policy)
        if not given.json:
            found = rows[key]
            print(*key, found["largest"], found["spread"], found["fallen"], flush=True)
            RECORD.write_text(json.dumps(_record(given, list(rows.values())), indent=1) + "\n")
    if given.json:
        print(json.dumps(_record(given, list(rows.values()))))


if __name__ == "__main__":
    main()
