"""What a trial of the doctor found wrong."""

from __future__ import annotations

from ..errors import AdvisedError


class TrialError(AdvisedError):
    """An operator or a compiled function gave a wrong result, or no kernel of ours ran."""
