"""Errors of the benchmarks."""

from __future__ import annotations

from ..errors import AnychipError


class BenchmarkError(AnychipError):
    """A benchmark cannot be run as asked."""
