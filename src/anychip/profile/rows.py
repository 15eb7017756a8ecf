"""From events to rows: what a profiler gathered, added up by kernel and by operator.

Time inside of an operator is told from time of operators that it called by the nesting of their spans on a
thread."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..runtime.native.structures import EventKind
from .events import Event
from .foreign_events import Span
from .result import CompilationRow, KernelRow, OperatorRow, Profile
from .work import Integers, KernelWork, kernel_work

if TYPE_CHECKING:
    from .profiler import Profiler

SECOND = 1e-9
MOST_COUNTED = 4096
"""Launches that differ in kernel, integers or grid and whose work is counted, those that took longest
first."""


Like = tuple[KernelWork | None, Integers, tuple[int, int, int]]
"""What launches of the same work have in common: the kernel, its integers, the grid."""


@dataclass
class _Kernel:
    """Sums over the launches of one kernel."""

    launches: int = 0
    nanoseconds: int = 0
    operators: Counter[str] = field(default_factory=Counter)
    threads: int = 1
    team_busy: float = 0.0
    team_longest: int = 0
    team_nanoseconds: int = 0
    like: dict[Like, list[int]] = field(default_factory=dict)
    """Number of launches, and nanoseconds."""


@dataclass
class _Operator:
    calls: int = 0
    nanoseconds: int = 0
    own: int = 0
    kernels: int = 0
    launches: int = 0


class Callers:
    """Which call a launch belongs to: the innermost on its thread that was open."""

    def __init__(self, calls: Sequence[Span]) -> None:
        self.own: list[int] = []
        """Nanoseconds of each call without those inside."""
        self.calls = sorted(calls, key=lambda call: (call.thread, call.begin, -call.end))
        self._parents: list[int] = []
        self._begins: dict[int, tuple[list[int], list[int]]] = {}
        open_: list[int] = []
        for number, call in enumerate(self.calls):
            while open_ and (
                self.calls[open_[-1]].thread != call.thread or self.calls[open_[-1]].end < call.end
            ):
                open_.pop()
            self._parents.append(open_[-1] if open_ else -1)
            self.own.append(call.end - call.begin)
            if open_:
                self.own[open_[-1]] -= call.end - call.begin
            open_.append(number)
            begins, numbers = self._begins.setdefault(call.thread, ([], []))
            begins.append(call.begin)
            numbers.append(number)

    def around(self, thread: int, nanoseconds: int) -> int:
        """The number of the innermost call at a time, -1 where there is none."""
        begins, numbers = self._begins.get(thread, ([], []))
        place = bisect_right(begins, nanoseconds) - 1
        number = numbers[place] if place >= 0 else -1
        while number >= 0 and self.calls[number].end < nanoseconds:
            number = self._parents[number]
        return number


def profile(profiler: Profiler, roofs: Any, command: str, threads: int) -> Profile:
    """All rows of what a profiler gathered."""
    callers = Callers(profiler.calls())
    kernels, operators = _sums(profiler, callers)
    total = sum(sums.nanoseconds for sums in kernels.values()) or 1
    counted = _most_expensive(kernels)
    made = [_kernel(name, sums, total, counted, roofs) for name, sums in kernels.items()]
    seconds = (profiler.end - profiler.begin) * SECOND
    running = kernel_at_samples(profiler)
    return Profile(
        command=command,
        seconds=seconds,
        processor_seconds=profiler.processor_seconds,
        threads=threads,
        kernels=tuple(sorted(made, key=lambda row: -row.seconds)),
        operators=tuple(_operators(operators)),
        fallen=tuple((overload, reason, number) for (overload, reason), number in profiler.fallen.items()),
        compilations=tuple(
            CompilationRow(c.kernel, c.from_cache, c.prepare_seconds, c.code_seconds, c.load_seconds)
            for c in profiler.compiled
        ),
        memory=tuple(
            ((sample.nanoseconds - profiler.begin) * SECOND, sample.resident, sample.scratch)
            for sample in profiler.sampler.memory
        ),
        ranges=tuple(_ranges(profiler.ranges)),
        stacks=tuple(profiler.sampler.folded(running).most_common()),
        left_out=tuple(_left_out(profiler, made)),
        roofs=_limits(roofs),
    )


def _limits(roofs: Any) -> dict[str, float]:
    """Two of the measured limits, for a drawing: memory's at the largest footprint, arithmetic's in
    float32."""
    if roofs is None:
        return {}
    return {
        "bytes_per_second": roofs.bandwidth[max(roofs.bandwidth)],
        "operations_per_second": roofs.operations.get("f32", 0.0),
    }


def kernel_at_samples(profiler: Profiler) -> dict[int, str]:
    """The kernel that ran on the thread of each sample, by the sample's number."""
    launched: dict[int, list[Event]] = defaultdict(list)
    for event in profiler.events:
        if event.kind == EventKind.LAUNCH:
            launched[event.thread].append(event)
    ends = {thread: [event.end for event in events] for thread, events in launched.items()}
    found = {}
    for number, (time, thread, _) in enumerate(profiler.sampler.samples):
        place = bisect_right(ends.get(thread, []), time)
        if place < len(launched.get(thread, [])) and launched[thread][place].begin <= time:
            found[number] = profiler.kernel_name(launched[thread][place])
    return found


