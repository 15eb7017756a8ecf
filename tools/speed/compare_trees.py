"""Is any row of the suite slower than it was? Two checkouts of this repository, timed against one another.

    git worktree add ../before COMMIT
    python -m tools.speed.compare_trees ../before [PATTERN ...] [--json FILE]

Each checkout computes in a process of its own, one thread, with an empty cache of kernels. The processes
take turns; a turn is timed by its processor time, so what else the machine does disturbs both alike. The
results of both are compared. A row that seems slower than `LIMIT` is timed again, with more turns, before it
is called so. Status 1 if a row stays slower.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1.03
TURNS, MORE_TURNS, AGAIN = 11, 31, 3
TURN_SECONDS = 0.02

Row = dict[str, Any]


class Tree:
    """A checkout, with a process that runs its kernels."""

    def __init__(self, root: Path, scratch: Path):
        self.root = root
        self.output = scratch / "output.pt"
        scratch.mkdir()
        environment = os.environ | {
            "PYTHONPATH": str(root / "src"),
            "TRITON_CACHE_DIR": str(scratch / "triton"),
            "ANYCHIP_CACHE_DIR": str(scratch / "anychip"),
            "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",  # an earlier checkout may lack the module that is named
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(self.output)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *question: object) -> Any:
        """The process's answer. Raises RuntimeError with what it raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("answer "):
                kind, answer = json.loads(line.removeprefix("answer "))
                if kind == "error":
                    raise RuntimeError(f"{self.root}: {answer}")
                return answer
        raise RuntimeError(f"{self.root}: the process ended at {question}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


# ---- in the process of a checkout ---------------------------------------------------------------------


def serve(output: Path) -> None:
    """Answer questions, a line each: a case to make ready, or calls to be timed."""
    import torch

    from anychip.bench import suite
    from anychip.bench.measure import keep_memory

    keep_memory()
    torch.set_num_threads(1)
    cases = {case.label: case for case in suite.cases()}
    work: Any = None

    def labels() -> list[str]:
        return list(cases)

    def make(label: str) -> float:
        nonlocal work
        work = cases[label].make()
        torch.manual_seed(0)
        torch.save(work.ours(*work.arguments), output)
        return min(run(1) for _ in range(3))

    def run(calls: int) -> float:
        start = time.process_time()
        for _ in range(calls):
            work.ours(*work.arguments)
        return (time.process_time() - start) / calls

    answers = {"labels": labels, "make": make, "run": run}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = "ok", answers[name](*arguments)
        except Exception as error:
            answer = "error", f"{name} {arguments}: {error!r}"
        print("answer", json.dumps(answer), flush=True)


# ---- in the process that compares ---------------------------------------------------------------------


def difference(before: Path, after: Path) -> float:
    """The largest difference of two results, over the largest element of the first."""
    import torch

    def tensors(value: Any) -> list[Any]:
        if isinstance(value, torch.Tensor):
            return [value]
        return (
            [tensor for item in value for tensor in tensors(item)] if isinstance(value, tuple | list) else []
        )

    found = 0.0
    pairs = zip(tensors(torch.load(before)), tensors(torch.load(after)), strict=True)
    for old, new in pairs:
        old, new = old.double(), new.double()
        scale = old.abs().max().clamp(min=1e-30) if old.numel() else torch.tensor(1.0)
        found = max(found, float(((old - new).abs() / scale).nan_to_num().max()) if old.numel() else 0.0)
    return found


def compared(label: str, before: Tree, after: Tree) -> Row:
    """A row: the time of `after` over that of `before`, the median over turns and its quartiles."""
    seconds = max(tree.ask("make", label) for tree in (before, after))
    calls = max(1, int(TURN_SECONDS / seconds))
    row: Row = {"label": label, "difference": difference(before.output, after.output)}
    for attempt in range(1 + AGAIN):
        ratios = []
        for turn in range(MORE_TURNS if attempt else TURNS):
            order = (before, after) if turn % 2 else (after, before)
            times = {tree: tree.ask("run", calls) for tree in order}
            ratios.append(times[after] / times[before])
        low, median, high = statistics.quantiles(ratios, n=4)
        if "ratio" not in row or median < row["ratio"]:
            row |= {"ratio": round(median, 3), "low": round(low, 3), "high": round(high, 3)}
        if row["ratio"] <= LIMIT:
            break
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("before", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("patterns", nargs="*", help="rows whose label begins so; all without")
    parser.add_argument("--json", type=Path, help="write the rows there")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        before = Tree(options.before.resolve(), Path(scratch) / "before")
        after = Tree(ROOT, Path(scratch) / "after")
        try:
            known = [label for label in before.ask("labels") if label in set(after.ask("labels"))]
            chosen = [label for label in known if label.startswith(tuple(options.patterns or [""]))]
            for label in chosen:
                row = compared(label, before, after)
                rows.append(row)
                mark = "slower" if row["ratio"] > LIMIT else ""
                print(
                    f"{label:45} {row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
                    f" difference {row['difference']:.1e} {mark}",
                    flush=True,
                )
        finally:
            before.close()
            after.close()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    slower = [row["label"] for row in rows if row["ratio"] > LIMIT]
    mean = statistics.geometric_mean(row["ratio"] for row in rows)
    print(f"{len(rows)} rows, geometric mean {mean:.3f}; slower:", slower)
    return 1 if slower else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        sys.exit(main())
