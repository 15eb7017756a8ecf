"""Errors of conformance runs."""

from __future__ import annotations

from ..errors import AnychipError


class ConformanceError(AnychipError):
    """A conformance run cannot be made as asked."""
