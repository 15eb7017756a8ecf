"""`anychip debug bisect`: where do two runs of a program part?

Flows in: two sides, as settings of one program, two commands, or traces. Flows out: the first operator whose
result is wrong by its bound, with a script that repeats it; or that nothing but rounding is between them.
Exit status 1 if an operator is wrong, or may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import messages, output, write_json
from ..options import AsJson
from ..program import require_entry_point

if TYPE_CHECKING:
    from ...debug.bisect.running import Report


def bisect(
    a: Annotated[str, typer.Argument(metavar="A", help="One side: settings, a command, or a trace.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other side, which is judged first.")],
    program: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- SCRIPT [ARGS]...]", help="The program that sides with settings run."),
    ] = None,
    into: Annotated[
        Path, typer.Option("--into", metavar="FOLDER", help="Where traces and the script are written.")
    ] = Path("bisect"),
    as_json: AsJson = False,
) -> None:
    """Find the first operator in which two runs differ by more than rounding.

    A side is settings with commas between them (policy=portable, or none for PyTorch's own; chip=NAME,
    emulated; commit=REVISION; module=NAME:FILE.py, another version of a module; python=FILE; NAME=VALUE in
    capitals for the environment), a whole command in quotes, or a .trace file that an earlier run left. Both
    sides run once, and a side with a suspicious operator once more."""
    require_entry_point("debug")
    from ...debug.bisect.running import FAULT, SAME, Bisection
    from ...debug.bisect.running import ROUNDING as ROUNDED
    from ...debug.bisect.sides import parse

    first, second = (parse(words, program or []) for words in (a, b))
    report = Bisection(
        first,
        second,
        into,
        quiet=as_json,
        say=lambda words: messages.print(words, markup=False, soft_wrap=True),
    ).find()
    if as_json:
        write_json(report.to_json())
    else:
        for line in told(report):
            output.print(line, markup=False, soft_wrap=True)
    if report.outcome == FAULT or report.outcome not in (SAME, ROUNDED):
        raise typer.Exit(1)


def told(report: Report) -> list[str]:
    """A report in words."""
    from ...debug.bisect import running

    comparison, pair, verdict = report.comparison, report.pair, report.verdict
    lines = []
    if report.outcome == running.SAME:
        lines.append(f"the runs are the same: {len(comparison.pairs)} steps gave the same bits")
    elif verdict is not None and report.outcome == running.FAULT:
        lines.append(f"{verdict.name}, step {verdict.number} of {report.side}, is wrong: {verdict.text}")
        lines += [f"  {name}: {value:.3g}" for name, value in verdict.bound.items()]
    elif report.outcome == running.ROUNDING:
        lines.append(
            f"rounding alone: {len(comparison.differing)} of {len(comparison.pairs)} steps differ, "
            f"and all {len(report.judged)} that were judged are within their bounds"
        )
    elif report.outcome == running.INPUTS:
        lines.append("the runs were given different tensors, and no operator that was judged is wrong")
    else:
        lines.append("the runs part, and nothing tells which one is wrong")
    if pair is not None:
        lines.append(
            f"  {pair.name} (step {pair.a.number} of A, {pair.b.number} of B): the runs' results are "
            f"{pair.distance:.2g} apart, its inputs {pair.before:.2g} (relative)"
        )
    if report.reduced is not None:
        alone = "alone" if report.reduced["alone"] else "only in the program; its call as it was"
        lines.append(f"  wrong {alone}: {report.reduced['elements']} of {report.reduced['of']} elements")
    if report.script is not None:
        lines.append(f"  to repeat it: python {report.script}")
    if comparison.only_a or comparison.only_b:
        lines.append(f"  steps that one side alone has: {comparison.only_a} of A, {comparison.only_b} of B")
    return lines + [f"  {remark}" for remark in report.remarks]
