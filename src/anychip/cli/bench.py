"""`anychip bench`: our kernels against PyTorch and other peers, and the figures that are promised.

Flows in: which kernels, which peers, how long. Flows out: a table, JSON, CSV or Markdown, and a chart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import messages, output, progress, table, write_json
from .errors import CommandError, did_you_mean
from .needs import require_packages

if TYPE_CHECKING:
    from ..bench.report import Circumstances
    from ..bench.roofs import Roofs
    from ..bench.row import Row

FORMATS = ("table", "json", "csv", "markdown")

application = typer.Typer(
    help="Time kernels against PyTorch eager and other peers, interleaved and checked.", no_args_is_help=True
)

Output = Annotated[str, typer.Option("-o", "--output", help=f"Write {', '.join(FORMATS)}.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads for every candidate (0: PyTorch's default).")]
Seconds = Annotated[float, typer.Option(min=0.05, help="How long to measure each row.")]
Peers = Annotated[
    list[str] | None, typer.Option("--peer", help="Also inductor, onnxruntime, jax or all (repeatable).")
]


@application.command("kernels")
def kernels(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Names, or shell patterns for `NAME TYPE SIZES`.")
    ] = None,
    peer: Peers = None,
    threads: Threads = 0,
    seconds: Seconds = 1.5,
    output_format: Output = "table",
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Count the processor's time for this process: for busy machines."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Also write a chart (.png, .svg, .pdf).")] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the run as JSON, for `bench report`.")] = None,
) -> None:
    """Run the suite of kernels, or those that match."""
    checked_format(output_format)
    prepare(threads)
    from ..bench import peers, report, roofs, suite
    from ..bench.measure import Plan
    from ..bench.row import run

    chosen = suite.cases(patterns or [])
    others = peers.chosen(peer or [])
    plan = Plan(seconds=seconds, clock=time.process_time if cpu_time else time.perf_counter)
    rows: list[Row] = []
    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("measuring the machine's limits", total=len(chosen) + 1)
        limits = roofs.measure(thread_count())
        for case in chosen:
            display.update(task, description=case.label, advance=1)
            rows.append(run(case, others, limits, plan))
    where = report.circumstances(command())
    if save is not None:
        import json

        save.write_text(json.dumps(report.data(rows, where, limits), indent=1), encoding="utf-8")
    if plot is not None:
        from ..bench.plot import plot as draw

        draw(rows, plot)
    _write(rows, where, limits, output_format)
    _exit_if_wrong(rows)


@application.command("op")
def op(
    name: Annotated[str, typer.Argument(help="An operator of the library (`anychip ops`).")],
    threads: Threads = 0,
    seconds: Seconds = 1.5,
    output_format: Output = "table",
) -> None:
    """Time one operator of the library against PyTorch's on its benchmark shapes or samples."""
    checked_format(output_format)
    prepare(threads)
    from ..bench import operators, report, roofs
    from ..bench.measure import Plan
    from ..bench.row import run

    cases = operators.cases(name)
    limits = roofs.measure(thread_count())
    rows = [run(case, (), limits, Plan(seconds=seconds)) for case in cases]
    _write(rows, report.circumstances(command()), limits, output_format)
    _exit_if_wrong(rows)


@application.command("llm")
def llm(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Names of fused operators, or shell patterns.")
    ] = None,
    threads: Threads = 0,
    seconds: Seconds = 1.0,
    output_format: Output = "table",
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Count the processor's time for this process: for busy machines."),
    ] = False,
) -> None:
    """Time the fused operators for language models against plain PyTorch compositions."""
    checked_format(output_format)
    prepare(threads)
    from ..bench import llm as fused
    from ..bench import report, roofs
    from ..bench.measure import Plan
    from ..bench.row import run

    chosen = fused.cases(patterns or [])
    limits = roofs.measure(thread_count())
    plan = Plan(seconds=seconds, clock=time.process_time if cpu_time else time.perf_counter)
    rows: list[Row] = []
    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("fused operators", total=len(chosen))
        for case in chosen:
            display.update(task, description=case.label)
            rows.append(run(case, (), limits, plan))
            display.update(task, advance=1)
    _write(rows, report.circumstances(command()), limits, output_format)
    _exit_if_wrong(rows)


