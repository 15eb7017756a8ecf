"""Ratios that were measured on one machine of each level of instruction sets, shipped with the package.

Flows in: a level (see `chip.LEVELS`). Flows out: how much faster ours was than PyTorch's own, by overload,
dtype and number of elements. They only ever spare measurements: where ours was clearly slower nothing is
tried, and a choice for ours is always measured on the machine at hand.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

_log = logging.getLogger(__name__)

FORMAT = 1
HOPELESS = 0.9
"""Where the ratio PyTorch's time over ours was below this, ours is not tried."""

Ratios = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Defaults:
    """`ratios[overload][dtype][exponent]`: PyTorch's time over ours, for 2**exponent elements at most.
    `machine` says where they come from; empty where nothing was measured for the level."""

    level: str = ""
    machine: str = ""
    ratios: Mapping[str, Ratios] = field(default_factory=dict)

    def hopeless(self, overload: str) -> bool:
        """Whether ours was measured at several sizes and was slower at all of them."""
        measured = [ratio for sizes in self.ratios.get(overload, {}).values() for ratio in sizes.values()]
        return len(measured) > 1 and max(measured) < HOPELESS

    def ratio(self, overload: str, dtype: str, exponent: int) -> float | None:
        """The ratio at the nearest measured size, at most one power of four away; None: not measured."""
        sizes = self.ratios.get(overload, {}).get(dtype, {})
        if not sizes:
            return None
        nearest = min(sizes, key=lambda measured: abs(measured - exponent))
        return sizes[nearest] if abs(nearest - exponent) <= 2 else None


@functools.cache
def load(level: str) -> Defaults:
    """The defaults of a level; empty ones where the package has none, or none that can be read."""
    file = resources.files(__package__ or "anychip.tuning") / "levels" / f"{level}.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8")) if level and file.is_file() else {}
        return _checked(level, document)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("shipped defaults %s are ignored (%s)", file, error)
        return Defaults(level)


def _checked(level: str, document: dict[str, Any]) -> Defaults:
    if not document:
        return Defaults(level)
    if document["format"] != FORMAT or document["level"] != level:
        raise ValueError("another format or level")
    ratios = {
        overload: {
            dtype: {int(exponent): float(ratio) for exponent, ratio in sizes.items()}
            for dtype, sizes in dtypes.items()
        }
        for overload, dtypes in document["ratios"].items()
    }
    return Defaults(level, str(document["machine"]), ratios)
