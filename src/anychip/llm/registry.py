"""The list of fused operators for language models: this room's part of the table in `ops/rooms.py`. Flows in:
records that modules of this room add. Flows out: the list that the Python API reads."""

from __future__ import annotations

from ..ops.fused import FLOATING, Fused, Samples
from ..ops.registry import Sample
from ..ops.rooms import ROOMS

__all__ = ["FLOATING", "Fused", "Sample", "Samples", "operators", "register"]

register = ROOMS["llm"].register
operators = ROOMS["llm"].operators
