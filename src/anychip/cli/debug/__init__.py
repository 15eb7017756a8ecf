"""`anychip debug`: what is wrong with a program's kernels."""

from __future__ import annotations

import typer

from .bisect import bisect
from .reduce import reduce
from .sanitize import sanitize
from .trace import trace

application = typer.Typer(help="Find faults of a program's kernels.", no_args_is_help=True)


@application.callback()
def debug() -> None:
    """A group of verbs."""


application.command("sanitize", context_settings={"allow_interspersed_args": False})(sanitize)
application.command("bisect")(bisect)
application.command("reduce")(reduce)
application.command("trace", context_settings={"allow_interspersed_args": False})(trace)

VERBS = {"debug": application}
