"""The parser of the `anychip` command and the one place where errors become exit statuses.

Flows in: the process's arguments. Flows out: a call of one verb, and an exit status.
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..environment import leave_policy
from ..errors import AnychipError
from . import bench, cache, chips, conform, demo, doctor, explain, export, judge, ops, pages, program, tune
from .errors import INTERRUPTED


class _Verbs(TyperGroup):
    """The verbs; one that ctrl-C ends without a word of its own gets one."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("anychip: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


application = typer.Typer(
    name="anychip",
    cls=_Verbs,
    help="Run, inspect and check Triton kernels and PyTorch models on the chip at hand.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anychip {__version__}")
        raise typer.Exit


@application.callback()
def options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of what is done.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options of every verb. A policy of the environment is for `run` alone: the others compare with
    PyTorch's own operators."""
    if context.invoked_subcommand != "run":
        leave_policy()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


application.command("doctor")(doctor.doctor)
application.command("explain")(explain.explain)
application.command("run", context_settings={"allow_interspersed_args": False})(program.run)
application.command("demo")(demo.demo)
application.command("ops")(ops.ops)
application.command("test")(ops.prove)
application.command("pages")(pages.pages)
application.add_typer(chips.application, name="chips")
application.add_typer(cache.application, name="cache")
application.command("conform")(conform.conform)
application.command("export")(export.export)
application.command("judge")(judge.judge)
application.add_typer(bench.application, name="bench")
application.add_typer(tune.application, name="tune")


def run() -> None:
    """Parse the arguments, run the verb, exit."""
    try:
        application()
    except AnychipError as error:
        typer.echo(f"anychip: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
