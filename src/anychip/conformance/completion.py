"""Records completed: only what a chip's record does not show as passed is tried, and told together with what
it shows. Flows in: a new record of a few operators, and the earlier one. Flows out: one record that keeps the
figures of both runs apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..ops.registry import operators
from .campaign import Campaign
from .chip_record import FOLDER, counts, setting_of
from .trials import chosen

_OF_A_RUN = ("date", "commit", "versions", "cases", "kernels", "kernels_of_vector_form")
"""What a record says of one run."""


def earlier_of(campaign: Campaign, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The chip's record, unless it is of another target, tier or setting of the emulator."""
    path = folder / f"{campaign.chip}.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    now = setting_of(campaign)
    return record if all(record.get(key) == value for key, value in now.items()) else None


def missing(earlier: Iterable[dict[str, Any] | None]) -> tuple[str, ...]:
    """Operators that one of these records does not show as passed, in the order of a run."""
    shown = [{} if record is None else record["verdicts"] for record in earlier]
    return tuple(name for name in chosen() if any(verdicts.get(name) != "passed" for verdicts in shown))


def completed(new: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """A record of both runs: the newer verdict where both have one. `earlier` in it has the earlier runs' own
    dates, versions and figures, newest first; the other figures are the newer run's."""
    kept = {
        name: verdict
        for name, verdict in earlier["verdicts"].items()
        if name in operators() and name not in new["verdicts"]
    }
    verdicts = dict(sorted((kept | new["verdicts"]).items()))
    run = {key: earlier.get(key) for key in _OF_A_RUN} | {"operators_kept": len(kept)}
    failures = [failure for failure in earlier["failures"] if failure["operator"] in kept]
    return new | {
        "operators": counts(verdicts),
        "verdicts": verdicts,
        "failures": new["failures"] + failures,
        "scalar_form": new["scalar_form"] or _kept_scalar_form(earlier.get("scalar_form"), kept),
        "earlier": [run, *earlier.get("earlier", ())],
    }


def _kept_scalar_form(form: dict[str, Any] | None, kept: dict[str, str]) -> dict[str, Any] | None:
    names = [name for name in form["operators"] if name in kept] if form is not None else []
    return None if form is None or not names else form | {"operators": names}
