"""A run of the torture, and its counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .. import loop
from ..edge import EdgeMachine
from .faults import Kind
from .real import RealWorld
from .world import TERMS, World

DEFAULT_ROBOTS = 64


def virtual(ticks: int, robots: int = DEFAULT_ROBOTS, seed: int = 0) -> dict[str, Any]:
    """`ticks` control ticks of all robots together, on a virtual clock. Keys: see docs/link.md."""
    world = World(seed, robots, ticks)
    world.run()
    return {"clock": "virtual", "seed": seed} | _counts(world, [robot.machine for robot in world.robots])


def real(ticks: int, robots: int = DEFAULT_ROBOTS, seed: int = 0) -> dict[str, Any]:
    """The same by the real clock, over WebSockets on this machine."""
    world = RealWorld(seed, robots, ticks)
    loop.run(world.run())
    return {"clock": "real", "seed": seed} | _counts(world, world.machines)


def _counts(world: World | RealWorld, machines: list[EdgeMachine]) -> dict[str, Any]:
    kinds = Counter(fault.kind for fault in world.faults)
    happened = Counter[str]()
    for machine in machines:
        happened.update(machine.counts)
    return {
        "robots": len(machines),
        "hz": TERMS.hz,
        **world.judge.result(),
        "well": world.judge.is_well,
        "faults": {str(kind): kinds[kind] for kind in Kind},
        "machines": dict(sorted(happened.items())),
        "server": dict(sorted(world.server_counts.items())),
    }
