"""`anychip demo`: a sentence-embedding model with its real weights, on portable kernels.

Flows in: a text with one sentence a line. Flows out: tables (or JSON) with the most similar sentences,
how exact and how fast both runs were, which kernels served which operators, what compiling cost, and
how large the same operators' kernels are for other chips.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from .console import output, progress, table, write_json
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..demo.chips import ChipResult
    from ..demo.demonstration import Demonstration


def demo(
    text: Annotated[
        Path | None, typer.Option(metavar="FILE", help="UTF-8 text, one sentence a line (default: ours).")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sentences in one run of the model.")] = 32,
    as_json: AsJson = False,
) -> None:
    """Run a real model by PyTorch and by portable kernels; compile the same operators for other chips."""
    require_packages("demo")
    from ..demo.chips import compile_everywhere, number_of
    from ..demo.sentences import read_sentences, shipped_text

    sentences = read_sentences(text or shipped_text())
    with progress(quiet=as_json) as display:
        found = _demonstrated(display, sentences, batch)
        kernels, gpu_kernels = found.foreign_kernels(), found.foreign_gpu_kernels()
        task = display.add_task(
            "compiling the same operators for other chips", total=number_of(kernels, gpu_kernels)
        )
        chips = compile_everywhere(kernels, gpu_kernels, _jobs(), lambda: display.advance(task))
    if as_json:
        write_json(_as_data(found, chips))
    else:
        _show(found, chips)


def _demonstrated(display: Progress, sentences: list[str], batch: int) -> Demonstration:
    from ..demo.demonstration import STEPS, demonstrate

    task = display.add_task("", total=STEPS)
    compiled = display.add_task("kernels compiled", total=None, visible=False)

    def step(what: str) -> None:
        display.update(task, description=what, advance=1)

    def kernel_ready(kernel: str) -> None:
        display.update(compiled, description=f"compiled {kernel}", advance=1, visible=True)

    return demonstrate(sentences, batch, step, kernel_ready)


def _jobs() -> int:
    """Worker processes at a time: one a core, at most four, as each holds a compiler in memory."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _as_data(found: Demonstration, chips: list[ChipResult]) -> dict[str, Any]:
    data = asdict(found)
    for name in ("kernels", "gpu_kernels"):
        data[name] = [{"kernel": made.kernel, "signature": made.signature} for made in getattr(found, name)]
    data["chips"] = [
        {**asdict(chip), "code_bytes": dict(chip.code_bytes), "total_bytes": chip.total_bytes}
        for chip in chips
    ]
    return data


def _show(found: Demonstration, chips: list[ChipResult]) -> None:
    _show_pairs(found)
    _show_operators(found)
    _show_figures(found)
    _show_chips(chips)


def _show_pairs(found: Demonstration) -> None:
    rows = [(f"{pair.similarity:.3f}", escape(f"{pair.first}\n{pair.second}")) for pair in found.pairs]
    title = f"The most similar of {found.sentences} sentences, by portable kernels"
    output.print(table((("cosine", "right"), "sentences"), rows, title=title))
    output.print()


def _show_operators(found: Demonstration) -> None:
    rows = [
        (
            use.operator,
            use.overload,
            use.calls,
            f"{use.milliseconds:.2f}",
            escape(", ".join(f"{kernel} x{launches}" for kernel, launches in use.kernels)),
        )
        for use in found.operators
    ]
    columns = ("operator", "overload", ("calls", "right"), ("ms", "right"), "kernels and launches")
    output.print(table(columns, rows, title="Operators of one batch, and the kernels that served them"))
    output.print(f"Fell through to PyTorch's own kernels: {found.fell_through}")
    output.print()


def _show_figures(found: Demonstration) -> None:
    speed, compiling = found.speed, found.compiling
    low, high = speed.ratio_quartiles
    rows = [
        ("largest difference from float64, portable", f"{found.difference_portable:.1e}"),
        ("largest difference from float64, PyTorch", f"{found.difference_pytorch:.1e}"),
        (f"one batch of {speed.sentences} x {speed.tokens} tokens, PyTorch", f"{speed.pytorch:.1f} ms"),
        ("the same, portable", f"{speed.portable:.1f} ms"),
        ("portable / PyTorch, median (quartiles)", f"{speed.ratio:.2f} ({low:.2f} to {high:.2f})"),
        (f"compiling {compiling.kernels} kernels, cold, all in", f"{compiling.cold_total:.0f} ms"),
        ("one kernel, from TTIR to machine code, median", f"{compiling.cold_median:.0f} ms"),
        ("all kernels from the cache, in a new process", f"{compiling.cached_total:.0f} ms"),
        ("one kernel from the cache, median", f"{compiling.cached_median:.1f} ms"),
    ]
    title = f"Figures ({speed.threads} threads, medians of {speed.rounds} interleaved runs)"
    output.print(table(("what", ("value", "right")), rows, title=title))
    output.print()


def _show_chips(chips: list[ChipResult]) -> None:
    rows = [
        (
            chip.target,
            chip.product,
            chip.compiler,
            chip.format,
            f"{chip.kernels} of {chip.tried}",
            f"{chip.total_bytes:,}",
            f"{chip.seconds:.1f}",
        )
        for chip in chips
    ]
    columns = (
        "target",
        "for example",
        "compiler",
        "format",
        ("kernels", "right"),
        ("bytes of code", "right"),
        ("s", "right"),
    )
    output.print(
        table(columns, rows, title="The same operators, compiled for other chips (compiled, not run)")
    )
    for chip in chips:
        for kernel, message in chip.errors:
            output.print(f"{chip.target}: {kernel}: {message}", style="red", markup=False)


VERBS = {"demo": demo}
