"""Fused operators for language models: `anychip.llm.rms_norm(x, weight)`. Each runs as kernels of ours on
whatever chip holds the tensors, and is differentiable where its page in docs/llm.md says so."""

from __future__ import annotations

from typing import Any

from ..packages import require

require("anychip.llm", ["torch"])

from ..ops.rooms import ROOMS  # noqa: E402
from .registry import Fused, operators  # noqa: E402

__all__ = ["Fused", "operators"]


def __getattr__(name: str) -> Any:
    return ROOMS["llm"].attribute(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *operators()})
