"""Tile sizes that were tuned for the CPU at hand. Flows in: entries of the tuning database. Flows out: the
sizes that `Tiles.on` gives. Tiles are known by the module and the name that they are bound to there."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from ..tuning.entry import TILES, Entry
from . import launch, sources
from .launch import Tiles
from .registry import operators

_log = logging.getLogger(__name__)


def named() -> dict[str, Tiles]:
    """The tiles of the library by name, such as "pointwise.TILES" or "reduce.spread.TILES"."""
    operators()
    package = __package__ or "anychip.ops"
    found: dict[str, Tiles] = {}
    seen: set[Tiles] = set()
    modules = sorted(
        (name for name in sys.modules if name.startswith(package + ".")),
        key=lambda name: (name.count("."), name),
    )
    for module_name in modules:  # shared machineries, which other modules import tiles from, come first
        for attribute, value in vars(sys.modules[module_name]).items():
            if isinstance(value, Tiles) and value not in seen and attribute.isupper():
                seen.add(value)
                found[f"{module_name.removeprefix(package + '.')}.{attribute}"] = value
    return found


def digest(name: str) -> str:
    """The digest of the code that tiles of this name are read by."""
    domain, _, rest = name.partition(".")
    return sources.digest(domain if "." in rest else "")


def apply(entries: Iterable[Entry]) -> int:
    """Put tuned sizes in force, in place of all earlier ones; returns how many tiles have some. Entries of
    other code, or with sizes that the tiles do not have, are left out."""
    known = named()
    wanted: dict[Tiles, Mapping[str, int]] = {}
    for entry in entries:
        tiles = known.get(entry.subject)
        if entry.kind != TILES or tiles is None or entry.source != digest(entry.subject):
            continue
        if valid(tiles, entry.values):
            wanted[tiles] = {**tiles.simd, **entry.values}
        else:
            _log.warning("tuned sizes %s of %s are ignored", dict(entry.values), entry.subject)
    _put(wanted)
    return len(wanted)


def valid(tiles: Tiles, sizes: Mapping[str, object]) -> bool:
    """Whether every one of `sizes` is one of the tiles' and a power of two."""
    return set(sizes) <= set(tiles.simd) and all(
        type(size) is int and 0 < size <= 1 << 20 and size & (size - 1) == 0 for size in sizes.values()
    )


@contextmanager
def using(tiles: Tiles, sizes: Mapping[str, int]) -> Iterator[None]:
    """Other sizes for the block; plans are made anew."""
    before = dict(launch.tuned_sizes)
    _put({**before, tiles: {**tiles.simd, **sizes}})
    try:
        yield
    finally:
        _put(before)


@contextmanager
def reads() -> Iterator[list[Tiles]]:
    """Collects the tiles whose sizes operators ask for in the block; plans are made anew."""
    launch.forget_plans()
    before, launch.readers = launch.readers, []
    try:
        yield launch.readers
    finally:
        launch.readers = before


def _put(wanted: Mapping[Tiles, Mapping[str, int]]) -> None:
    if dict(wanted) != launch.tuned_sizes:
        launch.tuned_sizes.clear()
        launch.tuned_sizes.update(wanted)
        launch.forget_plans()
