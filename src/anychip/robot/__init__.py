"""Operators for robots: rotations and rigid motions, whole robots in batches, control and perception, as
`anychip.robot.quat_multiply(a, b, order="wxyz")`. Each runs as kernels of ours on whatever chip holds the
tensors, and is differentiable, forward and backward, where docs/robot.md says so. Lengths are in metres,
angles in radians, masses in kilograms, times in seconds."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..packages import require

require("anychip.robot", ["torch"])

from ..ops.fused import Fused  # noqa: E402
from ..ops.rooms import ROOMS  # noqa: E402
from .model.description import Robot  # noqa: E402
from .model.load import load  # noqa: E402

__all__ = ["Fused", "Robot", "inverse_kinematics", "load", "operators"]

operators = ROOMS["robot"].operators


def __getattr__(name: str) -> Any:
    if name == "inverse_kinematics":
        return import_module("anychip.robot.body.inverse").inverse_kinematics
    return ROOMS["robot"].attribute(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *operators()})
