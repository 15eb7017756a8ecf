"""Errors of the export."""

from __future__ import annotations

from ..errors import AnychipError


class ExportError(AnychipError):
    """A Program cannot become a library for a chip. Nothing was written."""


class CheckError(AnychipError):
    """An exported library could not be built, run, or does not compute what PyTorch does."""
