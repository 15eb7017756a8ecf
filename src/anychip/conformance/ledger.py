"""The ledger of a campaign: what is done, in a file, so that an interrupted run goes on where it ended.
Flows in and out: a campaign's proofs and the names of its kernels."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evidence.outcome import Proof

if TYPE_CHECKING:
    from .campaign import Campaign

_log = logging.getLogger(__name__)

_FORMS = ("compiled", "vector_form", "scalar_form")


def write(campaign: Campaign, path: Path) -> None:
    """Write the ledger in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {
        "target": campaign.target.name,
        "tier": campaign.tier,
        "proofs": [proof.to_json() for proof in campaign.proofs],
        "in_scalar_form": sorted(campaign.in_scalar_form),
    }
    for form in _FORMS:
        compiled = getattr(campaign, form)
        data[form] = {"names": sorted(compiled.names), "errors": compiled.errors}
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps(data))
    temporary.replace(path)


def read(campaign: Campaign, path: Path) -> None:
    """Take up what a ledger holds; one for another target or tier, or that cannot be read, is left out."""
    try:
        data = json.loads(path.read_text())
        if data["target"] != campaign.target.name or data["tier"] != campaign.tier:
            return
        proofs = [Proof.from_json(proof) for proof in data["proofs"]]
        known = [(set(data[form]["names"]), dict(data[form]["errors"])) for form in _FORMS]
        in_scalar_form = set(data["in_scalar_form"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read (%s): the run begins anew", path, error)
        return
    campaign.proofs, campaign.in_scalar_form = proofs, in_scalar_form
    for form, (names, errors) in zip(_FORMS, known, strict=True):
        compiled = getattr(campaign, form)
        compiled.names, compiled.errors = names, errors
