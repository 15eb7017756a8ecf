"""Files of users that verbs take functions from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import CommandError, did_you_mean


def function_of(subject: str) -> Callable[..., Any]:
    """The function that FILE.py:NAME names. Raises CommandError for what is not there,
    ProgramSourceError for a file that cannot be imported."""
    path, separator, name = subject.rpartition(":")
    if not (separator and path.endswith(".py")):
        raise CommandError(f"{subject!r} names no function.", "Write FILE.py:NAME.")
    from ..pytorch.loading import imported

    module = imported(Path(path))
    found = getattr(module, name, None)
    if found is None:
        raise CommandError(f"{path} has no {name!r}.", did_you_mean(name, dir(module)))
    if not callable(found):
        raise CommandError(f"{name} in {path} is a {type(found).__name__}.", "Name a function.")
    return found
