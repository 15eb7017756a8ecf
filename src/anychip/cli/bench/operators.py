"""`anychip bench ops`: every operator of the library against PyTorch's own kernel.

Flows in: names or domains, sizes. Flows out: a table, CSV or JSON; the record of this chip and its page.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import messages, output, progress, table, write_json
from ..errors import CommandError, did_you_mean
from ..options import AsJson
from .options import Output, Threads, chosen_format, command, prepare, thread_count

if TYPE_CHECKING:
    from ...bench.operator_speed import SizedOverload, Speed
    from ...bench.speed_record import Unfinished

CHOICES = ("small", "large", "both")
CLOCKS = {False: "wall time", True: "processor time of the process"}


def ops(
    names: Annotated[list[str] | None, typer.Argument(help="Operators or overloads; all if none.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option("--domain", help="Only this domain (repeatable).")
    ] = None,
    size: Annotated[str, typer.Option(help=f"Which inputs: {', '.join(CHOICES)}.")] = "both",
    threads: Threads = 0,
    seconds: Annotated[float, typer.Option(min=0.02, help="How long to time each row at most.")] = 0.2,
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Count the processor's time for this process: for busy machines."),
    ] = False,
    output_format: Output = "table",
    as_json: AsJson = False,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the rows in evidence/speed/; an interrupted run goes on.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(help="Write the page of the record into this file, those of domains beside it."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Without: show the record as it is.")
    ] = True,
    folder: Annotated[Path | None, typer.Option(hidden=True, help="The folder of records.")] = None,
) -> None:
    """Time every operator, or some, against PyTorch's own kernel on small and large inputs."""
    output_format = chosen_format(output_format, as_json)
    if size not in CHOICES:
        raise CommandError(f"--size {size}: the sizes are {', '.join(CHOICES)}.", did_you_mean(size, CHOICES))
    prepare(threads)
    from ...bench import operator_speed, report, speed_page, speed_record
    from ...bench.arguments import SIZES
    from ...evidence.record import REPOSITORY, chip_identifier, versions

    wanted = operator_speed.sized_overloads(
        names or (), domain or (), tuple(SIZES) if size == "both" else (size,)
    )
    file = (folder or REPOSITORY / "evidence" / "speed") / f"{chip_identifier()}.json"
    terms = {
        "chip": chip_identifier(),
        "threads": thread_count(),
        "clock": CLOCKS[cpu_time],
        "versions": versions(),
    }
    if measure:
        begun = (folder or REPOSITORY / "build" / "speed") / f"{file.stem}.unfinished"
        unfinished = speed_record.Unfinished(begun, terms) if record else None
        budget = replace(
            operator_speed.BUDGET, seconds=seconds, clock=time.process_time if cpu_time else time.perf_counter
        )
        rows = _measured(wanted, budget, unfinished, quiet=output_format != "table")
        where = report.circumstances(command())
        if unfinished is not None:
            old: list[Speed] = []
            if file.exists():
                old, before, _ = speed_record.load(file)
                if len(wanted) < len(operator_speed.sized_overloads()):  # Some rows of a run of all.
                    where = replace(where, command=before.command)
            known = {sized.key for sized in operator_speed.sized_overloads()}
            kept = [speed for speed in old if speed.key in known]
            speed_record.save(file, speed_record.to_data(speed_record.merged(kept, rows), where, terms))
            unfinished.end()
    else:
        chosen = {sized.key for sized in wanted}
        recorded, where, terms = speed_record.load(file)
        rows = [speed for speed in recorded if speed.key in chosen]
    if page is not None:
        recorded, place, kept_terms = speed_record.load(file)
        page.write_text(speed_page.page(recorded, place, kept_terms), encoding="utf-8")
        folder = page.parent / speed_page.FOLDER
        folder.mkdir(exist_ok=True)
        for known in speed_page.domains(recorded):
            text = speed_page.domain_page(known, recorded, place, kept_terms)
            (folder / f"{known}.md").write_text(text, encoding="utf-8")
        messages.print(f"wrote {page}, and a page for each domain in {folder}")
    _write(rows, output_format, speed_record.to_data(rows, where, terms))
    wrong = [f"{speed.overload} {speed.size}: {speed.wrong}" for speed in rows if speed.wrong]
    if wrong:
        raise CommandError("results are not right: " + "; ".join(wrong))


def _measured(
    wanted: Sequence[SizedOverload], budget: Any, unfinished: Unfinished | None, quiet: bool
) -> list[Speed]:
    from ...bench import operator_speed

    rows = []
    done = {} if unfinished is None else unfinished.speeds
    with (
        progress(quiet=quiet and not messages.is_terminal) as display,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Of PyTorch's, about names that it will drop.
        task = display.add_task("", total=len(wanted))
        for sized in wanted:
            display.update(task, description=f"{sized.overload.name} {sized.size.name}", advance=1)
            speed = done.get(sized.key) or operator_speed.measure(sized, budget)
            if unfinished is not None and sized.key not in done:
                unfinished.add(speed)
            rows.append(speed)
    return rows


def _write(rows: Sequence[Speed], output_format: str, data: dict[str, Any]) -> None:
    from ...bench import report, speed_page

    if output_format == "json":
        write_json(data)
        return
    lines = [speed_page.cells(row) for row in rows]
    if output_format == "csv":
        sys.stdout.write(report.table_csv(speed_page.HEADINGS, lines))
    elif output_format == "markdown":
        typer.echo(report.table_markdown(speed_page.MEANS, speed_page.means(rows)))
        typer.echo(report.table_markdown(speed_page.HEADINGS, lines))
    else:
        first, *others = speed_page.HEADINGS
        output.print(table([first, *((heading, "right") for heading in others[:-1]), others[-1]], lines))
        first, *others = speed_page.MEANS
        output.print(table([first, *((heading, "right") for heading in others)], speed_page.means(rows)))