@application.command("model")
def model(
    batch: Annotated[int, typer.Option(min=1, help="Sentences in a batch.")] = 32,
    rounds: Annotated[int, typer.Option(min=3, help="Interleaved runs of both.")] = 11,
    threads: Threads = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Time MiniLM by PyTorch eager and by portable kernels under the strict policy."""
    prepare(threads)
    from ..bench import models

    found = models.measure(*models.minilm_and_batch(batch), rounds)
    if as_json:
        from dataclasses import asdict

        write_json(asdict(found))
        return
    _show_pairs(found.cells())


@application.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(help="A run that `bench kernels --save` wrote.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    output_format: Output = "table",
) -> None:
    """Compare two saved runs row by row, each against its own eager run so that machines' moods cancel."""
    checked_format(output_format)
    require_packages("bench")
    from ..bench import comparison

    found = comparison.compare(_load(first)[0], _load(second)[0])
    titles = comparison.HEADINGS
    if output_format == "json":
        write_json([dict(zip(titles, row, strict=True)) for row in found])
    elif output_format == "markdown":
        from ..bench.report import table_markdown

        typer.echo(table_markdown(titles, found))
    else:
        output.print(table([titles[0], *((title, "right") for title in titles[1:])], found))


@application.command("report")
def report_verb(
    run: Annotated[Path, typer.Argument(help="A run that `bench kernels --save` wrote.")],
    output_format: Output = "markdown",
    plot: Annotated[Path | None, typer.Option(help="Also write a chart (.png, .svg, .pdf).")] = None,
) -> None:
    """Write a saved run again in another format."""
    checked_format(output_format)
    require_packages("bench")
    rows, where, limits = _load(run)
    if plot is not None:
        from ..bench.plot import plot as draw

        draw(rows, plot)
    _write(rows, where, limits, output_format)


@application.command("tutorials")
def tutorials_verb(
    folder: Annotated[Path, typer.Argument(help="The folder of Triton's tutorials (python/tutorials).")],
    threads: Threads = 0,
    seconds: Seconds = 1.5,
    output_format: Output = "table",
) -> None:
    """Time Triton's tutorials 02, 03, 05 and 06 as published against PyTorch."""
    checked_format(output_format)
    prepare(threads)
    from ..bench import report, roofs, tutorials
    from ..bench.measure import Plan
    from ..bench.row import run
    from ..inspect.kernel_file import load_name

    limits = roofs.measure(thread_count())
    cases = tutorials.cases(lambda file, name: load_name(folder / file, name))
    rows = [run(case, (), limits, Plan(seconds=seconds)) for case in cases]
    _write(rows, report.circumstances(command()), limits, output_format)
    _exit_if_wrong(rows)


@application.command("page")
def page_verb(
    path: Annotated[Path, typer.Argument(help="A Markdown page with marked sections.")],
    tutorials: Annotated[
        Path | None, typer.Option(help="The folder of Triton's tutorials, for what shows them.")
    ] = None,
    threads: Threads = 0,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long to measure each row.")] = 0.25,
    section: Annotated[
        list[str] | None, typer.Option("--section", help="Only this section (repeatable).")
    ] = None,
    skip_model: Annotated[bool, typer.Option("--skip-model", help="Leave the model out.")] = False,
) -> None:
    """Measure all that a performance page shows and write its tables: some minutes."""
    prepare(threads)
    from ..bench import page, sections

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error}", "Give a page with marked sections.") from error
    known = page.names(text)
    for name in section or []:
        if name not in known:
            raise CommandError(f"{path} has no section {name!r}.", did_you_mean(name, known))
    with progress() as display:
        task = display.add_task("", total=None)
        for name, content in sections.measured(
            section or known,
            seconds,
            tutorials,
            thread_count(),
            command(),
            not skip_model,
            lambda what: display.update(task, description=what),
        ):
            text = page.replaced(text, {name: content})
            path.write_text(text, encoding="utf-8")


