"""Errors of the command line, for what a user asked that cannot be done as asked."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ..errors import AnychipError


class CommandError(AnychipError):
    """A command was understood, but its arguments name something that is not there or not usable."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message + (f"\n  {hint}" if hint else ""))


class MissingExtra(CommandError):
    """A verb needs packages that are not installed."""

    def __init__(self, verb: str, package: str, install: str):
        super().__init__(f"anychip {verb} needs {package}, which is not installed.", f"Install it: {install}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that lists the nearest known names, or all of them when none is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(near) + "?"
    return "Known: " + ", ".join(names) + "." if names else ""
