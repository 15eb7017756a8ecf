"""Errors of the tuning database."""

from __future__ import annotations

from ..errors import AnychipError


class MeasurementsError(AnychipError):
    """A file of measurements that was to be read or written cannot be."""
