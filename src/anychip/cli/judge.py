"""`anychip judge`: whether a kernel does a task, and how quickly, with a signed record.

Flows in: a candidate's file and function with a task, a set of them, or a record to verify. Flows out: the
checks and times as a table, JSON, or an explanation for whoever writes the next kernel. Exit status 0:
accepted (all of a set), 1: refused, 2: wrong use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AnychipError
from .console import messages, output, progress, table, write_json
from .errors import CommandError, require_known
from .needs import require_packages

if TYPE_CHECKING:
    from ..author.campaign import Entry, Outcome
    from ..author.judgement import Terms

REFUSED, WRONG_USE = 1, 2
CLOCKS = ("wall", "processor")


def judge(
    candidate: Annotated[str, typer.Argument(help="FILE.py:function.")] = "",
    task: Annotated[
        str,
        typer.Option(help="A function of PyTorch's (softmax), an operator of the library, or a task's file."),
    ] = "",
    dtype: Annotated[str, typer.Option(help="Element type.")] = "float32",
    candidates: Annotated[
        Path | None,
        typer.Option(
            "--set", help="Judge a list: lines of FILE.py:function TASK [DTYPE]; goes on with --record."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Add the signed record to this file, a line each.")
    ] = None,
    verify: Annotated[Path | None, typer.Option(help="Verify the records of a file instead.")] = None,
    key: Annotated[str, typer.Option(help="With --verify: the public key that must have signed.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Write JSON for whoever writes the next kernel.")
    ] = False,
    shapes: Annotated[int, typer.Option(min=1, help="Shapes to try.")] = 4,
    scale: Annotated[float, typer.Option(min=0, max=1, help="How large the timed shapes are.")] = 0.7,
    rounds: Annotated[int, typer.Option(min=6, help="Timed pairs of calls.")] = 21,
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 1,
    clock: Annotated[
        str, typer.Option(help="wall, or processor: what the scheduler gave, for busy machines.")
    ] = "wall",
    at_least: Annotated[
        float, typer.Option(min=0, help="Refuse what is surely not that many times the reference's speed.")
    ] = 0.0,
    roofs: Annotated[
        bool, typer.Option("--roofs/--no-roofs", help="Measure the machine's roofs first.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Write the signed record.")] = False,
) -> None:
    """Judge a kernel: is it right, is it the kernel that computes, and how quick is it?

    The candidate runs in a process that holds neither the clock nor what is expected. See docs/judge.md.
    """
    require_packages("judge")
    try:
        require_known("--clock", clock, CLOCKS)
        if verify is not None:
            _verify(verify, key, as_json)
            return
        if not candidate and candidates is None and explain and task:
            write_json(_description(task, dtype))
            return
        entries = _entries(candidate, task, dtype, candidates)
        terms = _terms(shapes, scale, rounds, threads, clock, at_least, roofs)
        outcomes = _judged(entries, terms, record, quiet=as_json or explain)
    except AnychipError as error:
        typer.echo(f"anychip: {error}", err=True)
        raise typer.Exit(WRONG_USE) from None
    _report(outcomes, as_json, explain)
    if any(not outcome.signed for outcome in outcomes):
        raise typer.Exit(WRONG_USE)
    if not all(outcome.accepted for outcome in outcomes):
        raise typer.Exit(REFUSED)


def _entries(candidate: str, task: str, dtype: str, candidates: Path | None) -> list[Entry]:
    from ..author import campaign

    if candidates is not None:
        if candidate or task:
            raise CommandError("--set names candidates and tasks; give no others.")
        return campaign.read(candidates)
    if not candidate or not task:
        raise CommandError(
            "a candidate and its task are needed.", "anychip judge FILE.py:function --task softmax"
        )
    entry = campaign.entry(candidate, task, dtype)
    if not entry.path.is_file():
        raise CommandError(f"there is no file {entry.path}.")
    return [entry]


def _terms(
    shapes: int, scale: float, rounds: int, threads: int, clock: str, at_least: float, roofs: bool
) -> Terms:
    from ..author.judgement import Terms
    from ..bench.roofs import measure

    return Terms(
        shapes=shapes,
        scale=scale,
        rounds=rounds,
        threads=threads,
        clock=clock,
        at_least=at_least,
        roofs=measure(threads) if roofs else None,
    )


def _judged(entries: list[Entry], terms: Terms, record: Path | None, quiet: bool) -> list[Outcome]:
    from ..author import campaign
    from ..author.processes.confined import Nursery
    from ..author.record import key_file, load_key
    from ..author.tasks import is_light

    key = load_key(key_file())
    outcomes: list[Outcome] = []
    library = any(not is_light(entry.task) for entry in entries)
    with Nursery(library=library) as nursery, progress(quiet=quiet) as display:
        bar = display.add_task("judging", total=len(entries))
        try:
            for outcome in campaign.run(nursery, entries, terms, record, key):
                outcomes.append(outcome)
                name = f"{outcome.entry.path.name}:{outcome.entry.function}"
                display.update(bar, advance=1, description=name)
        except KeyboardInterrupt:
            if record is not None:
                messages.print(f"anychip: interrupted; the same command goes on from {record}")
            raise
    return outcomes


def _report(outcomes: list[Outcome], as_json: bool, explain: bool) -> None:
    if explain or as_json:
        shown = [_explanation(outcome) if explain else dict(outcome.signed) for outcome in outcomes]
        write_json(shown[0] if len(shown) == 1 else shown)
        return
    if len(outcomes) == 1 and outcomes[0].signed:
        content = outcomes[0].signed["record"]
        rows = [(check["name"], check["outcome"], check["detail"]) for check in content["checks"]]
        output.print(table(("check", "outcome", ""), rows))
        missing = [f"{name}: {how}" for name, how in content["confinement"].items() if how != "holds"]
        for line in missing:
            messages.print(f"anychip: confinement: {line}", markup=False)
    else:
        columns = ("candidate", "task", "dtype", ("speed", "right"), ("from", "right"), "verdict")
        output.print(table(columns, [_row(outcome) for outcome in outcomes]))
        number = sum(outcome.accepted for outcome in outcomes)
        output.print(f"{len(outcomes)} candidates: {number} accepted")
    if len(outcomes) == 1:
        output.print(outcomes[0].line, markup=False, highlight=False)


def _row(outcome: Outcome) -> tuple[Any, ...]:
    entry, times = outcome.entry, outcome.signed["record"]["times"] if outcome.signed else None
    speed = ("", "") if times is None else (f"{times['speed']:.2f}", f"{times['low']:.2f}")
    return (
        f"{entry.path.name}:{entry.function}",
        entry.task,
        entry.dtype,
        *speed,
        outcome.line.partition(" (")[0],
    )


def _explanation(outcome: Outcome) -> dict[str, Any]:
    from ..author.verdict import CHECKS

    if not outcome.signed:
        return {"verdict": "not judged", "line": outcome.line}
    content = outcome.signed["record"]
    fault = next((check for check in content["checks"] if check["outcome"] == "failed"), None)
    return {
        "verdict": content["verdict"],
        "line": content["line"],
        "failed": None if fault is None else {**fault, "means": CHECKS[fault["name"]]},
        "times": content["times"],
        "kernels": content["kernels"],
        "confinement": content["confinement"],
    }


def _description(task: str, dtype: str) -> dict[str, Any]:
    from ..author.describing import description

    return description(task, dtype)


def _verify(path: Path, key: str, as_json: bool) -> None:
    from ..author import record
    from ..author.errors import RecordError

    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else (), 1):
        try:
            records.append(record.verify(json.loads(line), key))
        except (ValueError, RecordError) as error:
            typer.echo(f"anychip: {path}:{number}: {error}", err=True)
            raise typer.Exit(REFUSED) from None
    if not records:
        raise CommandError(f"{path} has no record.")
    if as_json:
        write_json(records)
        return
    for content in records:
        output.print(
            f"{content['candidate']}, {content['task']}: {content['line']}", markup=False, highlight=False
        )
    output.print(f"{len(records)} records hold")


VERBS = {"judge": judge}
