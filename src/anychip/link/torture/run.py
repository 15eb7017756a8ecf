"""A run of the torture, and its counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .faults import Kind
from .world import TERMS, World

DEFAULT_TICKS = 100_000
DEFAULT_ROBOTS = 64


def virtual(ticks: int, robots: int = DEFAULT_ROBOTS, seed: int = 0) -> dict[str, Any]:
    """`ticks` control ticks of all robots together, on a virtual clock. Keys: see docs/link.md."""
    world = World(seed, robots, ticks)
    world.run()
    kinds = Counter(fault.kind for fault in world.faults)
    machines = Counter[str]()
    for robot in world.robots:
        machines.update(robot.machine.counts)
    return {
        "clock": "virtual",
        "seed": seed,
        "robots": robots,
        "hz": TERMS.hz,
        **world.judge.result(),
        "well": world.judge.is_well,
        "faults": {str(kind): kinds[kind] for kind in Kind},
        "machines": dict(sorted(machines.items())),
        "server": dict(sorted(world.server_counts.items())),
    }
