"""Errors of the report."""

from __future__ import annotations

from ..errors import AnychipError


class NothingToReport(AnychipError):
    """A folder holds nothing that a report is made of."""
