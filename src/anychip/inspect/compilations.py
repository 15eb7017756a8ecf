"""Listen to the kernels that Triton compiles or takes from its cache.

Flows in: whatever runs while the context is open. Flows out: one `Compilation` per kernel and
specialisation, with its TTIR and the time that it took to compile and to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MICROSECOND = 1e-6


@dataclass
class Compilation:
    """One kernel made ready. Seconds: `prepare_seconds` for looking it up in the cache and, when it is
    not there, for Triton's front end and writing the cache; `code_seconds` from TTIR text to machine
    code (0 for a kernel from the cache); `load_seconds` from object code to a callable address."""

    kernel: str
    hash: str
    ttir: str
    signature: dict[str, str]
    from_cache: bool
    prepare_seconds: float
    code_seconds: float
    num_warps: int
    num_stages: int
    load_seconds: float = 0.0


@contextmanager
def compilations(on_compilation: Callable[[Compilation], None] | None = None) -> Iterator[list[Compilation]]:
    """Collect the compilations made while the context is open, in order; `on_compilation` is told each."""
    from triton import knobs

    collected: list[Compilation] = []
    before = knobs.compilation.listener
    started: dict[str, float] = {}

    def listen(**event: Any) -> None:
        collected.append(_compilation(**event))
        if on_compilation is not None:
            on_compilation(collected[-1])
        if before is not None:
            before(**event)

    def load_starts(module: Any, function: Any, name: str, metadata_group: Any, hash: str) -> None:
        started[hash] = time.perf_counter()

    def load_ends(module: Any, function: Any, name: str, metadata_group: Any, hash: str) -> None:
        seconds = time.perf_counter() - started.pop(hash)
        for compilation in collected:
            if compilation.hash == hash:
                compilation.load_seconds += seconds

    knobs.compilation.listener = listen
    knobs.runtime.kernel_load_start_hook.add(load_starts)
    knobs.runtime.kernel_load_end_hook.add(load_ends)
    try:
        yield collected
    finally:
        knobs.compilation.listener = before
        knobs.runtime.kernel_load_start_hook.remove(load_starts)
        knobs.runtime.kernel_load_end_hook.remove(load_ends)


def _compilation(
    *, src: Any, metadata: dict[str, Any], metadata_group: dict[str, str], times: Any, cache_hit: bool
) -> Compilation:
    texts = [Path(path) for file, path in metadata_group.items() if file.endswith(".ttir")]
    code = sum(duration for stage, duration in times.lowering_stages if stage != "ttir")
    front_end = sum(duration for stage, duration in times.lowering_stages if stage == "ttir")
    names = list(src.signature)
    constants = {names[place[0]]: repr(value) for place, value in src.constants.items() if len(place) == 1}
    return Compilation(
        kernel=src.name,
        hash=metadata["hash"],
        ttir=texts[0].read_text(encoding="utf-8") if texts else "",
        signature={name: constants.get(name, str(kind)) for name, kind in src.signature.items()},
        from_cache=cache_hit,
        prepare_seconds=(times.ir_initialization + front_end + times.store_results) * MICROSECOND,
        code_seconds=code * MICROSECOND,
        num_warps=metadata["num_warps"],
        num_stages=metadata["num_stages"],
    )
