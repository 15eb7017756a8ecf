"""Which faults strike whom and when, drawn from a seed.

The first of each kind comes within the first second, so that a short run holds each once; after that robots
have calm and troubled times in turn, and the server troubles of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

MILLISECOND = 1_000_000
SECOND = 1_000_000_000


class Kind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"
    JITTER = "jitter"
    LOSS = "loss"
    REORDERING = "reordering"
    CUT = "cut"
    HALF_OPEN = "half-open"
    CLOCK_STEP = "clock step"
    KILLED = "server killed"
    SLOW = "slow server"
    OVERLOAD = "overload"


OF_A_ROBOT = (
    Kind.DELAY,
    Kind.JITTER,
    Kind.LOSS,
    Kind.REORDERING,
    Kind.CUT,
    Kind.HALF_OPEN,
    Kind.CLOCK_STEP,
)
OF_THE_SERVER = (Kind.SLOW, Kind.OVERLOAD, Kind.KILLED)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault from `start` until `end` (ns from the beginning). `robot` is -1 for faults of the server.
    `amount`: nanoseconds of a delay, jitter or step (negative: back), the share that is lost, or how many
    times as long a computation takes; 0 where there is nothing to say."""

    kind: Kind
    robot: int
    start: int
    end: int
    amount: float = 0.0


def drawn(seed: int, robots: int, duration: int) -> list[Fault]:
    """The faults of a run of `duration` ns, in order of their starts."""
    random = Random(f"faults {seed}")
    made: list[Fault] = []
    for number, kind in enumerate(OF_A_ROBOT):
        start = 200 * MILLISECOND + random.randrange(60 * MILLISECOND)
        made.append(Fault(kind, number % robots, start, start + 450 * MILLISECOND, _amount(kind, random)))
    for robot in range(robots):
        now = SECOND + random.randrange(2 * SECOND)
        while now < duration:
            kind = random.choice(OF_A_ROBOT)
            lasts = random.randrange(100 * MILLISECOND, 3 * SECOND)
            made.append(Fault(kind, robot, now, now + lasts, _amount(kind, random)))
            now += lasts + random.randrange(200 * MILLISECOND, 4 * SECOND)
    for number, kind in enumerate(OF_THE_SERVER):
        start = (260 + 200 * number) * MILLISECOND
        made.append(Fault(kind, -1, start, start + 150 * MILLISECOND, _amount(kind, random)))
    now = 3 * SECOND
    while now < duration:
        kind = random.choice(OF_THE_SERVER)
        lasts = random.randrange(100 * MILLISECOND, 2 * SECOND)
        made.append(Fault(kind, -1, now, now + lasts, _amount(kind, random)))
        now += lasts + random.randrange(2 * SECOND, 8 * SECOND)
    return sorted((fault for fault in made if fault.start < duration), key=lambda fault: fault.start)


def _amount(kind: Kind, random: Random) -> float:
    if kind in (Kind.DELAY, Kind.JITTER, Kind.REORDERING):
        return random.randrange(5 * MILLISECOND, 500 * MILLISECOND)
    if kind is Kind.LOSS:
        return random.uniform(0.02, 0.30)
    if kind is Kind.CLOCK_STEP:
        return random.choice((-1, 1)) * random.randrange(60 * MILLISECOND, 5 * SECOND)
    if kind is Kind.SLOW:
        return random.uniform(5, 60)
    return 0.0
