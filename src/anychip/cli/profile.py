"""`anychip profile`: what a Python program spends its time on.

Flows in: a program with its arguments, a process that runs, or two profiles. Flows out: the program's own
output, then tables of kernels and operators, or JSON; and a trace for Perfetto."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..environment import POLICY, PROFILE
from .console import messages, output, table, write_json
from .errors import CommandError
from .needs import require_packages
from .options import AsJson
from .program import POLICIES, require_entry_point

if TYPE_CHECKING:
    from ..profile.result import Profile

AS_IT_IS = "none"


def profile(
    program: Annotated[
        list[str] | None,
        typer.Argument(metavar="SCRIPT|MODULE [ARGS]...", help="The program and its arguments."),
    ] = None,
    module: Annotated[
        bool, typer.Option("-m", help="The program is a module's name, as for `python -m`.")
    ] = False,
    policy: Annotated[
        str, typer.Option(help="portable, strict or auto; none leaves the program as it is.")
    ] = "portable",
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a trace that ui.perfetto.dev reads.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="BEFORE AFTER", help="Say what changed between two files of --json."),
    ] = None,
    pytorch: Annotated[
        bool, typer.Option("--pytorch", help="PyTorch's profiler, too (costs more than all else).")
    ] = False,
    frames: Annotated[bool, typer.Option("--frames/--no-frames", help="Samples of Python's stacks.")] = True,
    roofs: Annotated[
        bool, typer.Option("--roofs/--no-roofs", help="Measure the machine's limits first, some seconds.")
    ] = True,
    counters: Annotated[
        bool, typer.Option("--counters", help="Count cycles and cache misses by `perf`, where it can.")
    ] = False,
    pid: Annotated[
        int | None, typer.Option(help="Attach to a process started with ANYCHIP_PROFILE_DOOR=1.")
    ] = None,
    chip: Annotated[
        str, typer.Option(help="Instructions of --ops on this chip or core, emulated; no times.")
    ] = "",
    ops: Annotated[list[str] | None, typer.Option(help="With --chip: an operator; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long, with --pid.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Run a Python program and show where its time went: kernels, operators, compilations, memory.

    Options of this command stand before the program; all that follows it is the program's. The exit status
    is the program's."""
    if compare is not None:
        _compare(*compare, as_json)
        return
    if chip:
        _count(chip, ops or [], as_json)
        return
    if (pid is None) == (not program):
        raise CommandError("a program or --pid, one of both.", "anychip profile script.py its arguments")
    status = 0
    if pid is not None:
        from ..profile.attach import attach

        found = attach(pid, seconds, frames=frames, trace=trace, roofs=_limits(roofs))
    else:
        if policy not in (*POLICIES, AS_IT_IS):
            raise CommandError(f"there is no policy {policy!r}.", f"There are {', '.join(POLICIES)}, none.")
        require_entry_point("profile")
        wanted = {"operators": pytorch, "frames": frames, "roofs": _limits(roofs), "trace": trace is not None}
        status, found = _run(list(program or ()), module, policy, wanted, trace, counters)
    if as_json:
        write_json(found.to_json())
    else:
        _show(found)
    if status:
        raise typer.Exit(status if status > 0 else 1)


def _limits(wanted: bool) -> dict[str, Any] | None:
    """The limits of this machine with as many threads as PyTorch would take, or None."""
    if not wanted:
        return None
    import torch

    from ..bench import roofs

    messages.print("measuring the machine's limits (--no-roofs leaves them out)")
    return asdict(roofs.measure(torch.get_num_threads()))


def _run(
    program: list[str],
    module: bool,
    policy: str,
    wanted: Mapping[str, object],
    trace: Path | None,
    counters: bool,
) -> tuple[int, Profile]:
    from ..profile import counters as hardware
    from ..profile.result import read
    from ..profile.session import RESULT, TRACE

    with tempfile.TemporaryDirectory(prefix="anychip-profile-") as name:
        folder = Path(name)
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        command = [sys.executable, *flags, *(["-m"] if module else []), *program]
        told: tuple[str, ...] = ()
        counted = hardware.command(command, folder / "perf") if counters else None
        if counters and counted is None:
            told = ("hardware counters: there is no `perf` on the path",)
        request = {**wanted, "folder": name, "command": shlex.join(program)}
        environment = {**os.environ, PROFILE: json.dumps(request)}
        if policy != AS_IT_IS:
            environment[POLICY] = policy
        status = subprocess.run(counted or command, env=environment, check=False).returncode
        if not (folder / RESULT).exists():
            raise CommandError(
                f"the program ended with status {status} and without a profile.",
                "It never imported PyTorch, or was killed.",
            )
        found = read(folder / RESULT)
        if counted is not None:
            values = hardware.parse((folder / "perf").read_text(encoding="utf-8"))
            if values.absent:
                told = (f"hardware counters that this machine does not have: {', '.join(values.absent)}",)
            found = found.with_counters(values.values, told)
        elif told:
            found = found.with_counters({}, told)
        if trace is not None:
            trace.write_bytes((folder / TRACE).read_bytes())
    return status, found


def _show(profile: Profile) -> None:
    from ..profile import table as text

    right = [text.KERNEL_COLUMNS[0], *((name, "right") for name in text.KERNEL_COLUMNS[1:])]
    output.print(table(right, text.kernel_cells(profile)))
    if profile.operators:
        right = [text.OPERATOR_COLUMNS[0], *((name, "right") for name in text.OPERATOR_COLUMNS[1:])]
        output.print(table(right, text.operator_cells(profile)))
    for line in text.remarks(profile):
        output.print(line, markup=False, soft_wrap=True)


def _count(chip: str, names: list[str], as_json: bool) -> None:
    """Instructions of operators' kernels on an emulated chip."""
    if not names:
        raise CommandError("--chip counts the instructions of operators.", "Name one: --ops softmax")
    require_packages("conform")
    from ..compiler.foreign.routes import resolve
    from ..conformance.instructions import instructions
    from ..conformance.trials import DEFAULT, Sampling

    found = instructions(resolve(chip), names, Sampling(DEFAULT.dtypes[:1], 1))
    if as_json:
        write_json([asdict(row) for row in found])
        return
    right = ("launches", "right"), ("instructions", "right")
    columns = ("operator", "dtype", "inputs", "kernel", *right)
    cells = [(r.operator, r.dtype, r.inputs, r.kernel, r.launches, f"{r.instructions:,}") for r in found]
    output.print(table(columns, cells))


def _compare(before: Path, after: Path, as_json: bool) -> None:
    from ..profile import result
    from ..profile import table as text

    changes = text.compare(result.read(before), result.read(after))
    if as_json:
        write_json([{**asdict(change), "difference": change.difference} for change in changes])
        return
    rows = [
        (
            change.kind,
            change.name,
            f"{change.calls[0]} -> {change.calls[1]}",
            f"{change.seconds[0] * 1e3:.3f} -> {change.seconds[1] * 1e3:.3f}",
            f"{change.difference * 1e3:+.3f}",
        )
        for change in changes[:40]
    ]
    columns = ("what", "name", ("calls", "right"), ("ms", "right"), ("difference ms", "right"))
    output.print(table(columns, rows))
    if not changes:
        messages.print("the two profiles have no kernels and no operators")


VERBS = {"profile": profile}
SETTINGS = {"allow_interspersed_args": False}
