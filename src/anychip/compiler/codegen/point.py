"""Where in a tile a chunk lies: one `Index` for each axis."""

from __future__ import annotations

from ..llvm.types import Val
from .linear import Lanes


class Index:
    """The index along one axis: `base + pattern[lane]`, whose bits never overlap.

    `base` is an i32, or a Python integer where it is known; without a `pattern` all lanes are at `base`.
    `tag` names what the index is made of without its position, so that chunks can be compared.
    """

    __slots__ = ("base", "pattern", "tag")

    def __init__(self, base: Val | int, pattern: Lanes | None, tag: object):
        self.base = base
        self.pattern = pattern
        self.tag = tag


Point = tuple[Index, ...]
"""One index for each axis. Two points are the same if their indices are the same objects."""

ZERO = Index(0, None, 0)
