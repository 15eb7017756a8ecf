"""Manufacturers and chips as data, and the description of the machine at hand.

A chip is a table in `vendors/*.toml`, or in a TOML file of an installed package that names itself under
the entry point `anychip.chips`; adding one needs no code. Each of its units names the target that
compilers know it by. Nothing here knows how code is made.
"""

from .chip import Chip, Manufacturer, Plugin, Unit
from .errors import ChipFileError, UnknownChip
from .host import Cache, HostDescription, detect_host
from .registry import all, carried_by, get, identifiers, manufacturers, of_package

__all__ = [
    "Cache",
    "Chip",
    "ChipFileError",
    "HostDescription",
    "Manufacturer",
    "Plugin",
    "Unit",
    "UnknownChip",
    "all",
    "carried_by",
    "detect_host",
    "get",
    "identifiers",
    "manufacturers",
    "of_package",
]
