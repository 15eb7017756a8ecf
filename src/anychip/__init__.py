"""Anychip: one software layer between AI programs and any chip."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import AnychipError

if TYPE_CHECKING:
    from .pytorch import disable, enable, report, using

__version__ = "0.1.0"
__all__ = ["AnychipError", "__version__", "disable", "enable", "report", "using"]

_FROM_PYTORCH = frozenset({"disable", "enable", "report", "using"})
"""Names of `anychip.pytorch`, imported on first use because they need PyTorch."""


def __getattr__(name: str) -> Any:
    if name in _FROM_PYTORCH:
        return getattr(import_module(".pytorch", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | _FROM_PYTORCH)
