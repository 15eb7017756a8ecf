"""The reference of the command: every verb with its arguments and options. Flows in: the parser. Flows out: a
page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from anychip.cli.application import application
from anychip.markdown import table

HEAD = """\
# The command

Every verb of `anychip`, as `--help` has it. This page is written by `anychip pages --write command` from
the parser.
"""


def written(text: str) -> str:
    """docs/command.md, of the parser; `text` is the page as it stands."""
    return "\n".join([HEAD, *_parts(typer.main.get_command(application), "anychip")])


def _parts(command: Any, path: str) -> Iterator[str]:
    """The sections of a command of the parser, and of the verbs below it."""
    if path != "anychip":
        yield f"## {path}\n{' '.join((command.help or '').split())}\n"
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        yield table(("argument or option", "what it is"), rows) + "\n"
    for name, verb in sorted(getattr(command, "commands", {}).items()):
        if not verb.hidden:
            yield from _parts(verb, f"{path} {name}")


def _row(parameter: Any) -> tuple[str, str] | None:
    """How a parameter is written and what it means; None for those that are not shown."""
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return None
    text = " ".join((getattr(parameter, "help", None) or "").split())
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if is_option else [_placeholder(parameter)]
    repeated = " (repeatable)" if is_option and parameter.multiple and "repeatable" not in text else ""
    return ", ".join(f"`{name}`" for name in names), text + repeated


def _placeholder(argument: Any) -> str:
    """How an argument is written."""
    return argument.metavar or argument.name.upper() + ("..." if argument.nargs != 1 else "")
