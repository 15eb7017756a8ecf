"""`anychip tune kernel`: the block sizes of one kernel, and its schedule. Flows in: a kernel in a file, and
how to launch it. Flows out: what was tried, as a table or JSON; the best goes into the database."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import output, progress, table, write_json
from ..errors import CommandError
from ..options import AsJson
from .options import BudgetSeconds, Threads, end, prepare
from .tuned_kernel import tuned_kernel

if TYPE_CHECKING:
    from ...tune.kernels import TunedKernel
    from ...tune.search import Point


def kernel(
    named: Annotated[str, typer.Argument(metavar="FILE.py:KERNEL", help="A Triton kernel.")],
    arg: Annotated[list[str] | None, typer.Option(help="name=value of an integer or float.")] = None,
    sig: Annotated[list[str] | None, typer.Option(help="name=type, e.g. x_ptr=*fp32.")] = None,
    const: Annotated[list[str] | None, typer.Option(help="name=value of a constant that stays.")] = None,
    grid: Annotated[str, typer.Option(help="Programs, e.g. 'cdiv(n, BLOCK), batch'.")] = "",
    elements: Annotated[int, typer.Option(min=1, help="Elements of each buffer.")] = 1 << 20,
    budget: BudgetSeconds = 60.0,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Search the block sizes of a kernel (or the configurations of its autotuner) and its schedule.

    Block sizes are constants whose names say that they are sizes of tiles. The schedule, and an autotuner's
    configuration, are taken by themselves from then on.
    """
    prepare(threads)
    from ...bench.measure import keep_memory
    from ...pytorch.automatic.judge import judge
    from ...triton_backend import activate
    from ...tune import kernels
    from ...tune.budget import Budget

    made = tuned_kernel(named, arg or [], sig or [], const or [], grid, elements)
    activate()
    keep_memory()
    steps, interrupted = [], False
    with progress(quiet=as_json) as display:
        bar = display.add_task(made.name, total=None)
        try:
            for step in kernels.search(made, Budget(budget)):
                steps.append(step)
                best = f"{_point(made, step.best)} {step.best_seconds * 1e6:.1f} us"
                display.update(bar, completed=len(steps), description=f"best so far {best}")
        except KeyboardInterrupt:
            interrupted = True
    database = judge().database
    if not steps and interrupted:
        end(interrupted, database)
    if not steps:
        raise CommandError(f"{made.name}: nothing else than {_point(made, made.start())} could be tried.")
    last = steps[-1]
    database.put(*kernels.entries(made, last.best, {"found": last.best_seconds}, database.chip))
    if as_json:
        write_json(
            {
                "kernel": made.name,
                "start": made.start(),
                "best": dict(last.best),
                "constants": made.constants_at(last.best),
                "seconds": last.best_seconds,
                "tried": [asdict(step) for step in steps],
            }
        )
    else:
        rows = [
            (_point(made, s.sizes), f"{s.seconds * 1e6:.1f}") for s in sorted(steps, key=lambda s: s.seconds)
        ]
        output.print(table([made.name, ("us", "right")], rows))
        began = _point(made, made.start())
        output.print(f"best: {_point(made, last.best)} {last.best_seconds * 1e6:.1f} us; began with {began}")
    end(interrupted, database)


def _point(tuned: TunedKernel, point: Point) -> str:
    """A point as the user would write it: constants, and the scheduler's choices that are made."""
    from ...tune.trial import choices_of

    constants = tuned.constants_at(point)
    names = tuned.configurations[0] if tuned.configurations else tuned.tunable
    return " ".join([*(f"{name}={constants[name]}" for name in names), str(choices_of(point))]).strip()
