"""What the policy "auto" costs small programs, or saves them, once it has settled.

    python -m tools.pages.auto_programs measure evidence/auto_programs.json [--threads N] [PROGRAM ...]
    python -m tools.pages.auto_programs page evidence/auto_programs.json docs/auto.md

Each program runs in three processes: under "auto", by PyTorch alone, and by PyTorch alone once more, which
shows how much of a difference is chance. All three first run until `auto` has settled; then the three take
turns, and each turn's processor time, threads included, is set against that of PyTorch's turn beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from anychip.markdown import table

TURNS = 20
TURN_SECONDS = 0.1
SETTLE_SECONDS, SETTLE_RUNS = 3.0, 300
HEADS = (
    "program",
    "step by PyTorch",
    "auto / PyTorch",
    "upper quartile",
    "chance, median",
    "upper quartile",
)
POLICIES = ("auto", "alone", "alone again")

Program = Callable[[], object]


def trained(model: nn.Module, optimiser: Any, x: torch.Tensor, y: torch.Tensor) -> Program:
    """One step of training a classifier."""

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return step


def applied(model: nn.Module, x: torch.Tensor) -> Program:
    """A model in evaluation, without gradients."""
    model.eval()

    @torch.no_grad()
    def apply() -> object:
        return model(x)

    return apply


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 13 * 13, 10)
    )


def mlp_training() -> Program:
    model = mlp()
    return trained(
        model, torch.optim.SGD(model.parameters(), 1e-3), torch.randn(32, 64), torch.randint(0, 10, (32,))
    )


def mlp_inference() -> Program:
    return applied(mlp(), torch.randn(32, 64))


def cnn_training() -> Program:
    model = cnn()
    return trained(
        model, torch.optim.Adam(model.parameters()), torch.randn(8, 1, 28, 28), torch.randint(0, 10, (8,))
    )


def cnn_inference() -> Program:
    return applied(cnn(), torch.randn(8, 1, 28, 28))


def lstm_inference() -> Program:
    model, x = nn.LSTM(16, 32, batch_first=True), torch.randn(8, 20, 16)
    return applied(model, x)


def gru_inference() -> Program:
    return applied(nn.GRU(16, 32, batch_first=True), torch.randn(8, 20, 16))


def gru_training() -> Program:
    model, x = nn.GRU(16, 32, batch_first=True), torch.randn(8, 20, 16)
    return lambda: model(x)[0].sum().backward()


def transformer_training() -> Program:
    model, x = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), torch.randn(4, 16, 32)
    return lambda: model(x).sum().backward()


def transformer_inference() -> Program:
    return applied(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), torch.randn(4, 16, 64))


def elementwise_chain() -> Program:
    x = torch.randn(1000)
    return lambda: ((x.sin() + x.cos()) * 2).exp().clamp(0, 5).sqrt()


def longer_chain() -> Program:
    x = torch.randn(20_000)
    return lambda: ((x.sin() + x.cos()) * 2).exp().clamp(0, 5).sqrt()


def bodies() -> Program:
    """Five bodies that attract each other, in float64: a step of a simulation."""
    place, speed = torch.randn(5, 3, dtype=torch.float64), torch.zeros(5, 3, dtype=torch.float64)

    def step() -> None:
        nonlocal place, speed
        apart = place[:, None] - place[None]
        square = (apart * apart).sum(-1) + 0.1
        speed = speed - 1e-6 * (apart / square[..., None] ** 1.5).sum(1)
        place = place + 1e-6 * speed

    return step


def descent() -> Program:
    """A step towards the solution of six linear equations."""
    matrix, right = torch.eye(6) * 3 + torch.randn(6, 6) / 10, torch.randn(6)
    x = torch.zeros(6)

    def step() -> None:
        nonlocal x
        x = x - 0.01 * (matrix @ x - right) * torch.tanh(x).abs().add(1).mean()

    return step


def embedding_training() -> Program:
    model = nn.Sequential(nn.EmbeddingBag(100, 16), nn.Linear(16, 2))
    return trained(
        model,
        torch.optim.Adam(model.parameters()),
        torch.randint(0, 100, (16, 10)),
        torch.randint(0, 2, (16,)),
    )


PROGRAMS: dict[str, Callable[[], Program]] = {
    made.__name__: made
    for made in (
        mlp_training,
        mlp_inference,
        cnn_training,
        cnn_inference,
        lstm_inference,
        gru_inference,
        gru_training,
        transformer_training,
        transformer_inference,
        elementwise_chain,
        longer_chain,
        bodies,
        descent,
        embedding_training,
    )
}


def work(pipe: Any, name: str, policy: str, threads: int) -> None:
    """A process of one program: settles, answers with the seconds of a run, then takes turns."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    program = PROGRAMS[name]()
    if policy == "auto":
        import anychip

        anychip.enable("auto")
    runs, start = 0, time.process_time()
    while runs < SETTLE_RUNS or time.process_time() - start < SETTLE_SECONDS:
        program()
        runs += 1
    pipe.send((time.process_time() - start) / runs)
    while (count := pipe.recv()) is not None:
        start = time.process_time()
        for _ in range(count):
            program()
        pipe.send(time.process_time() - start)
    if policy == "auto":
        import anychip

        pipe.send(
            sorted(
                {
                    f"{row.overload} {row.signature}"
                    for row in anychip.report().choices
                    if row.choice == "ours"
                }
            )
        )
    else:
        pipe.send([])


