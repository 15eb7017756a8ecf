"""The processors that code can be made for: by name, and the one this process runs on.

`get` and `names` read tables and need no LLVM; `host` asks LLVM what the machine is.
"""

from __future__ import annotations

from . import aarch64, arm, loongarch64, mips64el, ppc64le, riscv64, s390x, wasm32, x86_64
from .errors import UnknownTarget, UnusableTarget
from .host import host
from .target import Target

__all__ = ["Target", "UnknownTarget", "UnusableTarget", "get", "host", "names"]

_BY_NAME: dict[str, Target] = {
    target.name: target
    for isa in (x86_64, aarch64, arm, riscv64, loongarch64, wasm32, ppc64le, s390x, mips64el)
    for target in isa.TARGETS
}


def names() -> tuple[str, ...]:
    """The names that `get` takes, besides "host"."""
    return tuple(_BY_NAME)


def get(name: str) -> Target:
    """The target called `name` ("cortex-a76", "x86-64-v3", "host", ...).

    Raises `UnknownTarget` with the nearest names.
    """
    if name == "host":
        return host()
    try:
        return _BY_NAME[name.lower()]
    except KeyError:
        raise UnknownTarget(name, (*_BY_NAME, "host")) from None
