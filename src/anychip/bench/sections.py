"""The sections of the performance page: everything that it shows is measured, and written as tables.

Flows in: the page, how long a row may take, where Triton's tutorials are. Flows out: its sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..inspect.kernel_file import load_name
from . import compiling, figures, peers, report, roofs, row, scaling, suite, tutorials
from .case import Case
from .measure import TimingBudget
from .row import Row

Step = Callable[[str], None]

PEER_ROWS = (
    "gelu f32 4096*",
    "silu_mul f32 4096*",
    "residual f32 4096*",
    "softmax f32 4096*",
    "log_softmax f32 4096*",
    "layer_norm f32 4096*",
    "rms_norm f32 4096*",
    "sum_rows f32 4096*",
    "sum_columns f32 4096*",
    "argmax_rows f32 4096*",
    "cumsum f32 4096*",
    "sort f32 1024*",
    "transpose f32 4096*",
    "gather f32 4096*",
    "matmul f32 256x256x256",
    "matmul f32 1024*",
    "matmul f32 2048*",
    "matmul f32 4096x384*",
    "matmul_bias_gelu f32 1024*",
    "attention f32 4x8*",
    "attention_causal f32 4x8*",
    "conv2d f32 8*",
    "cross_entropy f32 512*",
    "linear_cross_entropy f32 256*",
)
"""The rows for which the peers are asked: preparing one takes them some ten seconds."""
FIGURE_TITLES = ("what", "measured", "goal", "reached", "how")


def measured(
    sections: Sequence[str],
    seconds: float,
    tutorials_folder: Path | None,
    threads: int,
    command: str,
    with_model: bool,
    step: Step,
) -> Iterator[tuple[str, str]]:
    """The wanted sections by name, each as soon as it is measured; figures of the model only `with_model`."""
    import torch

    where = report.circumstances(command).sentence() + "\n"
    if "figures" in sections:
        tutorial = None
        if tutorials_folder is not None:
            tutorial = load_name(tutorials_folder / tutorials.MATMUL, "matmul_kernel")
        lines = [figure.cells() for figure in figures.measure(step, with_model, tutorial)]
        yield "figures", f"{where}\n{report.table_markdown(FIGURE_TITLES, lines)}"
    if "suite" in sections:
        yield "suite", _suite(threads, seconds, command, step)
    if "suite, one thread" in sections:
        torch.set_num_threads(1)
        yield "suite, one thread", _suite(1, seconds, command, step, with_peers=False)
        torch.set_num_threads(threads)
    if "tutorials" in sections and tutorials_folder is not None:
        folder = tutorials_folder
        cases = tutorials.cases(lambda file, name: load_name(folder / file, name))
        limits = roofs.measure(threads)
        rows = _rows(cases, (), limits, seconds, step)
        yield "tutorials", report.as_markdown(rows, report.circumstances(command), limits)
    if "scaling" in sections:
        yield "scaling", f"{where}\n{_scaling(threads, seconds, step)}"
    if "compiling" in sections:
        texts: dict[str, str] = {}
        for case in suite.cases():
            step(f"kernels of {case.label}")
            texts.update((text, name) for name, text in compiling.kernels(case))
        step("compiling the suite's kernels")
        compiled = compiling.measure([(name, text) for text, name in texts.items()])
        yield "compiling", f"{where}\n{compiling_text(compiled)}"


def _suite(threads: int, seconds: float, command: str, step: Step, with_peers: bool = True) -> str:
    limits = roofs.measure(threads)
    asked = {case.label for case in suite.cases(PEER_ROWS)} if with_peers else set()
    every = peers.chosen(["all"])
    rows = []
    for case in suite.cases():
        rows += _rows([case], every if case.label in asked else (), limits, seconds, step)
    return report.as_markdown(rows, report.circumstances(command), limits)


def _rows(
    cases: Sequence[Case], others: Sequence[peers.Peer], limits: roofs.Roofs, seconds: float, step: Step
) -> list[Row]:
    rows = []
    for case in cases:
        step(case.label)
        rows.append(row.run(case, others, limits, TimingBudget(seconds=seconds, least_rounds=3)))
    return rows


def _scaling(threads: int, seconds: float, step: Step) -> str:
    rows = []
    for case in scaling.largest(suite.cases()):
        step(f"scaling of {case.label}")
        rows.append(scaling.measure(case, threads, TimingBudget(seconds=seconds, least_rounds=3)))
    return scaling_text(rows)


def scaling_text(rows: Sequence[scaling.Scaled]) -> str:
    """The summary and every row as Markdown."""
    means = [(family, str(number), f"{mean:.2f}") for family, number, mean in scaling.summary(rows)]
    return "\n".join(
        (
            report.table_markdown(("family", "rows", "one thread / all threads"), means),
            report.table_markdown(scaling.HEADINGS, [row.cells() for row in rows]),
        )
    )


def compiling_text(compiled: Sequence[compiling.Compiled]) -> str:
    """The median in a sentence, and the slowest kernels as Markdown."""
    slowest = sorted(compiled, key=lambda kernel: -kernel.seconds)[:12]
    return (
        f"{len(compiled)} kernels, median {compiling.median_ms(compiled):.1f} ms (goal: at most "
        f"{compiling.GOAL_MS:g} ms); medians of the stages in ms: {compiling.shares(compiled)}. "
        "The slowest:\n\n" + report.table_markdown(compiling.HEADINGS, [kernel.cells() for kernel in slowest])
    )
