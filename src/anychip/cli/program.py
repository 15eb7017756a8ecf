"""`anychip run`: a Python program under a policy, without a changed line.

Flows in: a policy, what to report, and a program with its arguments. Flows out: this process becomes plain
Python running that program, so that its arguments, exit status, tracebacks and signals are Python's own; the
policy reaches it, and its children, through the environment and PyTorch's entry point `torch.backends`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..environment import AUTOLOAD, ENTRY_GROUP, ENTRY_NAME, EXCLUDE, ONLY, POLICY, RUN, leave_policy
from ..packages import reinstallation
from ..suggestions import did_you_mean
from .errors import CommandError
from .needs import require_packages

POLICIES = ("portable", "strict", "auto")


def run(
    program: Annotated[
        list[str], typer.Argument(metavar="SCRIPT|MODULE [ARGS]...", help="The program and its arguments.")
    ],
    module: Annotated[
        bool, typer.Option("-m", help="The program is a module's name, as for `python -m`.")
    ] = False,
    policy: Annotated[str, typer.Option(envvar=POLICY, help="portable, strict or auto.")] = "portable",
    only: Annotated[
        list[str] | None, typer.Option(help="Serve only this operator, domain or overload (repeatable).")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave this operator, domain or overload to PyTorch (repeatable)."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="When the program ends, write the report to standard error.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="When the program ends, write the report as a page.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the report to standard error as a line of JSON.")
    ] = False,
) -> None:
    """Run a Python program whose PyTorch operators are portable kernels, without changing the program.

    Options of this command stand before the program; all that follows it is the program's.
    """
    leave_policy()
    names = _names("--only", only), _names("--exclude", exclude)
    _require_policy(policy, *names)
    if html is not None:
        _prepare(html)
    environment = dict(os.environ)
    for variable, text in zip((POLICY, ONLY, EXCLUDE), (policy, *map(",".join, names))):
        environment[variable] = text
    wanted = {
        "process": os.getpid(),
        "report": "json" if as_json else "text" if report else "",
        "html": str(html.absolute()) if html else "",
    }
    environment[RUN] = json.dumps(wanted)
    _become([*(["-m"] if module else []), *program], environment)


def _names(option: str, given: list[str] | None) -> list[str]:
    """Names given one by one or with commas."""
    names = [name.strip() for text in given or () for name in text.split(",")]
    if not all(names):
        raise CommandError(f"{option}: a name is empty.", "`anychip ops` lists operators and domains.")
    return names


def _require_policy(policy: str, only: list[str], exclude: list[str]) -> None:
    """Raise CommandError where the program could not run under this policy."""
    if policy not in POLICIES:
        raise CommandError(f"there is no policy {policy!r}.", did_you_mean(policy, POLICIES))
    require_entry_point("run")
    if only or exclude:
        from ..pytorch.dispatch import require_known

        require_known([*only, *exclude])


def require_entry_point(verb: str) -> None:
    """Raise CommandError where PyTorch would not load Anychip in a program that says nothing of it, and
    MissingPackage without the packages of `verb`."""
    if os.environ.get(AUTOLOAD, "1") != "1":
        raise CommandError(
            f"{AUTOLOAD}={os.environ[AUTOLOAD]} forbids PyTorch to load back ends, so that nothing can "
            "come into force in the program.",
            f"Unset {AUTOLOAD}.",
        )
    require_packages(verb)
    if not any(entry.name == ENTRY_NAME for entry in entry_points(group=ENTRY_GROUP)):
        raise CommandError(
            f"this installation of Anychip has no entry point {ENTRY_NAME!r} in the group {ENTRY_GROUP!r}, "
            "through which PyTorch would load it.",
            f"It was installed from an older version. Install it again: {reinstallation()}",
        )


def _prepare(html: Path) -> None:
    """Write a page that says that there is no report yet, so that what is there afterwards is never of an
    earlier run."""
    try:
        html.write_text(
            "<!doctype html><meta charset=utf-8><title>anychip run</title><p>No report: the program has not "
            "ended, was ended by a signal, or never imported PyTorch.\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise CommandError(f"the report cannot be written into {html}: {error}") from None


def _become(arguments: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process by the interpreter, with the options that this one was started with."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *flags, *arguments], environment)


VERBS = {"run": run}
SETTINGS = {"allow_interspersed_args": False}
