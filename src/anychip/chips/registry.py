"""The chips of all files in `vendors/` and of installed packages that bring their own, read once, on
first use."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from .chip import Chip, Manufacturer
from .errors import ChipFileError, UnknownChip
from .loading import load

ENTRY_POINTS = "anychip.chips"
"""The group in which a package names a package of its own that holds TOML files of chips."""

_log = logging.getLogger(__name__)


def _shipped() -> Iterator[tuple[str, Traversable]]:
    folder = resources.files("anychip.chips") / "vendors"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            yield f"vendors/{file.name}", file


def _installed() -> Iterator[tuple[str, Traversable]]:
    """The files of other packages; one that cannot be read is reported and left out."""
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            files = [f for f in resources.files(point.value).iterdir() if f.name.endswith(".toml")]
        except (ImportError, OSError, TypeError) as error:
            _log.warning("chips of %s (entry point %s) cannot be read: %s", point.value, point.name, error)
            continue
        for file in sorted(files, key=lambda entry: entry.name):
            yield f"{point.value}/{file.name}", file


def of_package(name: str) -> tuple[str, ...]:
    """Identifiers of the chips that an installed package brings; `name` is its entry point's, or the
    package's. Raises `UnknownChip`."""
    found: list[str] = []
    known: list[str] = []
    for point in metadata.entry_points(group=ENTRY_POINTS):
        distribution = point.dist.name if point.dist is not None else ""
        known += [point.name]
        if name in (point.name, distribution, point.value.partition(".")[0]):
            for file in resources.files(point.value).iterdir():
                if file.name.endswith(".toml"):
                    chips = load(file.read_text(encoding="utf-8"), f"{point.value}/{file.name}")
                    found += [chip.identifier for chip in chips]
    if not found:
        raise UnknownChip(name, known)
    return tuple(sorted(found))


@functools.cache
def _by_identifier() -> dict[str, Chip]:
    chips: dict[str, Chip] = {}
    for name, file in (*_shipped(), *_installed()):
        for chip in load(file.read_text(encoding="utf-8"), name):
            if chip.identifier in chips:
                raise ChipFileError(
                    name,
                    "chip.id",
                    f"{chip.identifier!r} is taken by {chips[chip.identifier].name}",
                    "Give each chip an identifier of its own.",
                )
            chips[chip.identifier] = chip
    return chips


def all() -> tuple[Chip, ...]:
    """Every chip, by file and in the order written there. Raises `ChipFileError`."""
    return tuple(_by_identifier().values())


def identifiers() -> tuple[str, ...]:
    """The names that `get` takes."""
    return tuple(_by_identifier())


def get(identifier: str) -> Chip:
    """The chip with this identifier ("broadcom-bcm2712"). Raises `UnknownChip`."""
    try:
        return _by_identifier()[identifier.lower()]
    except KeyError:
        raise UnknownChip(identifier, _by_identifier(), carried_by(identifier)) from None


def carried_by(product: str) -> tuple[str, ...]:
    """Identifiers of the chips in products whose names begin so: "raspberry-pi-5" gives broadcom-bcm2712."""
    wanted = _plain(product)
    return tuple(
        chip.identifier for chip in all() if any(_plain(name).startswith(wanted) for name in chip.found_in)
    )


def _plain(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def manufacturers() -> tuple[Manufacturer, ...]:
    """Every manufacturer that has a chip here."""
    return tuple(dict.fromkeys(chip.manufacturer for chip in all()))
