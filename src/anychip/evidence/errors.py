"""Errors of the evidence room."""

from __future__ import annotations

from ..errors import AnychipError


class EvidenceError(AnychipError):
    """A proof cannot be run or a record cannot be read as asked."""
