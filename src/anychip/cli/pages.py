"""`anychip pages`: the generated pages of the repository. Flows in: names of pages. Flows out: a table or
JSON of what each is written from, and whether it is what its records give; pages that were not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import messages, output, progress, table, write_json
from .errors import CommandError, require_known
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from ..pages.table import Page


def pages(
    names: Annotated[list[str] | None, typer.Argument(help="Pages by name; all if none is named.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Say which pages are not what their records give: exit status 1."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write the pages as their records give them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the generated pages of a checkout and the records behind them; check them, or write them anew."""
    require_packages("pages")
    from ..pages import table as known
    from ..pages.writers import require_repository

    require_repository()
    by_name = {page.name: page for page in known.PAGES}
    for name in names or ():
        require_known("page", name, by_name)
    if check and write:
        raise CommandError("--check and --write exclude each other.", "Write first, then check.")
    chosen = [by_name[name] for name in names or by_name]
    if not (check or write):
        _list(chosen, as_json)
        return
    recorded = [page for page in chosen if page.writer is not None]
    stale = []
    with progress(quiet=as_json) as display:
        bar = display.add_task("", total=len(recorded))
        for page in recorded:
            display.update(bar, description=page.file, advance=1)
            if known.stale([page]):
                stale.append(page)
                if write:
                    known.write(page)
    if as_json:
        write_json(
            [{"name": page.name, "file": page.file, "current": page not in stale} for page in recorded]
        )
    elif write:
        messages.print(f"wrote {len(stale)} of {len(recorded)} pages; the others were up to date")
    else:
        for page in stale:
            output.print(f"{page.file} is not what {page.records} gives: anychip pages --write {page.name}")
        output.print(f"{len(recorded) - len(stale)} of {len(recorded)} pages are what their records give.")
    if check and stale:
        raise typer.Exit(1)


def _list(chosen: list[Page], as_json: bool) -> None:
    if as_json:
        keys = ("name", "file", "records", "command")
        write_json([{key: getattr(page, key) for key in keys} for page in chosen])
        return
    rows = ((page.name, page.file, page.records or "none kept", page.command) for page in chosen)
    output.print(table(("page", "file", "records", "measured by"), rows))


VERBS = {"pages": pages}
