"""Errors of jobs that run on several chips."""

from __future__ import annotations

from ..errors import AdvisedError


class ClusterError(AdvisedError):
    """A job on several chips was set up with something that it cannot work with."""


class CollectiveError(ClusterError):
    """A collective was called with what it has no right result for. Nothing was sent or written."""


class RankLost(ClusterError):
    """A collective could not end: a rank is gone, cut off or too slow. `ranks` are those that it is put down
    to, by their number in the whole job; empty where the cause could not be told."""

    def __init__(self, message: str, advice: str = "", ranks: tuple[int, ...] = ()):
        super().__init__(message, advice)
        self.ranks = ranks


class CutError(ClusterError):
    """A model, or a batch, cannot be cut as asked."""


class CheckpointError(ClusterError):
    """A checkpoint was not written, or is not one that this job can go on from."""
