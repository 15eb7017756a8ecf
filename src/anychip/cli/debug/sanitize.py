"""`anychip debug sanitize`: a Python program whose kernels are compiled with checks.

Flows in: a program with its arguments, and which checks. Flows out: the program's own output, then what the
checks found; exit status 1 if that is anything, else the program's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ...environment import SANITIZE, SANITIZE_REPORT
from ..console import messages, output, write_json
from ..errors import CommandError
from ..options import AsJson
from ..program import require_entry_point


def sanitize(
    program: Annotated[
        list[str], typer.Argument(metavar="SCRIPT|MODULE [ARGS]...", help="The program and its arguments.")
    ],
    module: Annotated[
        bool, typer.Option("-m", help="The program is a module's name, as for `python -m`.")
    ] = False,
    check: Annotated[
        str,
        typer.Option(
            "--checks", help="Names with commas between them, 1 for the usual ones, or all (races too)."
        ),
    ] = "1",
    as_json: AsJson = False,
) -> None:
    """Run a Python program with checks in its kernels, and list what they found at its end.

    Accesses outside of a tensor or of the view that a kernel was given, offsets that overflow in 32 bits,
    reads of memory that nobody has written; with `all`, races between program instances, and NaN and infinity
    as they first appear. Options of this command stand before the program; all that follows it is the
    program's.
    """
    require_entry_point("debug")
    from ...debug.collecting import read
    from ...triton_backend.sanitizer import parse

    if not parse(check):
        raise CommandError(f"--checks {check!r} names no check.", "Use 1, all, or names of checks.")
    with tempfile.TemporaryDirectory(prefix="anychip-sanitize-") as folder:
        environment = {**os.environ, SANITIZE: check, SANITIZE_REPORT: folder}
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        command = [sys.executable, *flags, *(["-m"] if module else []), *program]
        status = subprocess.run(command, env=environment, check=False).returncode
        written = any(Path(folder).iterdir())
        found = read(Path(folder))
    if as_json:
        write_json({"status": status, "findings": found})
    else:
        for number, finding in enumerate(found, 1):
            launches = f" [{finding['launches']} launches]" if finding["launches"] > 1 else ""
            output.print(
                f"{number}. {finding['check']}: {finding['text']}{launches}", markup=False, soft_wrap=True
            )
        if written:
            messages.print(f"anychip: {len(found) or 'no'} finding{'s' * (len(found) != 1)}")
    if not written:
        messages.print("anychip: the program wrote no findings: it never imported PyTorch, or was killed")
    if status or found or not written:
        raise typer.Exit(status if status > 0 else 1)
