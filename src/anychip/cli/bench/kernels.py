"""`anychip bench kernels`, `op`, `llm` and `tutorials`: our kernels against PyTorch and other peers.

Flows in: which kernels, which peers, how long. Flows out: a table, JSON, CSV or Markdown, and a chart.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import messages, progress
from ..options import AsJson
from .options import CpuTime, Output, Peers, Seconds, Threads, chosen_format, command, prepare, thread_count
from .rows import require_right, write

if TYPE_CHECKING:
    from ...bench.row import Row


def kernels(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Names, or shell patterns for `NAME TYPE SIZES`.")
    ] = None,
    peer: Peers = None,
    threads: Threads = 0,
    seconds: Seconds = 1.5,
    output_format: Output = "table",
    as_json: AsJson = False,
    cpu_time: CpuTime = False,
    plot: Annotated[Path | None, typer.Option(help="Also write a chart (.png, .svg, .pdf).")] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the run as JSON, for `bench report`.")] = None,
) -> None:
    """Run the suite of kernels, or those that match."""
    output_format = chosen_format(output_format, as_json)
    prepare(threads)
    from ...bench import peers, report, roofs, suite
    from ...bench.measure import TimingBudget
    from ...bench.row import run

    chosen = suite.cases(patterns or [])
    others = peers.chosen(peer or [])
    budget = TimingBudget(seconds=seconds, clock=time.process_time if cpu_time else time.perf_counter)
    rows: list[Row] = []
    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("measuring the machine's limits", total=len(chosen) + 1)
        limits = roofs.measure(thread_count())
        for case in chosen:
            display.update(task, description=case.label, advance=1)
            rows.append(run(case, others, limits, budget))
    where = report.circumstances(command())
    if save is not None:
        save.write_text(json.dumps(report.data(rows, where, limits), indent=1), encoding="utf-8")
    if plot is not None:
        from ...bench.plot import plot as draw

        draw(rows, plot)
    write(rows, where, limits, output_format)
    require_right(rows)


def op(
    name: Annotated[str, typer.Argument(help="An operator of the library (`anychip ops`).")],
    threads: Threads = 0,
    seconds: Seconds = 1.5,
    output_format: Output = "table",
    as_json: AsJson = False,
) -> None:
    """Time one operator of the library against PyTorch's on its benchmark shapes or samples."""
    output_format = chosen_format(output_format, as_json)
    prepare(threads)
    from ...bench import operators, report, roofs
    from ...bench.measure import TimingBudget
    from ...bench.row import run

    cases = operators.cases(name)
    limits = roofs.measure(thread_count())
    rows = [run(case, (), limits, TimingBudget(seconds=seconds)) for case in cases]
    write(rows, report.circumstances(command()), limits, output_format)
    require_right(rows)


def llm(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Names of fused operators, or shell patterns.")
    ] = None,
    threads: Threads = 0,
    seconds: Seconds = 1.0,
    output_format: Output = "table",
    as_json: AsJson = False,
    cpu_time: CpuTime = False,
) -> None:
    """Time the fused operators for language models against plain PyTorch compositions."""
    output_format = chosen_format(output_format, as_json)
    prepare(threads)
    from ...bench import llm as fused
    from ...bench import report, roofs
    from ...bench.measure import TimingBudget
    from ...bench.row import run

    chosen = fused.cases(patterns or [])
    limits = roofs.measure(thread_count())
    budget = TimingBudget(seconds=seconds, clock=time.process_time if cpu_time else time.perf_counter)
    rows: list[Row] = []
    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("fused operators", total=len(chosen))
        for case in chosen:
            display.update(task, description=case.label)
            rows.append(run(case, (), limits, budget))
            display.update(task, advance=1)
    write(rows, report.circumstances(command()), limits, output_format)
    require_right(rows)


def tutorials(
    folder: Annotated[Path, typer.Argument(help="The folder of Triton's tutorials (python/tutorials).")],
    threads: Threads = 0,
    seconds: Seconds = 1.5,
    output_format: Output = "table",
    as_json: AsJson = False,
) -> None:
    """Time Triton's tutorials 02, 03, 05 and 06 as published against PyTorch."""
    output_format = chosen_format(output_format, as_json)
    prepare(threads)
    from ...bench import report, roofs, tutorials
    from ...bench.measure import TimingBudget
    from ...bench.row import run
    from ...inspect.kernel_file import load_name

    limits = roofs.measure(thread_count())
    cases = tutorials.cases(lambda file, name: load_name(folder / file, name))
    rows = [run(case, (), limits, TimingBudget(seconds=seconds)) for case in cases]
    write(rows, report.circumstances(command()), limits, output_format)
    require_right(rows)
