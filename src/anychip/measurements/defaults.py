"""What ships for each level of instruction sets: found on one machine of the level, or by the cost model.

Flows in: a level (see `chip.LEVELS`). Flows out: sizes of tiles and schedules of kernels that suit the level
better than those in the source, and how much faster ours was than PyTorch's own, by overload, dtype and
number of elements. The latter only spare measurements: where ours was clearly slower nothing is tried, and a
choice for ours is always measured on the machine at hand.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from .size_class import NEAR

_log = logging.getLogger(__name__)

FORMAT = 2
MEASURED, MODEL = "measured", "model"
SOURCES = (MEASURED, MODEL)
"""Where defaults come from: from runs on a machine of the level, or from the cost model alone."""
HOPELESS = 0.9
"""Where the ratio PyTorch's time over ours was below this, ours is not tried."""

Ratios = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Defaults:
    """`ratios[overload][dtype][exponent]`: PyTorch's time over ours, for 2**exponent elements at most.
    `tiles[name]`: sizes that differ from those in the source. `schedules["kernel#source"][class]`: the
    scheduler's choices. `machine` says where they come from, `source` whether they were measured there."""

    level: str = ""
    machine: str = ""
    ratios: Mapping[str, Ratios] = field(default_factory=dict)
    source: str = MEASURED
    tiles: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    schedules: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def schedule(self, kernel: str, kind: str, code: str) -> Mapping[str, Any]:
        """What the scheduler is told for a kernel of this source and this class of compilations."""
        return self.schedules.get(f"{kernel}#{code}", {}).get(kind, {})

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
        return sizes[nearest] if abs(nearest - exponent) <= NEAR else None


@functools.cache
def load(level: str) -> Defaults:
    """The defaults of a level; empty ones where the package has none, or none that can be read."""
    return read(resources.files(__package__ or "anychip.measurements") / "levels" / f"{level}.json", level)


def read(file: Traversable, level: str) -> Defaults:
    """The defaults of a level in a file; empty ones where it does not exist or cannot be read."""
    try:
        document = json.loads(file.read_text(encoding="utf-8")) if level and file.is_file() else {}
        return _checked(level, document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("shipped defaults %s are ignored (%s)", file, error)
        return Defaults(level)


def save(file: Path, known: Defaults) -> None:
    """Write defaults as `load` reads them, a line for each overload, set of tiles and kernel."""
    head = {"format": FORMAT, "level": known.level, "machine": known.machine, "source": known.source}
    parts = {"tiles": known.tiles, "schedules": known.schedules, "ratios": known.ratios}
    sections = []
    for name, rows in parts.items():
        lines = ",\n".join(f"  {json.dumps(row)}: {json.dumps(rows[row])}" for row in sorted(rows))
        sections.append(f' "{name}": {{\n{lines}\n }}' if lines else f' "{name}": {{}}')
    file.write_text(json.dumps(head)[:-1] + ",\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")


def _checked(level: str, document: dict[str, Any]) -> Defaults:
    if not document:
        return Defaults(level)
    if document["format"] != FORMAT or document["level"] != level or document["source"] not in SOURCES:
        raise ValueError("another format or level")
    if document["source"] == MODEL and document["ratios"]:
        raise ValueError("a model measures nothing")
    ratios = {
        overload: {
            dtype: {int(exponent): float(ratio) for exponent, ratio in sizes.items()}
            for dtype, sizes in dtypes.items()
        }
        for overload, dtypes in document["ratios"].items()
    }
    tiles = {
        name: {size: int(value) for size, value in sizes.items()} for name, sizes in document["tiles"].items()
    }
    schedules = {
        kernel: {kind: dict(values) for kind, values in kinds.items()}
        for kernel, kinds in document["schedules"].items()
    }
    return Defaults(level, str(document["machine"]), ratios, document["source"], tiles, schedules)
