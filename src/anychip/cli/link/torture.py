"""`anychip link torture`. Flows in: a number of ticks and a seed. Flows out: counts; exit status 1 where a
promise was broken."""

from __future__ import annotations

from typing import Annotated

import typer

from ..console import output, table, write_json
from ..errors import CommandError
from ..needs import require_packages
from ..options import AsJson


def torture(
    ticks: Annotated[int, typer.Option(help="Control ticks of all robots together.")] = 100_000,
    robots: Annotated[int, typer.Option(help="How many robots.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the faults, and of everything else that is drawn.")] = 0,
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time", help="Over WebSockets on this machine, by the real clock, through a proxy."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run robots and a server under delay, jitter, loss, reordering, cut cables, half-open connections, a
    server that is killed, slow or overloaded, and clocks that step; count what was executed.

    Exit status 1 if an action was executed past its expiry, twice or out of order, or if a stop came late.
    """
    require_packages("link")
    from ...link.torture.run import real, virtual

    if ticks < 1 or robots < 1:
        raise CommandError(f"{ticks} ticks of {robots} robots are nothing to run.", "Give positive numbers.")
    found = (real if real_time else virtual)(ticks, robots, seed)
    if as_json:
        write_json(found)
    else:
        flat = [(name, value) for name, value in found.items() if not isinstance(value, dict)]
        for group in ("faults", "machines", "server"):
            flat += [(f"{group}: {name}", value) for name, value in found[group].items()]
        output.print(table(("count", ("", "right")), flat))
    if not found["well"]:
        raise typer.Exit(1)
