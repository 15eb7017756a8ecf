"""The chip that a program is to move to, as the migration room wants it. Flows in: a chip's name. Flows out:
the name of its device in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...migrate import Destination

MAKERS = {"NVIDIA": "cuda", "AMD": "cuda", "Apple": "mps"}
"""Makers whose GPUs PyTorch itself serves -> its name of the device. Others bring a plug-in that says it."""


def target_of(chip: str) -> Destination | None:
    """The target for a chip of the registry; None for no name. Raises UnknownChip."""
    if not chip:
        return None
    from ...chips import get
    from ...migrate import Destination

    found = get(chip)
    if found.plugin is not None:
        device = found.plugin.device
    elif any(unit.kind == "gpu" for unit in found.units):
        device = MAKERS.get(found.manufacturer.name, "cpu")
    else:
        device = "cpu"
    is_nvidia = device == "cuda" and found.manufacturer.name == "NVIDIA"
    return Destination(found.identifier, device, is_nvidia)
