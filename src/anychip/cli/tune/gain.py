"""`anychip tune gain`: what a search gains over what ships, case by case of the benchmark's suite.

Flows in: cases, seconds for each, a file to record in. Flows out: a table or JSON; the record, which a run
that was interrupted goes on with; the tables of the page."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bench.options import command
from ..console import messages, output, progress, table, write_json
from ..options import AsJson
from .options import CpuTime, Threads, prepare

if TYPE_CHECKING:
    from ...tune.gain import Gain

CLOCKS = {False: "Wall time", True: "Processor time of one thread"}


def gain(
    patterns: Annotated[list[str] | None, typer.Argument(help="Cases of the suite; all if none.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds of search for a case.")] = 15.0,
    threads: Threads = 0,
    cpu_time: CpuTime = False,
    record: Annotated[
        Path | None, typer.Option(help="Write the rows there; rows that it has are not measured again.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Replace the tables of this page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare shipped tile sizes and schedules with those that a search finds, on the benchmark's suite.

    Nothing is put into the tuning database.
    """
    prepare(1 if cpu_time else threads)
    import torch

    from ...bench import suite
    from ...bench.measure import keep_memory
    from ...bench.page import replaced
    from ...bench.report import circumstances
    from ...compiler.schedule.choices import VALUES
    from ...triton_backend import activate
    from ...tune import gain as gains
    from ...tune import gain_page
    from ...tune.errors import TuneError

    activate()
    keep_memory()
    clock = time.thread_time if cpu_time else time.perf_counter
    choices = gains.ONE_THREAD if torch.get_num_threads() == 1 else tuple(VALUES)
    terms = {"clock": CLOCKS[cpu_time], "seconds": seconds, "threads": torch.get_num_threads()}
    cases = suite.cases(patterns or ())
    rows: dict[str, Gain] = {}
    where = circumstances(command())
    if record is not None and record.is_file():
        known, recorded, before = gains.load(record)
        if before == terms:
            rows, where = {row.case: row for row in known}, recorded
    with progress(quiet=as_json) as display:
        bar = display.add_task("cases", total=len(cases))
        for case in cases:
            if case.label not in rows:
                try:
                    rows[case.label] = gains.measure(case, seconds, clock, choices)
                except TuneError as error:
                    messages.print(f"left out: {error}")
                if record is not None:
                    gains.save(record, list(rows.values()), where, terms)
            best = max(rows.values(), key=lambda row: row.gain, default=None)
            told = f"; largest gain so far {best.case} {best.gain:.2f}" if best is not None else ""
            display.update(bar, advance=1, description=f"{case.label}{told}")
    found = list(rows.values())
    if page is not None:
        text = page.read_text(encoding="utf-8")
        page.write_text(replaced(text, gain_page.sections(found, where, terms)), encoding="utf-8")
        messages.print(f"wrote {page}")
    if as_json:
        write_json([asdict(row) | {"gain": row.gain} for row in found])
        return
    output.print(table(gain_page.HEADINGS, [gain_page.cells(row) for row in found]))
    output.print(gain_page.summary(found))