def _sums(profiler: Profiler, callers: Callers) -> tuple[dict[str, _Kernel], dict[str, _Operator]]:
    kernels: dict[str, _Kernel] = defaultdict(_Kernel)
    operators: dict[str, _Operator] = defaultdict(_Operator)
    for number, call in enumerate(callers.calls):
        sums = operators[call.name]
        sums.calls += 1
        sums.nanoseconds += call.end - call.begin
        sums.own += callers.own[number]
    for event in profiler.events:
        if event.kind != EventKind.LAUNCH:
            continue
        own = kernels[profiler.kernel_name(event)]
        own.launches += 1
        own.nanoseconds += event.nanoseconds
        if event.members > 1 and event.longest:
            own.threads = max(own.threads, event.members)
            own.team_busy += event.busy / event.members
            own.team_longest += event.longest
            own.team_nanoseconds += event.nanoseconds
        caller = callers.around(event.thread, event.begin)
        if caller >= 0:
            sums = operators[callers.calls[caller].name]
            sums.kernels += event.nanoseconds
            sums.launches += 1
            own.operators[callers.calls[caller].name] += 1
        ttir = profiler.ttir_of(event)
        counter = kernel_work(ttir) if ttir else None
        integers = counter.integers(event.slots) if counter is not None else ()
        number = own.like.setdefault((counter, integers, event.grid), [0, 0])
        number[0] += 1
        number[1] += event.nanoseconds
    return kernels, operators


def _most_expensive(kernels: dict[str, _Kernel]) -> set[Like]:
    """The launches whose work is counted; each counting may take milliseconds."""
    every = [(time, key) for sums in kernels.values() for key, (_, time) in sums.like.items()]
    return {key for _, key in sorted(every, key=lambda row: -row[0])[:MOST_COUNTED]}


def _kernel(name: str, sums: _Kernel, total: int, counted: set[Like], roofs: Any) -> KernelRow:
    bytes_: int | None = 0
    operations: int | None = 0
    least: float | None = 0.0 if roofs is not None else None
    element = ""
    for like, (launches, _) in sums.like.items():
        counter, integers, grid = like
        work = counter.of(integers, grid) if counter is not None and like in counted else None
        element = work.element if work is not None else element
        known = work is not None and work.bytes is not None and work.operations is not None
        if work is None or work.bytes is None or bytes_ is None:
            bytes_ = None
        else:
            bytes_ += launches * work.bytes
        if work is None or work.operations is None or operations is None:
            operations = None
        else:
            operations += launches * work.operations
        if roofs is not None and least is not None and known and work is not None:
            least += launches * roofs.least_seconds(work.bytes, work.operations, work.element)
        else:
            least = None
    return KernelRow(
        kernel=name,
        launches=sums.launches,
        seconds=sums.nanoseconds * SECOND,
        share=sums.nanoseconds / total,
        operators=tuple(name for name, _ in sums.operators.most_common(3)),
        bytes=bytes_,
        operations=operations,
        element=element,
        least_seconds=least,
        threads=sums.threads,
        imbalance=sums.team_longest / sums.team_busy - 1 if sums.team_busy else None,
        overhead_seconds=(sums.team_nanoseconds - sums.team_longest) * SECOND if sums.team_longest else None,
    )


def _operators(sums: dict[str, _Operator]) -> list[OperatorRow]:
    rows = [
        OperatorRow(name, s.calls, s.nanoseconds * SECOND, s.own * SECOND, s.kernels * SECOND, s.launches)
        for name, s in sums.items()
    ]
    return sorted(rows, key=lambda row: -row.own_seconds)


def _ranges(spans: Sequence[Span]) -> list[tuple[str, int, float]]:
    calls, seconds = Counter[str](), Counter[str]()
    for span in spans:
        calls[span.name] += 1
        seconds[span.name] += span.end - span.begin
    return [(name, calls[name], time * SECOND) for name, time in seconds.most_common()]


def _left_out(profiler: Profiler, kernels: Sequence[KernelRow]) -> list[str]:
    """What the figures do not cover, in words."""
    told = profiler.losses()
    for overload, number in Counter(
        {overload: number for (overload, _), number in profiler.fallen.items()}
    ).most_common():
        told.append(f"{overload} x{number}: PyTorch's own kernels; neither operations nor bytes are counted")
    unknown = [row.kernel for row in kernels if row.operations is None]
    if unknown:
        told.append(
            f"operations of {', '.join(sorted(unknown))}: loops whose length is in memory, or kernels whose "
            "source is gone"
        )
    return told
