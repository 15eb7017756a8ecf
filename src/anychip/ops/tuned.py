"""Tile sizes that were tuned for the CPU at hand, or ship for its kind. Flows in: entries of the tuning
database, and shipped sizes. Flows out: the sizes that `Tiles.on` gives. Tiles are known by the module and
the name that they are bound to there."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from ..measurements.entry import TILES, Entry
from . import sources
from .launching import ANY, First, SizeClass, Tiles, launch_options, launching, set_for_process
from .registry import operators

_log = logging.getLogger(__name__)


def named() -> dict[str, Tiles]:
    """The tiles of the library by name, such as "pointwise.TILES" or "reduce.spread.TILES"."""
    operators()
    package = __package__ or "anychip.ops"
    found: dict[str, Tiles] = {}
    seen: set[Tiles] = set()
    for module_name in sorted(name for name in sys.modules if name.startswith(package + ".")):
        for attribute, value in vars(sys.modules[module_name]).items():
            if isinstance(value, Tiles) and value.home == module_name and value not in seen:
                seen.add(value)
                found[f"{module_name.removeprefix(package + '.')}.{attribute}"] = value
    return found


def _find(name: str) -> Tiles | None:
    """The tiles of this name, whose module is imported for them; None where there are none."""
    module, _, attribute = f"{__package__ or 'anychip.ops'}.{name}".rpartition(".")
    try:
        found = vars(importlib.import_module(module)).get(attribute)
    except ImportError:
        return None
    return found if isinstance(found, Tiles) and found.home == module else None


def digest(name: str) -> str:
    """The digest of the code that tiles of this name are read by."""
    domain, _, rest = name.partition(".")
    return sources.digest(domain if "." in rest else "")


def apply(entries: Iterable[Entry], shipped: Mapping[str, Mapping[str, int]] | None = None) -> int:
    """Put tuned sizes in force for the process, in place of all earlier ones, over those that are `shipped`
    for the CPU's kind; returns how many tiles have some. Entries of other code, or with sizes that the tiles
    do not have, are left out."""
    wanted: dict[Tiles, dict[SizeClass, Mapping[str, int]]] = {}
    for name, sizes in (shipped or {}).items():
        tiles = _find(name)
        if tiles is not None and _is_sound(name, tiles, sizes):
            wanted[tiles] = {ANY: {**tiles.simd, **sizes}}
    for entry in entries:
        if entry.kind != TILES:
            continue
        tiles, class_ = _find(entry.subject), class_from(entry.signature)
        if tiles is None or class_ is None or entry.source != digest(entry.subject):
            continue
        if _is_sound(entry.subject, tiles, entry.values):
            classes = wanted.setdefault(tiles, {})
            classes[class_] = {**classes.get(ANY, tiles.simd), **entry.values}
    set_for_process(tuned=wanted)
    return len(wanted)


def class_text(class_: SizeClass) -> str:
    """A class as entries have it: "float32 2^22", or nothing for any."""
    return "" if class_ == ANY else f"{class_[0]} 2^{class_[1]}"


def class_from(text: str) -> SizeClass | None:
    """The class that `class_text` wrote; None for another text."""
    if not text:
        return ANY
    dtype, _, size = text.partition(" 2^")
    return (dtype, int(size)) if dtype and size.removeprefix("-").isdecimal() else None


def _is_sound(name: str, tiles: Tiles, sizes: Mapping[str, object]) -> bool:
    sound = valid(tiles, sizes)
    if not sound:
        _log.warning("tuned sizes %s of %s are ignored", dict(sizes), name)
    return sound


def valid(tiles: Tiles, sizes: Mapping[str, object]) -> bool:
    """Whether every one of `sizes` is one of the tiles' and a power of two, or stays as it is."""
    return set(sizes) <= set(tiles.simd) and all(
        type(size) is int and ((0 < size <= 1 << 20 and size & (size - 1) == 0) or size == tiles.simd[name])
        for name, size in sizes.items()
    )


@contextmanager
def using(sizes: Mapping[Tiles, Mapping[str, int]], first: First | None = None) -> Iterator[None]:
    """Other sizes of some tiles for this thread's launches in the block, for tensors of any class, and first
    launches by `first`; plans are made anew."""
    own = {tiles: {ANY: {**tiles.simd, **some}} for tiles, some in sizes.items()}
    with launching(tuned={**launch_options().tuned, **own}, first=first):
        yield


@contextmanager
def reads() -> Iterator[list[tuple[Tiles, SizeClass]]]:
    """Collects the tiles whose sizes this thread's operators ask for in the block, with the class of each
    question; plans are made anew."""
    read: list[tuple[Tiles, SizeClass]] = []
    with launching(asked=lambda tiles, class_: read.append((tiles, class_))):
        yield read
