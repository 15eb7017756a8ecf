"""Anychip: one software layer between AI programs and any chip."""

from __future__ import annotations

from importlib import import_module

from .errors import AnychipError

TYPE_CHECKING = False
"""True to type checkers, as that of `typing`, whose import takes longer than all the rest of this module."""
if TYPE_CHECKING:
    from typing import Any

    from . import cluster as cluster
    from . import link as link
    from . import llm as llm
    from . import robot as robot
    from . import science as science
    from . import training as training
    from .pytorch import disable, enable, report, using
    from .pytorch.capture import capture
    from .pytorch.program import Program

__version__ = "0.1.0"
__all__ = ["AnychipError", "Program", "__version__", "capture", "disable", "enable", "llm", "report", "using"]

_ROOMS = frozenset({"cluster", "link", "llm", "robot", "science", "training"})
"""Rooms with names for users, imported on first use."""
_FROM_PYTORCH = {
    "Program": ".pytorch.program",
    "capture": ".pytorch.capture",
    "disable": ".pytorch",
    "enable": ".pytorch",
    "report": ".pytorch",
    "using": ".pytorch",
}
"""Names that need PyTorch, and the modules from which they are imported on first use."""


def __getattr__(name: str) -> Any:
    if name in _FROM_PYTORCH:
        from .packages import require

        require(f"anychip.{name}", ["torch"])
        return getattr(import_module(_FROM_PYTORCH[name], __name__), name)
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_FROM_PYTORCH) | _ROOMS)
