"""What runs have shown of each chip. Flows in: the records of operators and chips that `anychip test` and
`anychip conform` write. Flows out: a chip's tier and how many operators passed. Tiers are never rounded
up: a chip without a record has none."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .chip import Chip, Unit

TIERS = ("native", "emulated", "compiled", "plugin", "none")
"""From most to least: ran on that chip; ran under an emulator set up as that core; machine code was made
and checked; the maker's Triton is needed, and the adapter was tested with a stand-in; nothing yet."""

_log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parents[1]
FOLDERS = (_PACKAGE.parents[1] / "evidence" / "chips", _PACKAGE / "evidence_records" / "chips")
"""In the repository, and in an installed package."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Tier of a chip, operators passed, tried and in all, and what was set up to run them. `unit` names
    the unit that was shown, where it is not the chip's first; `form` tells what ran where it was not the
    target's own code, `remark` why, and whatever else the record says."""

    tier: str
    passed: int = 0
    tried: int = 0
    total: int = 0
    setting: str = ""
    date: str = ""
    commit: str = ""
    unit: str = ""
    form: str = ""
    remark: str = ""

    @property
    def text(self) -> str:
        """For tables: "emulated 340 of 340", "compiled 32 of 32 tried" where there are more operators."""
        if not self.tried:
            return self.tier
        tried = f"{self.tried} tried" if self.tried < self.total else str(self.tried)
        notes = ", ".join(filter(None, (self.unit, self.form)))
        return f"{self.tier} {self.passed} of {tried}" + (f" ({notes})" if notes else "")


def records(folders: tuple[Path, ...] = FOLDERS) -> Iterator[dict[str, Any]]:
    """The records of chips, as they were written; one that cannot be read is reported and left out."""
    folder = next((f for f in folders if f.is_dir()), None)
    for path in sorted(folder.glob("*.json")) if folder is not None else ():
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            _check(record)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("the record %s cannot be read: %r", path, error)
            continue
        yield record


def _check(record: dict[str, Any]) -> None:
    """Raise KeyError or TypeError where a record lacks what a standing is made of."""
    for key in ("chip", "target", "tier"):
        _ = record[key]
    for key in ("passed", "tried", "total"):
        _ = record["operators"][key]


def standing(chip: Chip, known: list[dict[str, Any]]) -> Standing:
    """The best that the records say of a chip's first unit; of another one, by name, where they say
    nothing of the first. A record of another product with the same core counts, but as compiled code
    where it is of a native run: the run was not on this chip."""
    for unit in chip.units:
        found = _of_unit(chip, unit, known)
        if found.tier != "none":
            return found if unit == chip.units[0] else replace(found, unit=unit.name)
    return Standing("plugin" if chip.plugin is not None else "none")


def _of_unit(chip: Chip, unit: Unit, known: list[dict[str, Any]]) -> Standing:
    best = Standing("none")
    for record in known:
        if record["target"] != unit.target:
            continue
        tier, setting = record["tier"], record.get("emulator", "")
        if tier == "native" and record["chip"] != chip.identifier:
            tier, setting = "compiled", f"ran on {record.get('machine') or record['chip']}"
        operators = record["operators"]
        found = Standing(
            tier,
            operators["passed"],
            operators["tried"],
            operators["total"],
            setting,
            record.get("date", ""),
            record.get("commit", ""),
            form=_form(record) if tier == "emulated" else "",
            remark=record.get("remark", ""),
        )
        if (TIERS.index(tier), -found.passed) < (TIERS.index(best.tier), -best.passed):
            best = found
    return best


def _form(record: dict[str, Any]) -> str:
    """What ran where it was not code for the target itself: "as rv64gcv-256, 26 in part as rv64gc"."""
    ran, scalar = record.get("code_that_ran", ""), record.get("scalar_form")
    whole = f"as {ran}" if ran and ran != record["target"] else ""
    part = f"{len(scalar['operators'])} in part as {scalar['target']}" if scalar else ""
    return ", ".join(filter(None, (whole, part)))
