"""What cannot be inspected: a file, a kernel, or the types that it was asked for."""

from __future__ import annotations

from ..errors import AdvisedError


class InspectionError(AdvisedError):
    """A kernel is not there, does not run by itself, or cannot have the types and constants asked for."""
