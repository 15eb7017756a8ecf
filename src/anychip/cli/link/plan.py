"""`anychip link plan` and `anychip link measure`. Flows in: a policy, profiles, a rate and a largest age.
Flows out: where each stage runs and whether that is in time; or a profile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ..console import messages, output, table, write_json
from ..errors import CommandError
from ..needs import require_packages
from ..options import AsJson
from .options import Hertz, PolicyFile, nanoseconds, policy_of


def plan(
    policy: PolicyFile,
    chips: Annotated[str, typer.Option(help="The robot's profile and the server's, by name.")] = "edge,cloud",
    hz: Hertz = 50.0,
    max_age: Annotated[str, typer.Option(help="From an observation until its actions expire.")] = "80ms",
    profiles: Annotated[Path, typer.Option(help="The folder with NAME.json and network.json.")] = Path("."),
    robots: Annotated[int, typer.Option(help="Robots that share the server.")] = 1,
    batch: Annotated[int, typer.Option(help="Observations that the server computes together at most.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Say where each stage runs, and whether answers come in time, from measured profiles.

    Exit status 1 where no placement meets the deadline, with what would.
    """
    require_packages("link")
    from ...link import plan as planning
    from ...link.profiles import read_chip, read_network

    names = chips.split(",")
    if len(names) != 2 or not all(names):
        raise CommandError(
            f"--chips {chips}: two names are wanted.", "Write ROBOT,SERVER, such as edge,cloud."
        )
    edge, cloud = (read_chip(profiles / f"{name}.json") for name in names)
    found = policy_of(policy)
    if edge.policy != found.digest:
        raise CommandError(
            f"the profile {names[0]} is of another policy.", f"Measure again: anychip link measure {policy}."
        )
    made = planning.plan(
        edge,
        cloud,
        read_network(profiles / "network.json"),
        hz=hz,
        max_age=nanoseconds("--max-age", max_age) * 1e-9,
        robots=robots,
        largest_batch=batch,
        names=(names[0], names[1]),
    )
    rows = [
        {
            "stages": dict(each.stages),
            "p99_ms": {name: round(value * 1e3, 3) for name, value in each.parts.items()},
            "latency_p99_ms": round(each.latency * 1e3, 3),
            "bridged_ms": round(each.bridged * 1e3, 3),
            "gap_p99_ms": round(each.gap * 1e3, 3),
            "met": each.is_met,
            "why_not": each.why_not,
        }
        for each in made.placements
    ]
    if as_json:
        write_json({"placements": rows, "advice": made.advice})
    else:
        parts = list(made.placements[0].parts)
        heads = ["stages", *((part, "right") for part in [*parts, "sum", "bridged"]), "in time"]
        output.print(
            table(
                heads,
                [
                    (
                        ", ".join(f"{stage} on {chip}" for stage, chip in each.stages),
                        *(f"{each.parts[part] * 1e3:.1f}" for part in parts),
                        f"{each.latency * 1e3:.1f}",
                        f"{each.bridged * 1e3:.1f}",
                        "yes" if each.is_met else each.why_not,
                    )
                    for each in made.placements
                ],
                "99th percentiles in ms",
            )
        )
        for text in made.advice:
            output.print(f"would help: {text}")
    if not made.placements[0].is_met:
        raise typer.Exit(1)


def measure(
    file: Annotated[Path, typer.Option("--output", "-o", help="The profile to write (JSON).")],
    policy: Annotated[
        str, typer.Argument(metavar="[POLICY]", help="FILE.py:NAME: measure its stages on this machine.")
    ] = "",
    server: Annotated[str, typer.Option(help="ws://HOST:PORT: measure the way there.")] = "",
    rounds: Annotated[int, typer.Option(help="Measurements of each.")] = 50,
    authority: Annotated[
        Path | None, typer.Option(help="What signed the server's certificate (PEM).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the stages of a policy on this machine, or the way to a server, for `plan`."""
    require_packages("link")
    from ...link import profiles
    from ...link.addresses import client_tls

    if bool(policy) == bool(server):
        raise CommandError("measure one of two things.", "Give a POLICY, or --server URL.")
    if policy:
        found = profiles.profile(policy_of(policy), rounds=rounds)
        profiles.write(found, file)
    else:
        network = asyncio.run(
            profiles.measured_network(server, tls=client_tls(server, authority), rounds=rounds)
        )
        profiles.write(network, file)
    if as_json:
        write_json({"written": str(file)})
    else:
        messages.print(f"wrote {file}")
