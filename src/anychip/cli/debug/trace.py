"""`anychip debug trace`: what one program of a launch computes at a line of its kernel.

Flows in: a kernel's name, a line, a program id, and a Python program that launches the kernel. Flows out:
the values, printed, as JSON or as an array, and the nests that the line became."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from ...environment import TRACE
from ..console import output, write_json
from ..errors import CommandError
from ..options import AsJson
from ..program import require_entry_point

MOST_PRINTED = 8


def trace(
    kernel: Annotated[str, typer.Argument(metavar="KERNEL", help="The kernel's name.")],
    program: Annotated[
        list[str], typer.Argument(metavar="SCRIPT [ARGS]...", help="A Python program that launches it.")
    ],
    line: Annotated[int, typer.Option(min=1, help="A line of the kernel's source.")] = 0,
    at: Annotated[str, typer.Option("--program", metavar="X,Y,Z", help="The program instance.")] = "0,0,0",
    launch: Annotated[int, typer.Option(min=0, help="Which of the kernel's launches.")] = 0,
    name: Annotated[str, typer.Option(help="The value whose name begins so, not the line's last.")] = "",
    when: Annotated[
        str, typer.Option(metavar="EXPRESSION", help="Only visits where it holds: `(value < 0).any()`.")
    ] = "",
    save: Annotated[Path | None, typer.Option(metavar="FILE.npy", help="Write the array there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the values that a line of a Triton kernel computes in one program instance.

    The program runs as ever; at the launch that was asked for, the kernel is compiled once more so that it
    tells of the line, and its one program runs on the launch's memory, which is put back. A line in a loop
    gives a value for each time that it is passed. An EXPRESSION of Python may use `value`, `visit` and
    `np`."""
    if not line:
        raise CommandError(
            "a line is needed.",
            f"anychip debug trace --line 12 {kernel} {program[0]}: options stand before the kernel's "
            "name, and what follows the script is its own.",
        )
    require_entry_point("debug")
    import numpy as np

    from ...debug.trace_session import ANSWER, VALUES

    with tempfile.TemporaryDirectory(prefix="anychip-trace-") as folder:
        wanted = {
            "folder": folder,
            "kernel": kernel,
            "line": line,
            "name": name,
            "launch": launch,
            "program": _program(at),
        }
        environment = {**os.environ, TRACE: json.dumps(wanted)}
        done = subprocess.run([sys.executable, *program], env=environment, check=False, stdout=sys.stderr)
        answer_file = Path(folder) / ANSWER
        if not answer_file.exists():
            raise CommandError(
                f"the program ended with status {done.returncode} and without an answer.",
                "It never imported PyTorch, or was killed.",
            )
        answer: dict[str, Any] = json.loads(answer_file.read_text(encoding="utf-8"))
        if "error" in answer:
            raise CommandError(answer["error"])
        values = np.load(Path(folder) / VALUES)
        if save is not None:
            shutil.copyfile(Path(folder) / VALUES, save)
    chosen = [visit for visit in range(len(values)) if not when or _holds(when, values[visit], visit)]
    if as_json:
        write_json({**answer, "visits": [{"visit": k, "value": values[k].tolist()} for k in chosen]})
        return
    output.print(
        f"{answer['kernel']}, line {line}: %{answer['value']} = {answer['operation']}, {answer['type']}; "
        f"passed {answer['passed']} times",
        markup=False,
        soft_wrap=True,
    )
    for visit in chosen[:MOST_PRINTED]:
        output.print(f"visit {visit}:\n{values[visit]}", markup=False, highlight=False, soft_wrap=True)
    if len(chosen) > MOST_PRINTED:
        output.print(f"and {len(chosen) - MOST_PRINTED} more")
    if not chosen:
        output.print("no visit" + (f" where {when}" if when else ""), markup=False)
    for other in answer["others"]:
        output.print(f"the line computes {other}, too (--name)", markup=False, soft_wrap=True)
    for nest in answer["nests"]:
        output.print(nest, markup=False, highlight=False, soft_wrap=True)


def _program(text: str) -> tuple[int, int, int]:
    """A program id of up to three numbers. Raises CommandError."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3:
        raise CommandError(f"--program {text!r} is no program id.", "Write 3 or 0,2 or 0,2,1.")
    x, y, z = [*numbers, 0, 0][:3]
    return x, y, z


def _holds(expression: str, value: Any, visit: int) -> bool:
    """Whether the user's own expression is true of a visit. Raises CommandError."""
    import numpy as np

    try:
        return bool(np.all(eval(expression, {"np": np, "value": value, "visit": visit})))
    except Exception as error:
        raise CommandError(f"--when {expression!r}: {type(error).__name__}: {error}") from None
