"""The count of launches by kernel, which tests and reports read."""

from __future__ import annotations

import threading
from collections import Counter

launch_counts: Counter[str] = Counter()
"""Launches since the start, by kernel name; `flat_kernel[tanh]` where a machinery runs a function."""


class Attribution(threading.local):
    """The operator that this thread's launches are also counted for: `counter` gets them. `seconds` is the
    time spent in operators so far, which tells an operator's own time from that of operators inside."""

    counter: Counter[str] | None = None
    seconds: float = 0.0


attribution = Attribution()
