"""How long a search may go on. Flows in: seconds and a clock. Flows out: whether there is time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Budget:
    """`seconds` of `clock` from the moment that it is made."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    began: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self.began

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.seconds
