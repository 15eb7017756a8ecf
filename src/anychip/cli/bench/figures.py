"""`anychip bench figures`, `model` and `page`: what is promised, the demonstration's model, and the page that
shows all. Flows in: what to measure. Flows out: a table, JSON, CSV or Markdown; the tables of the page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..console import messages, output, progress, table, write_json
from ..errors import CommandError, did_you_mean
from ..options import AsJson
from .options import Output, Threads, chosen_format, command, prepare, thread_count


def figures(
    tutorial: Annotated[
        Path | None,
        typer.Option(help="Triton's tutorial 03 (03-matrix-multiplication.py), to time as it stands."),
    ] = None,
    skip_model: Annotated[bool, typer.Option("--skip-model", help="Leave the model out.")] = False,
    output_format: Output = "table",
    as_json: AsJson = False,
) -> None:
    """Measure the promised figures: compiling, cache, launch, model, tutorial matmul, wheel, import."""
    output_format = chosen_format(output_format, as_json)
    prepare(2)
    from ...bench import figures, report

    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("", total=figures.STEPS)

        def step(what: str) -> None:
            display.update(task, description=what, advance=1)

        kernel = None
        if tutorial is not None:
            from ...inspect.kernel_file import load_kernel

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


def model(
    batch: Annotated[int, typer.Option(min=1, help="Sentences in a batch.")] = 32,
    rounds: Annotated[int, typer.Option(min=3, help="Interleaved runs of both.")] = 11,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Time MiniLM by PyTorch eager and by portable kernels under the strict policy."""
    prepare(threads)
    from ...bench import models

    found = models.measure(*models.minilm_and_batch(batch), rounds)
    if as_json:
        write_json(asdict(found))
        return
    output.print(table(("what", ("value", "right")), found.cells()))


def page(
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
    as_json: AsJson = False,
) -> None:
    """Measure all that a performance page shows and write its tables: some minutes."""
    prepare(threads)
    from ...bench import page, sections

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error}", "Give a page with marked sections.") from error
    known = page.names(text)
    for name in section or []:
        if name not in known:
            raise CommandError(f"{path} has no section {name!r}.", did_you_mean(name, known))
    with progress(quiet=as_json) as display:
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
    if as_json:
        write_json({"written": str(path), "sections": list(section or known)})
