"""Training on several chips, of one kind or mixed: a process group for PyTorch's own trainers, shards and
stages of unequal size, checkpoints from which a job goes on, and plans.

`import anychip.cluster` lets PyTorch know the back end `anychip`: `init_process_group("anychip")`. It is
PyTorch's gloo underneath, with results that are right for every type and stride, for devices with memory of
their own too, and with errors that name the rank, chip and step that a job stopped at.
"""

from __future__ import annotations

from ..packages import require

require("anychip.cluster", ("torch",))

from .errors import CheckpointError, ClusterError, CollectiveError, CutError, RankLost  # noqa: E402
from .group import ChipGroup, register  # noqa: E402
from .members import Member  # noqa: E402

register()

__all__ = [
    "CheckpointError",
    "ChipGroup",
    "ClusterError",
    "CollectiveError",
    "CutError",
    "Member",
    "RankLost",
    "register",
]
