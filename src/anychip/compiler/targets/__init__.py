"""The processors that code can be made for: by name, and the one this process runs on.

`get` and `names` read the files under `isas/` and need no LLVM; `host` asks LLVM what the machine is.
"""

from __future__ import annotations

import functools

from .errors import UnknownTarget, UnusableTarget
from .host import host
from .isas import instruction_sets
from .target import Target

__all__ = ["Target", "UnknownTarget", "UnusableTarget", "get", "host", "instruction_sets", "names"]


@functools.cache
def _by_name() -> dict[str, Target]:
    return {target.name: target for isa in instruction_sets().values() for target in isa.targets}


def names() -> tuple[str, ...]:
    """The names that `get` takes, besides "host"."""
    return tuple(_by_name())


def get(name: str) -> Target:
    """The target called `name` ("cortex-a76", "x86-64-v3", "host", ...).

    Raises `UnknownTarget` with the nearest names.
    """
    if name == "host":
        return host()
    known = _by_name()
    try:
        return known[name.lower()]
    except KeyError:
        raise UnknownTarget(name, (*known, "host")) from None
