"""`anychip cache`: what is kept on disk, and taking it away.

Flows in: Triton's cache folder and Anychip's. Flows out: a table or JSON: where each kind of thing lies, how
many there are, their size and the oldest. `clean` removes what is ours and nothing else.
"""

from __future__ import annotations

import datetime
import re
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from ..doctor.kept import MADE_AGAIN, MEANING, MEASURED, REMOVERS, contents
from .console import messages, output, table, write_json
from .errors import CommandError, did_you_mean
from .options import AsJson

application = typer.Typer(help="Show what is kept on disk, and remove it.", invoke_without_command=True)

AGE = re.compile(r"(\d+)([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@application.callback()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show where kernels, native code and measurements are kept, how many and how large they are."""
    if context.invoked_subcommand is not None:
        return
    found = contents()
    if as_json:
        write_json([asdict(kept) for kept in found])
        return
    rows = [
        (kept.kind, MEANING[kept.kind], kept.number, _mebibytes(kept.bytes), _day(kept.oldest), kept.folder)
        for kept in found
    ]
    columns = ("kind", "what", ("number", "right"), ("MiB", "right"), ("oldest", "left"), "where")
    output.print(table(columns, rows))


@application.command("clean")
def clean(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]...",
            help="kernels, native, fingerprints (these three if none is named), choices, tuned.",
        ),
    ] = None,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Only what is older: 90s, 30m, 12h, 7d, 2w.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what Anychip keeps on disk. Processes that are running go on: what they miss they make again."""
    wanted = kinds or list(MADE_AGAIN)
    for kind in wanted:
        if kind not in MADE_AGAIN + MEASURED:
            raise CommandError(
                f"there is nothing called {kind!r} to remove.", did_you_mean(kind, MADE_AGAIN + MEASURED)
            )
    before = time.time() - _seconds(older_than)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise CommandError("nothing is removed without being asked for.", "Add --yes.")
        what = ", ".join(MEANING[kind] for kind in wanted)
        typer.confirm(f"Remove {what}{f', older than {older_than}' if older_than else ''}?", abort=True)
    removed = {kind: REMOVERS[kind](before) for kind in dict.fromkeys(wanted)}
    if as_json:
        write_json({kind: {"number": number, "bytes": size} for kind, (number, size) in removed.items()})
        return
    for kind, (number, size) in removed.items():
        messages.print(f"removed {number} {MEANING[kind]}, {_mebibytes(size)} MiB")


def _seconds(age: str) -> int:
    """An age as the command line has it, in seconds; "" is 0."""
    match = AGE.fullmatch(age)
    if age and match is None:
        raise CommandError(f"--older-than {age}: no age.", "A number and s, m, h, d or w: 30m, 7d.")
    return int(match[1]) * SECONDS[match[2]] if match else 0


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.2f}"


def _day(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()


VERBS = {"cache": application}
