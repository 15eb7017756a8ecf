"""When a silent peer is dead, and when to try again. Both sides of a connection use these.

A connection whose cable is cut says nothing at all: writes succeed until buffers are full, and TCP or a
transport's own pings take a minute to notice. So each side keeps its own time of silence, by frames of this
protocol alone."""

from __future__ import annotations

from random import Random


class Liveness:
    """Silence of a peer. `dead_after`: nanoseconds without a frame after which it is dead; a ping is due
    after a third of that."""

    def __init__(self, dead_after: int, now: int):
        self.dead_after = dead_after
        self._ping_every = max(dead_after // 3, 1)
        self._heard = self._pinged = now
        self._number = 0

    def heard(self, now: int) -> None:
        """A frame of the peer has come."""
        self._heard = now

    def is_dead(self, now: int) -> bool:
        """Whether the peer was silent for too long."""
        return now - self._heard >= self.dead_after

    def ping(self, now: int) -> int | None:
        """The number of the ping that is due now, None where none is."""
        if now - max(self._heard, self._pinged) < self._ping_every:
            return None
        self._pinged = now
        self._number += 1
        return self._number


class Backoff:
    """Waiting times between attempts to connect, in nanoseconds: twice as long after each failure up to
    `longest`, and each drawn from the upper half so that robots do not come back all at once. It never gives
    up: a server that refuses today (a wrong token, too many clients) may be mended tomorrow."""

    def __init__(self, shortest: int, longest: int, random: Random):
        self._shortest, self._longest, self._random = shortest, longest, random
        self._failures = 0

    def succeeded(self) -> None:
        """Begin with the shortest wait again."""
        self._failures = 0

    def failed(self, *, refused: bool = False) -> int:
        """The wait until the next attempt. `refused`: the server answered and said no, so haste is
        useless."""
        wait = self._longest if refused else min(self._shortest << min(self._failures, 32), self._longest)
        self._failures += 1
        return wait // 2 + self._random.randrange(wait // 2 + 1)
