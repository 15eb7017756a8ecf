"""What is refused where training jobs are started."""

from __future__ import annotations

from ..errors import AdvisedError


class TrainingError(AdvisedError):
    """A job cannot be started as asked, failed, or stood still: which rank and step, and what to do."""
