"""What the cost model knows of a core: vectors, registers, caches, and a few costs in cycles. Flows in: a
target and the sizes of its caches, of this machine or as a core's maker publishes them. Flows out: a
`Machine`."""

from __future__ import annotations

from dataclasses import dataclass

from .. import chips
from ..compiler.targets.host import host
from ..compiler.targets.target import Target

LAUNCH, PROGRAM, ITERATION = 3000.0, 40.0, 3.0
"""Cycles of a launch, of the beginning of a program instance, and of one turn of a nest's loop."""
OPERATIONS_A_CYCLE = 2.0
LATENCY = 4.0
"""Cycles until a vector operation's result can be used."""
L1_BYTES, L2_BYTES, FAR_BYTES = 64.0, 32.0, 12.0
"""Bytes a cycle from the first cache, the second, and what lies beyond."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`l1` and `l2` are bytes of the data caches of one core, `threads` how many cores share a grid."""

    target: Target
    l1: int
    l2: int
    threads: int = 1

    def bytes_a_cycle(self, footprint: float) -> float:
        """How fast data is read that is used again after `footprint` bytes of other data."""
        return L1_BYTES if footprint <= self.l1 else L2_BYTES if footprint <= self.l2 else FAR_BYTES


SERVERS = ("neoverse-n1", "neoverse-n2", "neoverse-v2", "cortex-a76")
"""Cores that the shipped defaults for aarch64 are meant for, all at once."""

PUBLISHED: dict[str, tuple[int, int]] = {
    "cortex-a72": (32 << 10, 1 << 20),
    "cortex-a76": (64 << 10, 512 << 10),
    "neoverse-n1": (64 << 10, 1 << 20),
    "neoverse-v1": (64 << 10, 1 << 20),
    "neoverse-n2": (64 << 10, 1 << 20),
    "neoverse-v2": (64 << 10, 2 << 20),
}
"""Core -> bytes of the first and the second data cache, from the technical reference manuals."""


def this(threads: int) -> Machine:
    """The machine at hand."""
    caches = {c.level: c.size_bytes for c in chips.detect_host().caches if c.kind != "instruction"}
    target = host()
    return Machine(target, caches.get(1, 32 << 10), caches.get(2, target.cache_bytes), threads)


def published(target: Target, threads: int = 1) -> Machine:
    """A core as its maker describes it. Raises KeyError for one that is not in `PUBLISHED`."""
    return Machine(target, *PUBLISHED[target.cpu], threads)
