"""The measurements of `anychip demo`: one model, run by PyTorch's operators and by portable kernels.

Flows in: sentences and a batch size. Flows out: a `Demonstration` with the embeddings' similarities
and differences, the operators that ran, the times, and the kernels as TTIR for other chips.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..compiler.foreign.records import ForeignKernel
from ..inspect.compilations import Compilation, compilations
from ..new_process import in_new_process
from ..ops.launching import launching
from ..pytorch import report, using
from ..triton_backend import activate
from . import minilm
from .errors import DemonstrationError

ROUNDS = 9
PAIRS = 10
STEPS = 8
"""How many steps `demonstrate` announces."""
CACHE_SECONDS = 120

Step = Callable[[str], None]
"""Called with what is done next."""


@dataclass(frozen=True)
class Pair:
    """Two sentences and the cosine of the angle between their embeddings."""

    similarity: float
    first: str
    second: str


@dataclass(frozen=True)
class Compiling:
    """Times of making the kernels ready, in milliseconds. `cold`: from TTIR text to machine code;
    `cold_total`: with Triton's front end, writing the cache and loading; `cached`: looking up and
    loading in a new process."""

    kernels: int
    cold_median: float
    cold_sum: float
    cold_total: float
    cached_median: float
    cached_total: float


@dataclass(frozen=True)
class Speed:
    """Milliseconds for one batch of `sentences` with at most `tokens` tokens, median of `rounds`
    interleaved runs of both, and the quartiles of portable / PyTorch round by round."""

    sentences: int
    tokens: int
    threads: int
    rounds: int
    pytorch: float
    portable: float
    ratio: float
    ratio_quartiles: tuple[float, float]


@dataclass(frozen=True)
class OperatorUse:
    """How often an overload was called in one batch, its time in milliseconds, and the kernels that
    served it, each with its launches."""

    operator: str
    overload: str
    calls: int
    milliseconds: float
    kernels: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Demonstration:
    """Everything that the demonstration found on this chip."""

    sentences: int
    pairs: tuple[Pair, ...]
    difference_portable: float
    difference_pytorch: float
    operators: tuple[OperatorUse, ...]
    fell_through: int
    compiling: Compiling
    speed: Speed
    kernels: tuple[Compilation, ...]
    gpu_kernels: tuple[Compilation, ...]
    """The same operators' kernels with the tiles that they have on a GPU."""

    def foreign_kernels(self) -> list[ForeignKernel]:
        """The kernels that ran, for compiling them for other CPUs."""
        return _foreign(self.kernels)

    def foreign_gpu_kernels(self) -> list[ForeignKernel]:
        """The kernels with a GPU's tiles, for compiling them for GPUs."""
        return _foreign(self.gpu_kernels)


def _foreign(kernels: Sequence[Compilation]) -> list[ForeignKernel]:
    return [ForeignKernel(made.kernel, made.ttir, made.num_warps, made.num_stages) for made in kernels]


def demonstrate(sentences: Sequence[str], batch_size: int, step: Step, kernel_ready: Step) -> Demonstration:
    """Run the model by PyTorch and by portable kernels, and compare.

    Raises DemonstrationError when the portable run is not near the float64 run; `kernel_ready` is called
    with the name of each kernel that was compiled.
    """
    activate()
    step("loading the model")
    embedder = minilm.load_embedder(torch.float32)
    batches = minilm.tokenize(sentences, batch_size)
    step("running it in float64")
    exact_embedder = minilm.load_embedder(torch.float64)
    exact = torch.cat([exact_embedder(batch) for batch in batches])
    del exact_embedder
    step("running it by PyTorch's operators")
    pytorch = torch.cat([embedder(batch) for batch in batches])
    with _fresh_kernel_cache():
        step("compiling and running portable kernels")
        with using("strict"), compilations(lambda made: kernel_ready(made.kernel)) as cold:
            ours = torch.cat([embedder(batch) for batch in batches])
        step("taking the kernels from the cache in a new process")
        cached = _compilations(sentences, batch_size)
        step("launching kernels with the tiles of GPUs")
        with_gpu_tiles = _compilations(sentences, batch_size, "simt")
    step("counting operators")
    operators, fell_through = _operators(embedder, batches[0])
    step("timing both")
    speed = _speed(embedder, batches[0])
    pairs = tuple(Pair(*pair) for pair in minilm.most_similar(ours, sentences, PAIRS))
    return Demonstration(
        sentences=len(sentences),
        pairs=pairs,
        difference_portable=float((ours.double() - exact).abs().max()),
        difference_pytorch=float((pytorch.double() - exact).abs().max()),
        operators=operators,
        fell_through=fell_through,
        compiling=_compiling(cold, cached),
        speed=speed,
        kernels=tuple(cold),
        gpu_kernels=tuple(with_gpu_tiles),
    )


