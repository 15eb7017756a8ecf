"""`anychip link serve`. Flows in: a policy and an address. Flows out: a server until ctrl-C, then its
counts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import messages, output, table, write_json
from ..errors import CommandError
from ..needs import require_packages
from ..options import AsJson
from .options import Hertz, Plain, PolicyFile, TokenFile, policy_of

if TYPE_CHECKING:
    from ...link.server import Server


def serve(
    policy: PolicyFile,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8765,
    hz: Hertz = 50.0,
    stages_on_robot: Annotated[int, typer.Option(help="How many stages, from the first, robots run.")] = 0,
    batch: Annotated[int, typer.Option(help="Observations that are computed together at most.")] = 64,
    token_file: TokenFile = None,
    certificate: Annotated[Path | None, typer.Option(help="A certificate (PEM) for TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    plain: Plain = False,
    zenoh: Annotated[bool, typer.Option("--zenoh", help="Serve over zenoh instead of WebSockets.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve a policy to robots: earliest deadline first, in batches, until ctrl-C.

    Robots whose policy, statistics or control rate differ are refused with the reason.
    """
    require_packages("link")
    from ...link.addresses import read_token, server_tls
    from ...link.loop import run
    from ...link.over_zenoh import ZenohServer
    from ...link.server import Server
    from ...link.serving import ServeSettings

    if zenoh and certificate is not None:
        raise CommandError("--zenoh has no TLS here.", "Leave --certificate out, or serve WebSockets.")
    found = policy_of(policy)
    settings = ServeSettings(found.expects(stages_on_robot), read_token(token_file), batch)
    server = (ZenohServer if zenoh else Server)(
        lambda tensors: found.answer(tensors, stages_on_robot),
        found.terms(hz, stages_on_robot),
        settings,
        host=host,
        port=port,
        tls=server_tls(certificate, key),
        plain=plain,
    )
    example = found.on_robot({name: array[0] for name, array in found.example().items()}, stages_on_robot)
    times = server.warm_up(
        lambda size: {name: array[None].repeat(size, 0) for name, array in example.items()}
    )
    messages.print(
        f"batches of 1 take {times[1] / 1e6:.2f} ms, of {batch} {times[batch] / 1e6:.2f} ms; "
        f"policy {found.digest[:12]}"
    )
    scheme = "zenoh" if zenoh else "ws" if certificate is None else "wss"
    run(_until_interrupted(server, lambda: messages.print(f"serving {scheme}://{host}:{server.port}")))
    _report(server, as_json)


async def _until_interrupted(server: Server, ready: Any) -> None:
    """A second ctrl-C ends at once."""
    task = asyncio.create_task(server.run(ready))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _report(server: Server, as_json: bool) -> None:
    machine = server.machine
    if as_json:
        write_json(
            {
                "counts": dict(machine.counts),
                "robots": {name: asdict(served) for name, served in machine.robots.items()},
                "dropped": list(machine.dropped),
            }
        )
        return
    rows = [(name, own.asked, own.in_time, own.late) for name, own in sorted(machine.robots.items())]
    heads = ("robot", ("observations", "right"), ("answered in time", "right"), ("late", "right"))
    output.print(table(heads, rows))
    for count, number in sorted(machine.counts.items()):
        output.print(f"{count}: {number}")
    for reason in machine.dropped:
        output.print(f"dropped {reason}")
