"""Whether a function of another library still takes what we know of it, asked wherever one of ours takes its
place: a release that adds a parameter must end in the library's own function, never in a value that is lost.
Flows in: functions. Flows out: yes or no, with a warning in the log."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)
_STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's parameters in order, with the stars of those that take the rest."""
    listed = inspect.signature(function).parameters.values()
    return tuple(_STARS.get(one.kind, "") + one.name for one in listed)


def is_known(stock: Callable[..., Any], *known: tuple[str, ...]) -> bool:
    """Whether a function has one of the lists of parameters that its replacement was written for."""
    found = parameters(stock)
    if found in known:
        return True
    _log.warning(
        "%s.%s takes (%s), which this version of Anychip does not know: it stays as it is",
        stock.__module__,
        stock.__qualname__,
        ", ".join(found),
    )
    return False
