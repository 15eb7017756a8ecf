"""The limits of this machine, measured: bytes in a second at several footprints, operations in a second
for each element type.

Flows in: a number of threads. Flows out: `Roofs`, to which a row's own numbers are compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from . import loops

FOOTPRINTS = tuple(1 << power for power in range(15, 29))
"""Bytes of the triad's three arrays together: 32 KiB to 256 MiB."""
RUN_SECONDS = 0.03
RUNS = 3
CHAIN_STEPS = 200_000
COMPUTED_AS = {"f16": "f32"}
"""Elements whose arithmetic is another's where there is no instruction of their own."""


@dataclass(frozen=True, slots=True)
class Roofs:
    """`bandwidth`: footprint in bytes -> bytes a second. `operations`: element -> a second."""

    threads: int
    bandwidth: Mapping[int, float]
    operations: Mapping[str, float]

    def bytes_per_second(self, footprint: float) -> float:
        """The bandwidth for that many bytes in use, between measured footprints on a logarithmic scale."""
        sizes = sorted(self.bandwidth)
        footprint = min(max(footprint, sizes[0]), sizes[-1])
        above = next(k for k, size in enumerate(sizes) if size >= footprint)
        if above == 0:
            return self.bandwidth[sizes[0]]
        low, high = sizes[above - 1], sizes[above]
        part = math.log(footprint / low) / math.log(high / low)
        return self.bandwidth[low] * (1 - part) + self.bandwidth[high] * part

    def least_seconds(self, bytes: float, flops: float, element: str) -> float:
        """The time below which this machine cannot do it: the larger of moving and computing."""
        moving = bytes / self.bytes_per_second(bytes)
        rate = self.operations.get(element) or self.operations.get(COMPUTED_AS.get(element, ""))
        return max(moving, flops / rate if rate else 0.0)


def measure(threads: int) -> Roofs:
    """Measure all roofs with `threads` threads: about three seconds."""
    bandwidth = {footprint: _bandwidth(footprint, threads) for footprint in FOOTPRINTS}
    operations = {}
    for element in ("f32", "f64", "bf16", "i8"):
        best = _operations(element, threads)
        if best is not None:
            operations[element] = best
    return Roofs(threads, bandwidth, operations)


def _bandwidth(footprint: int, threads: int) -> float:
    triad = loops.Triad(footprint, threads)
    best = 0.0
    for streaming in (False, True):
        rate = triad.run(1, streaming=streaming)
        times = max(1, int(rate * RUN_SECONDS / footprint))
        best = max(best, *(triad.run(times, streaming=streaming) for _ in range(RUNS)))
    return best


def _operations(element: str, threads: int) -> float | None:
    found = [loops.multiply_adds(element, CHAIN_STEPS * 5, threads) for _ in range(RUNS)]
    rates = [operations / seconds for operations, seconds in (f for f in found if f is not None)]
    return max(rates, default=None)
