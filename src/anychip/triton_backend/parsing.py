"""One kernel's source at a time goes through `ast.parse` on the Pythons that count the depth of the
tree for all threads together (python/cpython#106905, mended in 3.11.8 and 3.12.2): there, kernels
first launched by several threads at once would end in SystemError. Elsewhere nothing is changed."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from triton.runtime.jit import JITFunction

from ..signatures import is_known

MENDED: dict[tuple[int, int], int] = {(3, 11): 8, (3, 12): 2}
"""The first patch release of a Python version whose parser counts for each call by itself."""

_lock = threading.RLock()


def is_affected(version: tuple[int, int, int]) -> bool:
    """Whether that version of Python miscounts when threads parse at once."""
    return version[2] < MENDED.get(version[:2], 0)


def one_at_a_time(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`parse` for one thread at a time."""

    @functools.wraps(parse)
    def guarded(self: Any) -> Any:
        with _lock:
            return parse(self)

    return guarded


@functools.cache
def install() -> None:
    """Guard Triton's parsing where Python needs it."""
    if is_affected(sys.version_info[:3]) and is_known(JITFunction.parse, ("self",)):
        setattr(JITFunction, "parse", one_at_a_time(JITFunction.parse))  # noqa: B010 (its type is exact)
