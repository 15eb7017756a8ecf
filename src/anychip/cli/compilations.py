"""Listen to the kernels that Triton compiles or takes from its cache.

Flows in: whatever runs while the context is open. Flows out: one `Compilation` per kernel and
specialisation, with its TTIR and the time it took.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MICROSECOND = 1e-6


@dataclass(frozen=True)
class Compilation:
    """One kernel made ready. `code_seconds` is our part, from TTIR text to machine code (0 for a hit);
    `seconds` the whole: looking in the cache, Triton's front end, our compiler, writing the cache."""

    kernel: str
    ttir: str
    signature: dict[str, str]
    from_cache: bool
    seconds: float
    code_seconds: float
    num_warps: int
    num_stages: int


@contextmanager
def compilations() -> Iterator[list[Compilation]]:
    """Collect the compilations made while the context is open, in order."""
    from triton import knobs

    collected: list[Compilation] = []
    before = knobs.compilation.listener

    def listen(**event: Any) -> None:
        collected.append(_compilation(**event))
        if before is not None:
            before(**event)

    knobs.compilation.listener = listen
    try:
        yield collected
    finally:
        knobs.compilation.listener = before


def _compilation(
    *, src: Any, metadata: dict[str, Any], metadata_group: dict[str, str], times: Any, cache_hit: bool
) -> Compilation:
    texts = [Path(path) for file, path in metadata_group.items() if file.endswith(".ttir")]
    stages = dict(times.lowering_stages)
    code = sum(time for name, time in stages.items() if name != "ttir")
    whole = times.ir_initialization + sum(stages.values()) + times.store_results
    names = list(src.signature)
    constants = {names[place[0]]: repr(value) for place, value in src.constants.items() if len(place) == 1}
    return Compilation(
        kernel=src.name,
        signature={name: constants.get(name, str(kind)) for name, kind in src.signature.items()},
        ttir=texts[0].read_text(encoding="utf-8") if texts else "",
        from_cache=cache_hit,
        seconds=whole * MICROSECOND,
        code_seconds=code * MICROSECOND,
        num_warps=metadata["num_warps"],
        num_stages=metadata["num_stages"],
    )