@contextmanager
def _fresh_kernel_cache() -> Iterator[None]:
    """An empty kernel cache, for this process and those that it starts; the user's is put back."""
    from triton import knobs

    with (
        tempfile.TemporaryDirectory(prefix="anychip-demo-", ignore_cleanup_errors=True) as folder,
        knobs.cache.scope(),
    ):
        knobs.cache.dir = folder  # Triton sets TRITON_CACHE_DIR with it, for the second process.
        yield


def _compilations(sentences: Sequence[str], batch_size: int, tile_class: str = "") -> list[Compilation]:
    """The compilations of a new process, which finds this one's kernels in the cache and launches with the
    tiles of `tile_class` ("" for those of the device)."""
    what = "the model in another process"
    return in_new_process(what, CACHE_SECONDS, _made_ready, list(sentences), batch_size, tile_class)


def _made_ready(sentences: list[str], batch_size: int, tile_class: str) -> list[Compilation]:
    activate()
    embedder = minilm.load_embedder(torch.float32)
    batches = minilm.tokenize(sentences, batch_size)
    with using("strict"), launching(tile_class=tile_class), compilations() as made:
        for batch in batches:
            embedder(batch)
    return made


def _compiling(cold: Sequence[Compilation], cached: Sequence[Compilation]) -> Compiling:
    missed = [made.kernel for made in cached if not made.from_cache]
    if missed:
        raise DemonstrationError(
            f"kernels were not found in the cache by a second process: {', '.join(missed)}"
        )
    codes = [made.code_seconds * 1e3 for made in cold]
    ready = [(made.prepare_seconds + made.load_seconds) * 1e3 for made in cached]
    return Compiling(
        kernels=len(cold),
        cold_median=statistics.median(codes),
        cold_sum=sum(codes),
        cold_total=sum((made.prepare_seconds + made.code_seconds + made.load_seconds) * 1e3 for made in cold),
        cached_median=statistics.median(ready),
        cached_total=sum(ready),
    )


def _operators(embedder: minilm.Embedder, batch: minilm.Batch) -> tuple[tuple[OperatorUse, ...], int]:
    """What served each operator of one batch, and the number of calls that PyTorch's kernels served."""
    report(reset=True)
    with using("strict"):
        embedder(batch)
    found = report(reset=True)
    uses = [
        OperatorUse(row.operator, row.overload, row.calls, row.milliseconds, row.kernels)
        for row in found.served
    ]
    return tuple(uses), sum(row.calls for row in found.fallen)


def _speed(embedder: minilm.Embedder, batch: minilm.Batch) -> Speed:
    pytorch: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        pytorch.append(_milliseconds(embedder, batch))
        with using("strict"):
            ours.append(_milliseconds(embedder, batch))
    ratios = [b / a for a, b in zip(pytorch, ours, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    return Speed(
        sentences=batch.input_ids.shape[0],
        tokens=batch.input_ids.shape[1],
        threads=torch.get_num_threads(),
        rounds=ROUNDS,
        pytorch=statistics.median(pytorch),
        portable=statistics.median(ours),
        ratio=statistics.median(ratios),
        ratio_quartiles=(quartiles[0], quartiles[2]),
    )


def _milliseconds(embedder: minilm.Embedder, batch: minilm.Batch) -> float:
    start = time.perf_counter()
    embedder(batch)
    return (time.perf_counter() - start) * 1e3
