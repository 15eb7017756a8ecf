"""`anychip ops`: the operators of the library, from its registry and the records of runs.

Flows in: words to search for, a domain. Flows out: a table, JSON, or the page `docs/operators.md`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import output, table, write_json, written
from ..errors import CommandError, did_you_mean, require_known
from ..needs import require_packages
from ..options import AsJson
from . import fused

if TYPE_CHECKING:
    from ...evidence.page import Row

VERDICTS = ("passed", "failed", "untried")


def ops(
    words: Annotated[
        list[str] | None, typer.Argument(help="List only operators whose name or overloads have these.")
    ] = None,
    domain: Annotated[
        str,
        typer.Option(
            help="List only the operators of this domain; llm, robot and the like: a room's fused ones."
        ),
    ] = "",
    family: Annotated[str, typer.Option(help="With a room: list only this family of its operators.")] = "",
    dtype: Annotated[str, typer.Option(help="List only operators that take this element type.")] = "",
    verdict: Annotated[
        str, typer.Option(help=f"List only operators that a run found so: {', '.join(VERDICTS)}.")
    ] = "",
    llm: Annotated[
        bool,
        typer.Option("--llm", help="Short for --domain llm; --domain is then a family."),
    ] = False,
    page: Annotated[Path | None, typer.Option(help="Write the page of operators into this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the operators that portable kernels serve, the PyTorch overloads that they take over, and
    what runs on chips have shown of them."""
    require_packages("ops")
    from ...evidence import page as pages
    from ...evidence import record
    from ...ops.rooms import ROOMS

    if llm:
        domain, family = "llm", family or domain
    if domain in ROOMS:
        fused.listed(ROOMS[domain], " ".join(words or []), family, page, as_json)
        return
    if family:
        raise CommandError(
            f"--family {family} is for the fused operators of a room.", f"Add --domain {' or '.join(ROOMS)}."
        )
    records = record.read_all()
    if page is not None:
        page.write_text(pages.page(records), encoding="utf-8")
        written(page, as_json)
        return
    require_known("--verdict", verdict, VERDICTS)
    known = pages.rows(records)
    domains = {row.domain for row in known}
    if domain and domain not in domains:
        raise CommandError(f"there is no domain {domain!r}.", did_you_mean(domain, {*domains, *ROOMS}))
    dtypes = {name for row in known for name in row.dtypes}
    if dtype and dtype not in dtypes:
        raise CommandError(f"no operator takes {dtype!r}.", did_you_mean(dtype, dtypes))
    sought = " ".join(words or [])
    if not any(row.matches(sought) for row in known):
        names = {name for row in known for name in (row.name, *row.overloads)}
        raise CommandError(f"no operator has {sought!r} in its name.", did_you_mean(sought, names))
    shown = [
        row
        for row in known
        if domain in ("", row.domain) and (not dtype or dtype in row.dtypes) and row.matches(sought)
        if not verdict or any(text.startswith(verdict) for text in row.evidence.values())
    ]
    if as_json:
        write_json([_record(row) for row in shown])
        return
    rows = (
        (
            row.name,
            row.domain,
            ", ".join(row.overloads),
            " ".join(row.dtypes),
            "yes" if row.differentiable else "no",
            "; ".join(f"{chip}: {text}" for chip, text in row.evidence.items()) or "none",
        )
        for row in shown
    )
    columns = (("operator", "left"), "domain", "overloads", "element types", "differentiable", "evidence")
    output.print(table(columns, rows))
    output.print(pages.sentence(pages.counts(shown)), highlight=False)


def _record(row: Row) -> dict[str, Any]:
    return asdict(row) | {"evidence": dict(row.evidence)}
