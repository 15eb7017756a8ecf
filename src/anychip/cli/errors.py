"""Errors of the command line, for what a user asked that cannot be done as asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import AdvisedError
from ..suggestions import did_you_mean

__all__ = ["INTERRUPTED", "CommandError", "did_you_mean", "require_known"]

INTERRUPTED = 130
"""Exit status after ctrl-C."""


class CommandError(AdvisedError):
    """A command was understood, but its arguments name something that is not there or not usable."""


def require_known(option: str, value: str, known: Mapping[str, object] | Iterable[str]) -> None:
    """Nothing for an empty value or one of the known ones; else CommandError with the nearest of these."""
    names = list(known)
    if value and value not in names:
        raise CommandError(f"{option} {value}: there is no such value.", did_you_mean(value, names))