@application.command("figures")
def figures(
    tutorial: Annotated[
        Path | None,
        typer.Option(help="Triton's tutorial 03 (03-matrix-multiplication.py), to time as it stands."),
    ] = None,
    skip_model: Annotated[bool, typer.Option("--skip-model", help="Leave the model out.")] = False,
    output_format: Output = "table",
) -> None:
    """Measure the promised figures: compiling, cache, launch, model, tutorial matmul, wheel, import."""
    checked_format(output_format)
    prepare(2)
    from dataclasses import asdict

    from ..bench import figures, report

    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("", total=figures.STEPS)

        def step(what: str) -> None:
            display.update(task, description=what, advance=1)

        kernel = None
        if tutorial is not None:
            from ..inspect.kernel_file import load_kernel

            kernel = load_kernel(tutorial, "matmul_kernel")
        found = figures.measure(step, not skip_model, kernel)
    if output_format == "json":
        write_json(
            {
                "circumstances": asdict(report.circumstances(command())),
                "figures": [asdict(figure) for figure in found],
            }
        )
        return
    titles = ("what", "measured", "goal", "reached", "how")
    rows = [figure.cells() for figure in found]
    if output_format == "markdown":
        typer.echo(report.circumstances(command()).sentence() + "\n")
        typer.echo(report.table_markdown(titles, rows))
    elif output_format == "csv":
        typer.echo("\n".join(",".join(f'"{cell}"' for cell in row) for row in (titles, *rows)))
    else:
        output.print(table(titles, rows))


def _load(path: Path) -> tuple[list[Row], Circumstances, Roofs | None]:
    import json

    from ..bench.report import Circumstances, rows_of
    from ..bench.roofs import Roofs

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        limits = data["roofs"]
        if limits is not None:
            limits = Roofs(
                limits["threads"],
                {int(size): rate for size, rate in limits["bandwidth"].items()},
                limits["operations"],
            )
        return rows_of(data), Circumstances(**data["circumstances"]), limits
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"cannot read {path}: {error}", "Give a file that `anychip bench kernels --save` wrote."
        ) from error


def _write(rows: Sequence[Row], where: Circumstances, limits: Roofs | None, output_format: str) -> None:
    from ..bench import report

    if output_format == "json":
        write_json(report.data(rows, where, limits))
    elif output_format == "csv":
        sys.stdout.write(report.as_csv(rows))
    elif output_format == "markdown":
        sys.stdout.write(report.as_markdown(rows, where, limits))
    else:
        names = report.peers(rows)
        first, *others = report.headings(rows)
        columns = [first, *((heading, "right") for heading in others[:-1]), others[-1]]
        output.print(table(columns, (report.cells(row, names) for row in rows)))
        summary = report.summaries(rows)
        output.print()
        output.print(
            table(
                ("geometric means", ("rows", "right"), ("eager/ours", "right"), ("best peer/ours", "right")),
                (
                    (
                        s.family,
                        s.rows,
                        *("" if r is None else f"{r:.2f}" for r in (s.against_eager, s.against_best)),
                    )
                    for s in summary
                ),
            )
        )
        if limits is not None:
            output.print(report.roofs_sentence(limits))
        for note in dict.fromkeys(f"{row.name} {row.dtype}: {note}" for row in rows for note in row.notes):
            messages.print(note, style="dim", markup=False)


def _show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    output.print(table(("what", ("value", "right")), pairs))


def _exit_if_wrong(rows: Sequence[Row]) -> None:
    wrong = [f"{row.name} {row.dtype} {row.wrong}" for row in rows if row.wrong]
    if wrong:
        raise CommandError("results are not right: " + "; ".join(wrong))


def checked_format(output_format: str) -> None:
    if output_format not in FORMATS:
        raise CommandError(
            f"-o {output_format}: the formats are {', '.join(FORMATS)}.", did_you_mean(output_format, FORMATS)
        )


def prepare(threads: int) -> None:
    require_packages("bench")
    import torch

    from ..bench.measure import keep_memory

    keep_memory()
    if threads:
        torch.set_num_threads(threads)


def thread_count() -> int:
    import torch

    return torch.get_num_threads()


def command() -> str:
    """The command line, without the files that it writes and without this machine's folders."""
    words = iter(sys.argv[1:])
    kept = ["anychip"]
    for word in words:
        if word in ("--save", "--plot"):
            next(words, None)
        else:
            kept.append(Path(word).name if word.startswith("/") else word)
    return " ".join(kept)
