"""Errors of the search."""

from __future__ import annotations

from ..errors import AnychipError


class TuneError(AnychipError):
    """What is to be tuned does not exist, cannot run, or needs to be told more."""