def measured(name: str, threads: int) -> dict[str, Any]:
    """The ratios of one program's turns, under "auto" and by PyTorch again, to PyTorch's."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    processes = []
    for policy in POLICIES:
        pipes[policy], end = context.Pipe()
        processes.append(context.Process(target=work, args=(end, name, policy, threads), daemon=True))
        processes[-1].start()
    seconds = {policy: pipe.recv() for policy, pipe in pipes.items()}
    count = max(1, round(TURN_SECONDS / seconds["alone"]))
    turns: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for turn in range(TURNS):
        for k in range(len(POLICIES)):
            policy = POLICIES[(turn + k) % len(POLICIES)]
            pipes[policy].send(count)
            turns[policy].append(pipes[policy].recv())
    for pipe in pipes.values():
        pipe.send(None)
    ours = {policy: pipe.recv() for policy, pipe in pipes.items()}["auto"]
    for process in processes:
        process.join()
    against = {
        policy: statistics.quantiles([a / b for a, b in zip(turns[policy], turns["alone"])], n=4)
        for policy in ("auto", "alone again")
    }
    return {
        "microseconds": statistics.median(turns["alone"]) / count * 1e6,
        "auto": [round(q, 3) for q in against["auto"]],
        "alone again": [round(q, 3) for q in against["alone again"]],
        "ours": ours,
    }


def measure(file: Path, names: list[str], threads: int) -> None:
    """Measure programs into a record, one by one; what it had of others stays."""
    known = json.loads(file.read_text()) if file.exists() else {}
    rows = known.get("programs", {}) if known.get("threads") == threads else {}
    for name in names or PROGRAMS:
        rows[name] = measured(name, threads)
        sys.stdout.write(f"{name} {rows[name]['auto']} {rows[name]['alone again']}\n")
        sys.stdout.flush()
        head = {"torch": torch.__version__, "threads": threads, "turns": TURNS, "clock": "processor time"}
        file.write_text(json.dumps({**head, "programs": rows}, indent=1) + "\n")


def cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    """A row under `HEADS`."""
    auto, again = row["auto"], row["alone again"]
    ratios = (f"{value:.2f}" for value in (auto[1], auto[2], again[1], again[2]))
    return name.replace("_", " "), f"{row['microseconds']:.0f} us", *ratios


def page(record: Path, file: Path) -> None:
    """Write the table of a record."""
    found = json.loads(record.read_text())
    lines = [
        "# What `auto` costs small programs",
        "",
        "Programs of a few microseconds to milliseconds a step, where looking at a call costs more than it",
        "can save. Each runs in processes of its own until the policy has settled; then processes under",
        f"`auto` and without it take {found['turns']} turns, interleaved; the processor time of each turn",
        "is set against that of the turn beside it. The last columns set PyTorch alone against PyTorch alone",
        "in a third process: what is chance on the machine. Written by",
        "`python -m tools.pages.auto_programs page` from",
        f"`{record}` (PyTorch {found['torch']}, threads: {found['threads']}).",
        "",
        table(HEADS, map(cells, found["programs"], found["programs"].values())),
    ]
    file.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("record", type=Path)
    measuring.add_argument("programs", nargs="*", metavar="PROGRAM")
    measuring.add_argument("--threads", type=int, default=1)
    writing = verbs.add_parser("page")
    writing.add_argument("record", type=Path)
    writing.add_argument("page", type=Path)
    given = parser.parse_args()
    if given.verb == "measure":
        measure(given.record, given.programs, given.threads)
    else:
        page(given.record, given.page)


if __name__ == "__main__":
    main()
