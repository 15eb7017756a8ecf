"""What stops the demonstration: its text, its weights, or a result that is not as it must be."""

from __future__ import annotations

from ..errors import AdvisedError


class DemonstrationError(AdvisedError):
    """The demonstration lacks something, or what it shows is not so."""
