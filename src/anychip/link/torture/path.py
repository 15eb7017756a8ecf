"""One direction of a network: when, and whether, a frame arrives. The simulation and the proxy for real
connections use the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Path:
    """`delay` and `jitter` in nanoseconds (a frame takes `delay` and up to `jitter` more), `loss` the share
    of frames that vanish; `reorder`: a frame may overtake another. A path that is not `open` swallows
    everything, frames on their way included, and says nothing."""

    random: Random
    delay: int = 200_000
    jitter: int = 0
    loss: float = 0.0
    reorder: bool = False
    open: bool = True
    _last: int = field(default=0)

    def arrival(self, now: int) -> int | None:
        """When a frame that is sent now arrives; None if it does not."""
        if not self.open or (self.loss and self.random.random() < self.loss):
            return None
        at = now + self.delay + (self.random.randrange(self.jitter) if self.jitter else 0)
        if not self.reorder:
            at = max(at, self._last)
        self._last = max(at, self._last)
        return at

    def calm(self) -> None:
        """As it was made: quick, without loss, in order."""
        self.delay, self.jitter, self.loss, self.reorder, self.open = 200_000, 0, 0.0, False, True
