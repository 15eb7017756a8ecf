"""Whether the machine did something else while a measurement ran.

Flows in: the system's account of processor time, and a loop whose duration is known. Flows out: one
line that says what disturbed, or nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from .loops import scalar_chain

FOREIGN_CORES = 0.15
"""Processor time of others, in cores, above which a measurement counts as disturbed."""
DRIFT = 1.08
"""Ratio of the calibration loop's durations before and after above which it does, too."""
CALIBRATION_STEPS = 200_000

_STAT = Path("/proc/stat")


class Watch:
    """Begins to watch when it is made; `disturbance` ends it."""

    def __init__(self) -> None:
        self._loop = _calibration()
        self._start = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def disturbance(self) -> str:
        """What disturbed since the watch was made; empty when nothing did."""
        seconds = time.perf_counter() - self._start
        reasons = []
        busy = _busy_seconds()
        if busy is not None and self._busy is not None and seconds > 0:
            foreign = (busy - self._busy - (_own_seconds() - self._own)) / seconds
            # The system counts in hundredths of a second.
            if foreign > FOREIGN_CORES + 0.02 * (os.cpu_count() or 1) / seconds:
                reasons.append(f"others used {foreign:.1f} cores")
        elif os.getloadavg()[0] > (os.cpu_count() or 1):
            reasons.append(f"load {os.getloadavg()[0]:.1f}")
        after = _calibration()
        drift = max(after / self._loop, self._loop / after)
        if drift > DRIFT:
            reasons.append(f"speed drifted {(drift - 1) * 100:.0f} %")
        return ", ".join(reasons)


def _calibration() -> float:
    """Seconds of a loop of dependent multiplications, the least of three."""
    return min(scalar_chain(CALIBRATION_STEPS) for _ in range(3))


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _busy_seconds() -> float | None:
    """Processor time of the whole machine that was not idle, stolen time included."""
    try:
        fields = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, irq, soft_irq, stolen = (int(field) for field in fields)
    return (user + nice + system + irq + soft_irq + stolen) / os.sysconf("SC_CLK_TCK")
