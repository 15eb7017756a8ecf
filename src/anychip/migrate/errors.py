"""Errors of the migration room."""

from __future__ import annotations

from ..errors import AdvisedError


class MigrateError(AdvisedError):
    """A path, a baseline or a program that `anychip migrate` was given cannot be used."""
