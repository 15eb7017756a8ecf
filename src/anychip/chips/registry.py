"""The chips of all files in `vendors/`, read once, on first use."""

from __future__ import annotations

import functools
from importlib import resources

from .chip import Chip, Manufacturer
from .errors import ChipFileError, UnknownChip
from .loading import load


@functools.cache
def _by_identifier() -> dict[str, Chip]:
    chips: dict[str, Chip] = {}
    folder = resources.files("anychip.chips") / "vendors"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".toml"):
            continue
        for chip in load(file.read_text(encoding="utf-8"), f"vendors/{file.name}"):
            if chip.identifier in chips:
                raise ChipFileError(
                    f"vendors/{file.name}",
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
    """The chip with this identifier ("raspberry-pi-5-bcm2712"). Raises `UnknownChip`."""
    try:
        return _by_identifier()[identifier.lower()]
    except KeyError:
        raise UnknownChip(identifier, _by_identifier()) from None


def manufacturers() -> tuple[Manufacturer, ...]:
    """Every manufacturer that has a chip here."""
    return tuple(dict.fromkeys(chip.manufacturer for chip in all()))
