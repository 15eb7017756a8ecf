"""`anychip train`: a training script on chips of one's choice, watched.

Flows in: a script with its arguments, how many processes, which policy, threads and chips. Flows out: a
progress bar with loss, tokens per second and memory, and a record as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import messages, output, progress, write_json
from .errors import CommandError, require_known
from .needs import require_packages
from .options import AsJson
from .program import require_entry_point

if TYPE_CHECKING:
    from ..training.job import Watched

POLICIES = ("strict", "portable", "auto", "pytorch")
MEBIBYTE = 1 << 20


def train(
    program: Annotated[
        list[str], typer.Argument(metavar="SCRIPT [ARGS]...", help="The script and its arguments.")
    ],
    processes: Annotated[
        int, typer.Option(min=0, help="Ranks, started by torchrun (0: the script starts its own).")
    ] = 0,
    policy: Annotated[str, typer.Option(help="strict, portable, auto, or pytorch.")] = "strict",
    threads: Annotated[int, typer.Option(min=0, help="Threads of a rank (default: cores by ranks).")] = 0,
    chips: Annotated[
        str, typer.Option(metavar="CORE,...", help="What each rank in turn compiles for (`anychip chips`).")
    ] = "",
    patience: Annotated[
        float, typer.Option(min=1.0, help="Seconds without a step after which the job is ended.")
    ] = 600.0,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the record there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train: run a script over torchrun under a policy, and watch its steps.

    Options of this command stand before the script; all that follows it is the script's. With --json: losses,
    tokens per second, each rank's peak memory in bytes, each step, and what the script wrote.
    """
    require_packages("train")
    require_known("--policy", policy, POLICIES)
    require_entry_point("train")
    if not Path(program[0]).is_file():
        raise CommandError(f"there is no script {program[0]}.")
    from ..training.job import Start, Watched, run

    asked = Start(tuple(program), processes, policy, threads, tuple(chips.split(",")), patience)
    watched = Watched(asked.command())
    with progress(quiet=as_json) as display:
        task = display.add_task("starting", total=None)
        for step in run(asked, watched):
            if step.rank == 0:
                display.update(task, completed=step.step + 1, description=_said(watched))
    if record is not None:
        record.write_text(json.dumps(watched.record(), indent=1) + "\n", encoding="utf-8")
    if as_json:
        write_json(watched.record())
        return
    output.print(watched.written, end="", markup=False, highlight=False)
    messages.print(f"{len(watched.steps)} steps: {_said(watched)}" if watched.steps else "no steps were seen")


def _said(watched: Watched) -> str:
    """The last step in words."""
    loss = watched.steps[-1].loss
    rate = watched.tokens_per_second()
    parts = [
        f"loss {loss:.4f}" if loss is not None else "",
        f"{rate:.0f} tokens/s" if rate is not None else "",
        f"{sum(watched.memory.values()) / MEBIBYTE:.0f} MiB at most",
    ]
    return ", ".join(part for part in parts if part)


VERBS = {"train": train}
SETTINGS = {"allow_interspersed_args": False}
