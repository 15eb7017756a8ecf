"""How fast other chips would be: this machine's measured seconds, carried over by the roofs of both. Flows
in: a part of a model as it was measured, a chip's published memory bandwidth and peak. Flows out: expected
seconds, marked as a model's.

A part takes at least the larger of its operations over the peak and its bytes over the bandwidth. What this
machine takes above its own such bound, another chip is expected to take above its."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from .. import chips
from .errors import ClusterError
from .profile import Part

OPERATIONS_A_CYCLE = 32.0
"""Single precision, of a core with two units of eight lanes that multiply and add: what is taken for a CPU
whose peak is not published."""
LEAST_EFFICIENCY = 0.02


@dataclass(frozen=True, slots=True)
class Roof:
    """Operations and bytes a second, at most."""

    flops: float
    bytes: float

    def seconds(self, part: Part) -> float:
        """The least time of a part's forward and backward; backward has twice forward's operations."""
        return max(3 * part.flops / self.flops, part.moved / self.bytes)


def measured_roof(threads: int, rounds: int = 5) -> Roof:
    """This machine's, of a product of 768 x 768 x 768 in f32 and a copy of 64 MB."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a = torch.randn(768, 768)
        big, to = torch.zeros(16 << 20), torch.zeros(16 << 20)
        product = min(_seconds(lambda: torch.mm(a, a)) for _ in range(rounds))
        copy = min(_seconds(lambda: to.copy_(big)) for _ in range(rounds))
    finally:
        torch.set_num_threads(before)
    return Roof(2 * 768**3 / product, 2 * big.nbytes / copy)


def published_roof(chip: chips.Chip) -> Roof:
    """What a chip's maker says. Raises ClusterError where the registry knows no bandwidth of it."""
    unit = chip.units[0]
    peak = chip.tflops.get("f32", 0.0) * 1e12
    if not peak and unit.cores and unit.clock_mhz:
        peak = unit.cores * unit.clock_mhz * 1e6 * OPERATIONS_A_CYCLE
    if not peak or not chip.memory_gbs:
        raise ClusterError(
            f"of {chip.identifier} no {'bandwidth' if peak else 'peak'} is recorded.",
            'Name another chip, or run the plan on that machine with chip = "this".',
        )
    return Roof(peak, chip.memory_gbs * 1e9)


def expected(part: Part, here: Roof, there: Roof) -> float:
    """Seconds of a part on another chip."""
    efficiency = min(max(here.seconds(part) / part.seconds, LEAST_EFFICIENCY), 1.0) if part.seconds else 1.0
    return there.seconds(part) / efficiency


def _seconds(run: object) -> float:
    assert callable(run)
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
