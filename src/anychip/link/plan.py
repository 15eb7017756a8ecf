"""Where each stage of a policy runs, and whether that meets the deadline: from measured profiles alone.

Flows in: profiles of the robot's chip, of the server's and of the way between, the control rate and the
largest age. Flows out: for every cut the 99th percentile of edge + uplink + queue + cloud + downlink, whether
the actions that remain of a chunk bridge it, and what would help where nothing does.

The parts' times are drawn independently of each other from what was measured. The queue is not guessed: the
server's own scheduler is run on a virtual clock with the measured times of batches and as many robots."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from .errors import PlanError
from .profiles import ChipProfile, NetworkProfile
from .scheduler import Request, Scheduler

DRAWS = 20_000
QUANTILE = 0.99
_SECONDS_OF_QUEUE = 4.0


@dataclass(frozen=True, slots=True)
class Placement:
    """The first `on_robot` stages run on the robot. `parts`: 99th percentiles in seconds of edge, uplink,
    queue, cloud and downlink; `latency`: that of their sum; `bridged`: seconds for which the actions that are
    left of a chunk last while the next is on its way. `gap`: 99th percentile of seconds from one
    observation that is answered to the next; the server skips those that newer ones overtake."""

    on_robot: int
    stages: tuple[tuple[str, str], ...]
    parts: dict[str, float]
    latency: float
    bridged: float
    max_age: float
    gap: float

    @property
    def is_met(self) -> bool:
        """Whether answers come in time, and before the actions run out."""
        return self.latency <= self.bridged and self.latency < self.max_age

    @property
    def why_not(self) -> str:
        """What is missed; empty where nothing is."""
        if self.latency >= self.max_age:
            return f"actions would be {_ms(self.latency)} old, and may be {_ms(self.max_age)}"
        if self.latency > self.bridged:
            return (
                f"an observation is answered every {_ms(self.gap)}, a chunk bridges "
                f"{_ms(max(self.bridged, 0.0))} more, and the next takes {_ms(self.latency)}"
            )
        return ""


@dataclass(frozen=True, slots=True)
class Placements:
    """All placements, the best first, and what would help where none meets the deadline."""

    placements: list[Placement]
    advice: list[str]

    def require(self) -> Placement:
        """The best placement. Raises PlanError where it does not meet the deadline."""
        best = self.placements[0]
        if not best.is_met:
            raise PlanError(f"no placement meets the deadline: {best.why_not}", "\n  ".join(self.advice))
        return best


def plan(
    edge: ChipProfile,
    cloud: ChipProfile,
    network: NetworkProfile,
    *,
    hz: float,
    max_age: float,
    robots: int = 1,
    largest_batch: int = 8,
    seed: int = 0,
    names: tuple[str, str] = ("edge", "cloud"),
) -> Placements:
    """All cuts of a policy, the best first. `max_age` in seconds. Raises PlanError for profiles that do not
    belong together."""
    if edge.policy != cloud.policy:
        raise PlanError("the profiles are of two policies", "Measure both with the same file and parameters.")
    if hz <= 0 or max_age <= 0:
        raise PlanError(f"{hz} Hz and {max_age} s are no rate and no age", "Give positive numbers.")
    stages = list(edge.stages)
    placements = [
        _placement(edge, cloud, network, stages, cut, hz, max_age, robots, largest_batch, seed, names)
        for cut in range(len(stages) + 1)
    ]
    placements.sort(key=lambda each: (not each.is_met, each.latency))
    return Placements(placements, [] if placements[0].is_met else _advice(placements[0], edge.chunk, hz))


def _placement(
    edge: ChipProfile, cloud: ChipProfile, network: NetworkProfile, stages: list[str], cut: int, hz: float,
    max_age: float, robots: int, largest_batch: int, seed: int, names: tuple[str, str],
) -> Placement:  # fmt: skip
    draw = np.random.default_rng(seed)
    here, there = stages[:cut], stages[cut:]
    parts = {"edge": _sum([edge.times(stage) for stage in here], draw)}
    period = gap = 1 / hz
    zero = np.zeros(DRAWS)
    if there:
        slack = max_age - 1 / hz
        waits, computed, gap = _queue(cloud, there, hz, slack, robots, largest_batch, seed)
        parts |= {
            "uplink": _drawn(network.seconds(edge.sizes[there[0]]), draw),
            "queue": _drawn(waits, draw),
            "cloud": _drawn(computed, draw),
            "downlink": _drawn(network.seconds(edge.sizes["actions"]), draw),
        }
    else:
        parts |= dict.fromkeys(("uplink", "queue", "cloud", "downlink"), zero)
    total = np.sum(list(parts.values()), axis=0)
    usable = min(edge.chunk, int(max_age / period))
    return Placement(
        cut,
        tuple((stage, names[stage in there]) for stage in stages),
        {name: float(np.quantile(times, QUANTILE)) for name, times in parts.items()},
        float(np.quantile(total, QUANTILE)),
        usable * period - gap,
        max_age,
        gap,
    )


def _queue(
    cloud: ChipProfile, stages: list[str], hz: float, slack: float, robots: int, largest_batch: int, seed: int
) -> tuple[list[float], list[float], float]:
    """Seconds that observations wait and are computed, and from one that is answered to a robot's next, by
    the server's scheduler on a virtual clock. Sizes of batches that were not measured cost what lies between
    those that were."""
    random = Random(seed)
    measured = sorted(int(size) for size in cloud.stages[stages[0]])
    sums = [float(np.median(_sum([cloud.times(stage, size) for stage in stages], None))) for size in measured]
    spread = _sum([cloud.times(stage, measured[0]) for stage in stages], None) / sums[0]
    scheduler = Scheduler(largest_batch)
    for size in range(1, largest_batch + 1):
        scheduler.times.measured(size, _ns(np.interp(size, measured, sums) * float(np.quantile(spread, 0.9))))
    events: list[tuple[int, int]] = [(_ns(random.random() / hz), robot) for robot in range(robots)]
    heapq.heapify(events)
    free = 0
    waits: list[float] = []
    computed: list[float] = []
    gaps: list[float] = []
    last: dict[Hashable, int] = {}
    asked = 0
    while events and events[0][0] < _ns(_SECONDS_OF_QUEUE):
        now, robot = heapq.heappop(events)
        while free <= now and len(scheduler):
            batch, took = _computed(scheduler, free, measured, sums, spread, random)
            for request in batch:
                waits.append((free - request.arrived) * 1e-9)
                computed.append(took)
                if request.owner in last:
                    gaps.append((request.arrived - last[request.owner]) * 1e-9)
                last[request.owner] = request.arrived
            free += max(_ns(took), 1)
        asked += 1
        scheduler.submit(Request(robot, asked, 0, 0, 0, now, now + _ns(slack), {}))
        heapq.heappush(events, (now + _ns(1 / hz), robot))
        free = max(free, now)
    gap = float(np.quantile(gaps, QUANTILE)) if gaps else _SECONDS_OF_QUEUE
    return waits or [slack], computed or [sums[0]], gap


def _computed(
    scheduler: Scheduler, now: int, measured: list[int], sums: list[float], spread: Any, random: Random
) -> tuple[list[Request], float]:
    """The next batch, and how many seconds it takes."""
    batch, _ = scheduler.next_batch(now)
    usual = float(np.interp(len(batch), measured, sums)) if batch else 0.0
    return batch, usual * float(spread[random.randrange(len(spread))])


def _advice(best: Placement, chunk: int, hz: float) -> list[str]:
    """What would meet the deadline, one thing at a time."""
    period = 1 / hz
    advice = []
    if best.gap > 1.5 * period:
        advice.append("fewer robots for a server, larger batches, or a quicker chip there")
    needed = best.latency + best.gap + period
    if best.latency >= best.max_age or best.bridged < best.latency:
        if chunk * period >= needed:
            advice.append(f"--max-age {needed * 1e3:.0f}ms, if the robot may act on what is so old")
        else:
            actions = int(np.ceil(needed / period))
            advice.append(f"chunks of {actions} actions (now {chunk}) with --max-age {needed * 1e3:.0f}ms")
        largest = max(best.parts, key=lambda name: best.parts[name])
        room = min(best.max_age, best.bridged) - (best.latency - best.parts[largest])
        if room > 0:
            advice.append(f"{largest} in {_ms(room)} instead of {_ms(best.parts[largest])}")
    return advice


def _sum(times: Sequence[Sequence[float]], draw: np.random.Generator | None) -> np.ndarray[Any, Any]:
    """The sum of several parts: each drawn by itself, or, without `draw`, round by round as measured."""
    if draw is None:
        return np.sum([np.asarray(each) for each in times], axis=0)
    return np.sum([_drawn(each, draw) for each in times], axis=0) if times else np.zeros(DRAWS)


def _drawn(times: Sequence[float] | np.ndarray[Any, Any], draw: np.random.Generator) -> np.ndarray[Any, Any]:
    return draw.choice(np.asarray(times), DRAWS)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
