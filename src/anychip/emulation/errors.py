"""Errors of linking and emulation."""

from __future__ import annotations

from ..errors import AnychipError


class EmulationError(AnychipError):
    """A program for another chip could not be built or run here."""


class LinkError(EmulationError):
    """The C compiler or the linker refused a program: it may not fit into the chip's memory."""


class MissingEmulator(EmulationError):
    """What runs the chip's code is not installed, or does not exist."""
