"""The policy that the environment asks for, and the report of `anychip run`. Flows in: environment variables
(see `anychip.environment`). Flows out: a policy in force, and a report when the process ends; or one warning
that says why not, because `import torch` must not fail by a variable."""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..environment import EXCLUDE, ONLY, POLICY, RUN
from ..errors import AnychipError
from .policy import enable

_log = logging.getLogger(__name__)

INDUCTOR_WORKER = "compile_worker"
"""Part of the name of the program in which PyTorch's Inductor compiles; it imports PyTorch and computes
nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """What `anychip run` asks of the process that it became: a report on standard error ("text", "json" or
    none), and one in a file."""

    process: int
    report: str = ""
    html: str = ""


def apply() -> None:
    """Enable the policy of the environment. Where that fails: a warning, and PyTorch goes on by itself; in
    the process that `anychip run` became, the message and exit status 1."""
    if any(INDUCTOR_WORKER in part for part in sys.orig_argv[:3]):
        return
    run = _run(os.environ.get(RUN, ""))
    try:
        enable(os.environ[POLICY].strip(), only=_names(ONLY), exclude=_names(EXCLUDE) or ())
    except Exception as error:
        reason = str(error) if isinstance(error, AnychipError) else f"{type(error).__name__}: {error}"
        if run is not None:
            sys.stderr.write(f"anychip: {reason}\n")
            raise SystemExit(1) from None
        _log.warning("%s=%s has no effect, PyTorch runs on its own: %s", POLICY, os.environ[POLICY], reason)
        return
    if run is not None:
        atexit.register(_finish, run)


def _names(variable: str) -> list[str] | None:
    """The names in a variable, None where it is unset or empty."""
    text = os.environ.get(variable, "")
    return [name.strip() for name in text.split(",") if name.strip()] or None


def _run(text: str) -> Run | None:
    """What `anychip run` wrote into the environment, None in any other process than the one that it became:
    its children inherit the variable, and the report is of their parent."""
    try:
        fields: dict[str, Any] = json.loads(text) if text else {}
        run = Run(int(fields["process"]), str(fields["report"]), str(fields["html"])) if fields else None
    except (ValueError, TypeError, KeyError):
        return None
    return run if run is not None and run.process == os.getpid() else None


def _finish(run: Run) -> None:
    """Write the report when the program has ended; not in a child that was forked off it."""
    if os.getpid() != run.process:
        return
    from .report import report
    from .report_page import page

    made = report()
    if run.report:
        totals = {"calls": made.calls, "launches": made.launches}
        text = str(made) if run.report == "text" else json.dumps(totals | asdict(made), ensure_ascii=False)
        sys.stderr.write(f"{text}\n")
    if run.html:
        try:
            Path(run.html).write_text(page(made, sys.orig_argv), encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"anychip: the report cannot be written into {run.html}: {error}\n")
