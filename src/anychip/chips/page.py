"""The page of chips, `docs/chips.md`. Flows in: the registry and the records of runs. Flows out:
Markdown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..markdown import table
from .chip import Chip, Unit
from .evidence import TIERS, standing
from .loading import CATEGORIES
from .registry import all, manufacturers

COMMAND = "anychip chips --page docs/chips.md"


def units_text(chip: Chip) -> str:
    """The units of a chip in a line."""
    return ", ".join(_unit(unit) for unit in chip.units)


def _unit(unit: Unit) -> str:
    count = f"{unit.cores} x " if unit.cores else ""
    return f"{count}{unit.name} ({unit.target})"


def page(records: list[dict[str, Any]]) -> str:
    """Markdown: every chip by class, with what was shown of it."""
    chips = all()
    found = {chip.identifier: standing(chip, records) for chip in chips}
    tiers = Counter(one.tier for one in found.values())
    lines = [
        "# Chips",
        "",
        f"Written by `{COMMAND}` from the chip files and the records under `evidence/`; do not edit.",
        "",
        f"{len(chips)} chips of {len(manufacturers())} makers: "
        + ", ".join(f"{tiers[tier]} {tier}" for tier in TIERS if tiers[tier])
        + ".",
        "",
        "- **native**: operators ran on that chip",
        "- **emulated**: operators ran under an instruction-set emulator set up as that core",
        "- **compiled**: machine code for that chip was made and checked; nothing ran",
        "- **plugin**: the maker's own Triton is needed; the adapter was tested with a stand-in",
        "- **none**: described, and nothing recorded yet",
        "",
        "The numbers after a tier are the operators that passed and those that were tried: all of the "
        "library, unless the word `tried` follows. `as` a target: the emulator lacks some instructions of "
        "the core or fails at them, so code for that related target ran, and the core's own was only "
        "compiled. No number is a time.",
    ]
    for category, title in CATEGORIES.items():
        listed = [chip for chip in chips if chip.category == category]
        if not listed:
            continue
        lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
        rows = (
            (
                f"{chip.name} (`{chip.identifier}`)",
                chip.manufacturer.name,
                chip.year,
                units_text(chip),
                found[chip.identifier].text,
            )
            for chip in listed
        )
        lines.append(table(("chip", "maker", "year", "units (target)", "evidence"), rows))
    return "\n".join(lines) + "\n"
