"""Machine code of the same operators' kernels for other chips, for the demonstration.

Flows in: the kernels that were launched, as TTIR, with the tiles of CPUs and with those of GPUs. Flows
out: for each chip the bytes of machine code of every kernel, or what its compiler said instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .. import chips
from ..compiler.foreign.client import WorkerProcess
from ..compiler.foreign.records import ForeignKernel, Record, Request, StockTarget
from ..compiler.foreign.routes import resolve

TARGETS = (
    "sm_90",
    "sm_120",
    "gfx942",
    "gfx1100",
    "cortex-a76",
    "neoverse-v1",
    "spacemit-x60",
    "la464",
    "power10",
    "wasm32",
)
"""What the demonstration compiles for: two makers' GPUs and five more instruction sets."""

TIME_LIMIT = 120.0


@dataclass(frozen=True)
class ChipResult:
    """What became of the kernels on one target: `kernels` of them were made, `errors` holds (kernel, message)
    of those that failed."""

    target: str
    product: str
    compiler: str
    format: str
    kernels: int
    code_bytes: tuple[tuple[str, int], ...]
    seconds: float
    errors: tuple[tuple[str, str], ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of machine code of all kernels together."""
        return sum(size for _, size in self.code_bytes)

    @property
    def tried(self) -> int:
        """How many kernels there were."""
        return self.kernels + len(self.errors)


def compile_everywhere(
    kernels: Sequence[ForeignKernel],
    gpu_kernels: Sequence[ForeignKernel],
    jobs: int,
    on_kernel: Callable[[], None],
) -> list[ChipResult]:
    """Compile `kernels` for the CPUs among `TARGETS` and `gpu_kernels` for the GPUs, in `jobs` worker
    processes at a time.

    `on_kernel` is called (from any thread) after each kernel.
    """
    workers = threading.local()
    opened: list[WorkerProcess] = []

    def compile_one(target: str) -> ChipResult:
        if not hasattr(workers, "process"):
            workers.process = WorkerProcess()
            opened.append(workers.process)
        chosen = resolve(target)
        records = []
        for kernel in gpu_kernels if isinstance(chosen, StockTarget) else kernels:
            records.append(workers.process.ask(Request(kernel, target, chosen), TIME_LIMIT))
            on_kernel()
        compiler = "stock Triton" if isinstance(chosen, StockTarget) else "Anychip"
        return _result(target, compiler, records)

    try:
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            return list(pool.map(compile_one, TARGETS))
    finally:
        for process in opened:
            process.close()


def number_of(kernels: Sequence[ForeignKernel], gpu_kernels: Sequence[ForeignKernel]) -> int:
    """How many compilations `compile_everywhere` does."""
    gpus = sum(isinstance(resolve(target), StockTarget) for target in TARGETS)
    return gpus * len(gpu_kernels) + (len(TARGETS) - gpus) * len(kernels)


def product_with(target: str) -> str:
    """The first chip of the registry that has a unit with this target; empty when there is none."""
    for chip in chips.all():
        if any(unit.target == target for unit in chip.units):
            return f"{chip.manufacturer.name} {chip.name}"
    return ""


def _result(target: str, compiler: str, records: Sequence[Record]) -> ChipResult:
    made = [record for record in records if record.ok]
    return ChipResult(
        target=target,
        product=product_with(target),
        compiler=compiler,
        format=made[0].object_format if made else "",
        kernels=len(made),
        code_bytes=tuple((record.kernel, record.code_bytes) for record in made),
        seconds=sum(record.seconds for record in records),
        errors=tuple((record.kernel, record.error) for record in records if not record.ok),
    )
