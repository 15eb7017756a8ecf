"""`anychip doctor`: one screen on what is installed, what is active and what is wrong.

Flows in: nothing but the environment. Flows out: a table or JSON; the exit status is 1 when
something is wrong.
"""

from __future__ import annotations

from dataclasses import asdict

import typer

from ..doctor.check import Check
from ..doctor.diagnosis import diagnose, well
from .console import output, table, write_json
from .options import AsJson

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}


def doctor(as_json: AsJson = False) -> None:
    """Check the installation: chip, PyTorch, Triton, LLVM, threads, caches, back ends; one real kernel, one
    operator under `enable`, one compiled function."""
    checks = diagnose()
    if as_json:
        write_json({"well": well(checks), "checks": [asdict(check) for check in checks]})
    else:
        _show(checks)
    if not well(checks):
        raise typer.Exit(1)


def _show(checks: list[Check]) -> None:
    from rich.markup import escape

    rows = []
    for check in checks:
        found = escape(check.found) + (f"\n[dim]{escape(check.remedy)}[/]" if check.remedy else "")
        rows.append((check.subject, _MARKS[check.verdict], found))
    output.print(table(("", "", ""), rows))
    output.print("[green]All is well.[/]" if well(checks) else "[red]Something is wrong; see above.[/]")


VERBS = {"doctor": doctor}
