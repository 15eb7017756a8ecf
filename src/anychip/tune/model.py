"""A user's script under the policy "auto", run again until every choice is made. Flows in: a script, its
arguments, a budget. Flows out: the choices, which are in the tuning database then."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..pytorch import disable, enable, report
from ..pytorch.report import ChoiceRow
from .budget import Budget
from .errors import TuneError

RUNS = 50
"""Runs after which what is still open stays so."""


def runs(script: Path, arguments: Sequence[str], budget: Budget) -> Iterator[tuple[ChoiceRow, ...]]:
    """Run the script as a main program, and give the choices after each run, until none is open or the
    budget is over. Raises TuneError for a script that fails."""
    if not script.is_file():
        raise TuneError(f"there is no script {script}.")
    before = sys.argv
    enable("auto")
    try:
        for _ in range(RUNS):
            sys.argv = [str(script), *arguments]
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as status:
                if status.code not in (None, 0):
                    raise TuneError(f"{script} ended with status {status.code}.") from status
            except Exception as error:
                raise TuneError(f"{script} failed: {type(error).__name__}: {error}") from error
            choices = report().choices
            yield choices
            if budget.over or not any(row.choice == "open" for row in choices):
                return
    finally:
        sys.argv = before
        disable()
