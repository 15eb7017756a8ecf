"""`anychip tune show`, `export` and `import`: the tuning database of this chip, to look at and to carry
about.

Flows in: the database, or a file of measurements. Flows out: a table or JSON; a file; or the entries of a
file in the database, as far as they are of a chip like this one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...measurements.entry import KINDS
from ..console import messages, output, table, write_json
from ..errors import require_known
from ..options import AsJson
from .options import Threads, prepare

if TYPE_CHECKING:
    from ...measurements.database import Database


def show(
    kind: Annotated[str, typer.Option(help=f"Only {', '.join(KINDS)}.")] = "",
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Show what the tuning database of this chip holds."""
    require_known("--kind", kind, KINDS)
    database = _database(threads)
    entries = sorted(database.entries(kind), key=lambda e: e.key)
    if as_json:
        write_json([asdict(entry) for entry in entries])
        return
    rows = [
        (
            e.kind,
            e.subject,
            e.signature,
            " ".join(f"{k}={v}" for k, v in e.values.items()),
            " ".join(f"{k} {v * 1e6:.1f} us" for k, v in e.seconds.items()),
            e.made,
        )
        for e in entries
    ]
    output.print(table(("kind", "subject", "for", "values", "measured", "day"), rows))
    output.print(f"{len(entries)} entries in {database.file}")


def export(
    file: Annotated[Path, typer.Argument(help="The file to write (JSON).")],
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Write the database of this chip into a readable file."""
    from ...measurements import exchange

    database = _database(threads)
    number = exchange.write(file, database.chip, database.entries())
    if as_json:
        write_json({"written": str(file), "chip": database.chip, "entries": number})
        return
    messages.print(f"wrote {number} entries of {database.chip} into {file}")


def import_(
    file: Annotated[Path, typer.Argument(help="A file that `tune export` wrote.")],
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Take over measurements that were made on a chip like this one."""
    from ...measurements import exchange

    database = _database(threads)
    found, refused = exchange.read(file, database.chip)
    database.put(*found)
    if as_json:
        write_json({"database": str(database.file), "entries": len(found), "left_out": dict(refused)})
        return
    messages.print(f"took {len(found)} entries into {database.file}")
    for reason, number in refused.items():
        messages.print(f"left out {number}: {reason}")


def _database(threads: int) -> Database:
    prepare(threads)
    from ...pytorch.automatic.judge import judge

    return judge().database
