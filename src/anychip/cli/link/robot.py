"""`anychip link run`. Flows in: a robot, its policy, a server's address, limits. Flows out: a robot that
moves until ctrl-C or for some ticks, then what was executed, the ladder's steps, and how well the period was
kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import messages, output, table, write_json
from ..errors import CommandError
from ..files import function_of
from ..needs import require_packages
from ..options import AsJson
from .options import Hertz, Plain, PolicyFile, TokenFile, nanoseconds, policy_of


def run(
    robot: Annotated[
        str, typer.Argument(help="FILE.py:NAME, a function that returns the anychip.link.Robot.")
    ],
    policy: PolicyFile,
    server: Annotated[str, typer.Option(help="ws://HOST:PORT, or wss://HOST:PORT.")] = "ws://127.0.0.1:8765",
    hz: Hertz = 50.0,
    max_age: Annotated[str, typer.Option(help="From an observation until its actions expire.")] = "200ms",
    local: Annotated[str, typer.Option(help="How long the robot's own policy is used.")] = "500ms",
    hold: Annotated[str, typer.Option(help="How long the last position is held.")] = "100ms",
    dead_after: Annotated[str, typer.Option(help="Silence after which a connection is dead.")] = "250ms",
    stages_on_robot: Annotated[int, typer.Option(help="How many stages, from the first, run here.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Move again after a stop by itself.")] = False,
    ticks: Annotated[int, typer.Option(help="End after so many periods; 0: at ctrl-C.")] = 0,
    real_time: Annotated[bool, typer.Option("--real-time", help="Ask for SCHED_FIFO.")] = False,
    log: Annotated[Path | None, typer.Option(help="Write commands and steps into an MCAP file.")] = None,
    token_file: TokenFile = None,
    authority: Annotated[
        Path | None, typer.Option(help="What signed the server's certificate (PEM).")
    ] = None,
    plain: Plain = False,
    as_json: AsJson = False,
) -> None:
    """Drive a robot by a served policy: every action expires, none is executed twice, and when answers stop,
    the robot goes down the ladder to a controlled stop."""
    require_packages("link")
    from ...link import control
    from ...link.addresses import client_tls, read_token
    from ...link.client import Client
    from ...link.edge import EdgeSettings
    from ...link.ladder import Limits
    from ...link.logs import recording
    from ...link.robot import Robot

    body = function_of(robot)()
    if not isinstance(body, Robot):
        raise CommandError(f"{robot} gave a {type(body).__name__}.", "Return anychip.link.Robot(...).")
    found = policy_of(policy)
    limits = Limits(
        max_age=nanoseconds("--max-age", max_age),
        fresh=round(3e9 / hz),
        local=nanoseconds("--local", local) if body.local is not None else 0,
        hold=nanoseconds("--hold", hold),
        restart=restart,
    )
    settings = EdgeSettings(
        body.name, found.chunk, found.values, dead_after=nanoseconds("--dead-after", dead_after),
        token=read_token(token_file),
    )  # fmt: skip
    client = Client(
        server, found.terms(hz, stages_on_robot), settings, limits, body.stop, local=body.local,
        tls=client_tls(server, authority), plain=plain,
        on_thread=(lambda: control.take_priority(1)) if real_time else None,
    )  # fmt: skip
    with client, recording(log, client) as each:
        kept = control.run(body, client, found, ticks=ticks or None, real_time=real_time, each=each)
    if real_time and not kept.real_time:
        messages.print("SCHED_FIFO was refused: the period is kept as well as the machine allows.")
    steps = [
        {"tick": step.tick, "from": step.before.name, "to": step.after.name, "cause": step.cause}
        for step in client.steps
    ]
    period = {f"p{share}": kept.error(share / 100) / 1e6 for share in (50, 99, 100)}
    if as_json:
        write_json(
            {
                "ticks": kept.ticks,
                "real_time": kept.real_time,
                "period_error_ms": period,
                "counts": client.counts,
                "steps": steps,
            }
        )
        return
    output.print(table(("tick", "from", "to", "cause"), [tuple(step.values()) for step in steps]))
    for name, number in sorted(client.counts.items()):
        output.print(f"{name}: {number}")
    output.print(
        f"{kept.ticks} ticks, {'with' if kept.real_time else 'without'} SCHED_FIFO; error of the period: "
        + ", ".join(f"{name} {value:.2f} ms" for name, value in period.items())
    )
