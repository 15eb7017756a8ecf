"""From the name of a chip or target to what is compiled for: stock Triton's GPUs or our targets."""

from __future__ import annotations

import re
from collections.abc import Callable

from ... import chips
from .. import targets
from ..targets import Target, UnknownTarget
from .errors import PluginNeeded
from .records import StockTarget

_STOCK: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], StockTarget]], ...] = (
    (re.compile(r"sm_(\d{2,3})"), lambda m: StockTarget(m[0], "cuda", int(m[1]), 32)),
    (re.compile(r"gfx9[0-9a-f]{2}"), lambda m: StockTarget(m[0], "hip", m[0], 64)),
    (re.compile(r"gfx1[0-9a-f]{3}"), lambda m: StockTarget(m[0], "hip", m[0], 32)),
)
"""Names of GPU architectures. AMD's CDNA and GCN (gfx9) have waves of 64 lanes, RDNA (gfx1x) of 32."""


def resolve(name: str) -> Target | StockTarget:
    """What `name` compiles for: a chip's identifier, a GPU architecture (`sm_90`, `gfx942`) or one
    of our targets. Raises `UnknownTarget`, and `PluginNeeded` where the maker brings the compiler."""
    target_name = name
    if name in chips.identifiers():
        chip = chips.get(name)
        if chip.plugin is not None:
            raise PluginNeeded(chip)
        target_name = chip.target
    for pattern, make in _STOCK:
        if match := pattern.fullmatch(target_name):
            return make(match)
    if target_name == "host" or target_name in targets.names():
        return targets.get(target_name)
    raise UnknownTarget(
        name,
        (*targets.names(), *chips.identifiers(), "sm_90", "sm_120", "gfx942", "gfx1100"),
        chips.carried_by(name),
    )
