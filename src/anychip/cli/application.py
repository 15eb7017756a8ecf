"""The parser of the `anychip` command and the one place where errors become exit statuses.

Flows in: the arguments of the process; the verbs, from the tables `VERBS` of the files beside this one. Flows
out: a call of one verb, and an exit status.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__, cli
from ..environment import leave_policy
from ..errors import AnychipError
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


def _found() -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """The verbs of the files beside this one, by name in order: what each table `VERBS` has, a function or an
    application of verbs, with the `SETTINGS` of Click that the file asks for."""
    verbs = {}
    for beside in pkgutil.iter_modules(cli.__path__):
        module = importlib.import_module(f"{cli.__name__}.{beside.name}")
        if hasattr(module, "VERBS"):
            settings = module.SETTINGS if hasattr(module, "SETTINGS") else {}
            verbs.update({name: (verb, settings) for name, verb in module.VERBS.items()})
    return dict(sorted(verbs.items()))


for _name, (_verb, _settings) in _found().items():
    if isinstance(_verb, typer.Typer):
        application.add_typer(_verb, name=_name)
    else:
        application.command(_name, context_settings=dict(_settings))(_verb)


def run() -> None:
    """Parse the arguments, run the verb, exit."""
    try:
        application()
    except AnychipError as error:
        typer.echo(f"anychip: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
