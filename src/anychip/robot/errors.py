"""Errors of this room."""

from __future__ import annotations

from ..ops.errors import ArgumentError


class RobotError(ArgumentError):
    """A robot's file or a name in it is not what was expected."""
