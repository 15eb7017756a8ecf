"""Operators launch here what they would launch on a chip: with the tiles of its class, and for the numbers
that it takes. Flows in: a target. Flows out: what decides the kernels for it, and a context in which they are
launched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..compiler.foreign.records import StockTarget
from ..compiler.targets import Target
from ..ops import eight_bits
from ..ops.eight_bits import EightBits
from ..ops.launching import launch_options, launching


@dataclass(frozen=True, slots=True)
class Generation:
    """What operators ask of a chip; as defaults, of the one at hand."""

    tile_class: str = ""
    numbers: EightBits | None = None


def generation_of(target: Target | StockTarget) -> Generation:
    """The generation of a target. CPUs are all as the one at hand."""
    if isinstance(target, Target):
        return Generation()
    if target.backend == "cuda":
        return Generation("simt", eight_bits.of_capability(int(target.architecture)))
    return Generation("simt", EightBits())


@contextmanager
def as_on(generation: Generation) -> Iterator[None]:
    """This thread's operators launch what they would on chips of this generation, while the block is open."""
    now = launch_options()
    if (now.tile_class, now.eight_bits) == (generation.tile_class, generation.numbers):
        yield
        return
    with launching(tile_class=generation.tile_class, eight_bits=generation.numbers):
        yield
