"""The list of fused operators for scientific computing: this room's part of the table in `ops/rooms.py`.
Flows in: records that modules of this room add. Flows out: the list that proofs, pages and tests read."""

from __future__ import annotations

import torch

from ..ops.fused import Fused
from ..ops.registry import Sample
from ..ops.rooms import ROOMS

__all__ = ["PRECISE", "Fused", "Sample", "operators", "register"]

PRECISE: tuple[torch.dtype, ...] = (torch.float32, torch.float64)
"""The element types of science."""

register = ROOMS["science"].register
operators = ROOMS["science"].operators
