"""What stands against writing a page."""

from __future__ import annotations

from ..errors import AdvisedError


class PageError(AdvisedError):
    """Pages cannot be written here, or a page has no record to be written from."""
