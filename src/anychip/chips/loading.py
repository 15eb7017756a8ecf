"""Reads a TOML file of chips and checks every key, so that a mistake is named where it was made."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from .chip import Chip, Manufacturer, Plugin, Unit
from .errors import ChipFileError

UNIT_KINDS = ("cpu", "gpu", "accelerator", "virtual")

CATEGORIES: dict[str, str] = {
    "data-centre-gpu": "data-centre GPU",
    "desktop-gpu": "desktop GPU",
    "server-cpu": "server CPU",
    "desktop-cpu": "desktop and laptop",
    "phone": "phone",
    "edge-board": "edge board",
    "robot-controller": "robot controller",
    "microcontroller": "microcontroller",
    "browser": "browser",
    "accelerator": "accelerator",
}
"""`class` of a chip, and how it is written in tables."""

_MANUFACTURER = {"name": (str, True), "website": (str, True)}
_CHIP = {
    "id": (str, True),
    "name": (str, True),
    "class": (str, True),
    "year": (int, True),
    "unit": (list, True),
    "source": (str, True),
    "memory_gib": (int, False),
    "memory_gbs": (int, False),
    "tflops": (dict, False),
    "found_in": (list, False),
    "host_names": (list, False),
    "plugin": (dict, False),
}
_UNIT = {
    "kind": (str, True),
    "name": (str, True),
    "target": (str, True),
    "cores": (int, True),
    "clock_mhz": (int, False),
    "l1d_kib": (int, False),
    "l2_kib": (int, False),
    "l3_kib": (int, False),
}
_PLUGIN = {
    "device": (str, True),
    "backend": (str, True),
    "package": (str, True),
    "without": (list, True),
}
"""Keys of each table: type, and whether it must be there."""

_TYPE_NAMES = {str: "text in quotes", int: "a whole number", list: "a list", dict: "a table"}


def load(text: str, file: str) -> tuple[Chip, ...]:
    """The chips in `text`; `file` is its name for messages. Raises `ChipFileError`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChipFileError(file, "whole file", f"is not TOML: {error}", "See https://toml.io.") from error
    _check(document, {"manufacturer": (dict, True), "chip": (list, True)}, file, "top level")
    made_by = document["manufacturer"]
    _check(made_by, _MANUFACTURER, file, "manufacturer")
    manufacturer = Manufacturer(made_by["name"], made_by["website"])
    return tuple(
        _chip(table, manufacturer, file, f"chip[{index}]") for index, table in enumerate(document["chip"])
    )


def _chip(table: Any, manufacturer: Manufacturer, file: str, key: str) -> Chip:
    _check(table, _CHIP, file, key)
    identifier = table["id"]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", identifier):
        raise ChipFileError(
            file, f"{key}.id", f"{identifier!r} is not an identifier", "Use a-z, 0-9 and single hyphens."
        )
    if not table["unit"]:
        raise ChipFileError(file, f"{key}.unit", "is empty", "Describe at least one [[chip.unit]].")
    if table["class"] not in CATEGORIES:
        raise ChipFileError(
            file,
            f"{key}.class",
            f"{table['class']!r} is no class of chips",
            f"Use one of {', '.join(CATEGORIES)}.",
        )
    for name in ("found_in", "host_names"):
        if any(not isinstance(item, str) or not item for item in table.get(name, ())):
            raise ChipFileError(file, f"{key}.{name}", "holds something other than names", "List texts.")
    units = tuple(_unit(unit, file, f"{key}.unit[{index}]") for index, unit in enumerate(table["unit"]))
    return Chip(
        identifier=identifier,
        name=table["name"],
        manufacturer=manufacturer,
        category=table["class"],
        year=table["year"],
        units=units,
        source=table["source"],
        memory_gib=table.get("memory_gib", 0),
        memory_gbs=table.get("memory_gbs", 0),
        tflops=_roofs(table.get("tflops", {}), file, f"{key}.tflops"),
        found_in=tuple(table.get("found_in", ())),
        host_names=tuple(table.get("host_names", ())),
        plugin=_plugin(table["plugin"], file, f"{key}.plugin") if "plugin" in table else None,
    )


_ROOF_TYPES = ("f64", "f32", "f16", "bf16", "int8")


def _roofs(table: Any, file: str, key: str) -> dict[str, float]:
    for name, value in table.items():
        if name not in _ROOF_TYPES:
            raise ChipFileError(file, f"{key}.{name}", "is no element type", f"Use {', '.join(_ROOF_TYPES)}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ChipFileError(file, f"{key}.{name}", f"{value!r} cannot be", "Give the published fact.")
    return {name: float(value) for name, value in table.items()}


def _plugin(table: Any, file: str, key: str) -> Plugin:
    _check(table, _PLUGIN, file, key)
    if any(not isinstance(name, str) for name in table["without"]):
        raise ChipFileError(file, f"{key}.without", "holds something other than names", "List dtypes.")
    return Plugin(table["device"], table["backend"], table["package"], tuple(table["without"]))


def _unit(table: Any, file: str, key: str) -> Unit:
    _check(table, _UNIT, file, key)
    if table["kind"] not in UNIT_KINDS:
        raise ChipFileError(
            file,
            f"{key}.kind",
            f"{table['kind']!r} is no kind of unit",
            f"Use one of {', '.join(UNIT_KINDS)}.",
        )
    return Unit(**table)


def _check(table: Any, keys: Mapping[str, tuple[type, bool]], file: str, place: str) -> None:
    """Every required key is there, none is unknown, all have their types and are not negative or blank."""
    if not isinstance(table, dict):
        raise ChipFileError(file, place, "is not a table", f"Write it as a table with {', '.join(keys)}.")
    for key, (type_, required) in keys.items():
        if key not in table:
            if required:
                raise ChipFileError(file, f"{place}.{key}", "is missing", f"Add {_TYPE_NAMES[type_]}.")
            continue
        value = table[key]
        if not isinstance(value, type_) or isinstance(value, bool):
            raise ChipFileError(
                file, f"{place}.{key}", f"{value!r} has the wrong type", f"Give {_TYPE_NAMES[type_]}."
            )
        if value == "" or (isinstance(value, int) and value < 0):
            raise ChipFileError(file, f"{place}.{key}", f"{value!r} cannot be", "Give the published fact.")
    for key in table:
        if key not in keys:
            raise ChipFileError(file, f"{place}.{key}", "is unknown", f"Known keys: {', '.join(keys)}.")
