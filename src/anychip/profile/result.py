"""What a profile is: rows by kernel and by operator, compilations, memory, stacks; as JSON and back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import AnychipError

FORMAT = 1


class UnreadableProfile(AnychipError):
    """A file is no profile of ours."""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One kernel. Seconds are those of its launches, from begin to end on the calling thread. `bytes` and
    `operations` are None where they depend on memory. `least_seconds` is the time that the measured roofs
    allow, None where nobody measured. `imbalance`: by how much the thread that worked longest exceeds the
    mean of its team (0.1: 10 %), over launches of several threads; `overhead_seconds`: what those launches
    took beyond it."""

    kernel: str
    launches: int
    seconds: float
    share: float
    operators: tuple[str, ...] = ()
    bytes: int | None = None
    operations: int | None = None
    element: str = ""
    least_seconds: float | None = None
    threads: int = 1
    imbalance: float | None = None
    overhead_seconds: float | None = None

    @property
    def roof_share(self) -> float | None:
        """Of the speed that the measured roofs allow."""
        return self.least_seconds / self.seconds if self.least_seconds is not None and self.seconds else None


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One overload. `own_seconds` leaves out overloads called inside; `kernel_seconds` is the part spent in
    kernels, so that the rest is dispatch, allocation and launching."""

    overload: str
    calls: int
    seconds: float
    own_seconds: float
    kernel_seconds: float
    launches: int


@dataclass(frozen=True, slots=True)
class CompilationRow:
    """A kernel made ready: seconds of Triton's front end and cache, of our compiler, and of loading."""

    kernel: str
    from_cache: bool
    prepare_seconds: float
    code_seconds: float
    load_seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything; see the rows. `stacks` are frames from the outermost in, with how often they were seen;
    `memory` rows of seconds since the start, bytes of the process, bytes of scratch. `left_out` says in
    words what no figure covers."""

    command: str
    seconds: float
    processor_seconds: float
    threads: int
    kernels: tuple[KernelRow, ...]
    operators: tuple[OperatorRow, ...]
    fallen: tuple[tuple[str, str, int], ...] = ()
    compilations: tuple[CompilationRow, ...] = ()
    memory: tuple[tuple[float, int, int], ...] = ()
    ranges: tuple[tuple[str, int, float], ...] = ()
    stacks: tuple[tuple[tuple[str, ...], int], ...] = ()
    left_out: tuple[str, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)
    roofs: dict[str, float] = field(default_factory=dict)

    @property
    def cache_hits(self) -> int:
        """Kernels that came from Triton's cache."""
        return sum(row.from_cache for row in self.compilations)

    @property
    def kernel_seconds(self) -> float:
        """Seconds in kernels, launches of all threads together."""
        return sum(row.seconds for row in self.kernels)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"format": FORMAT, **asdict(self), "cache_hits": self.cache_hits}

    def with_counters(self, counters: dict[str, float], left_out: tuple[str, ...] = ()) -> Profile:
        """With what hardware counted."""
        return replace(self, counters=counters, left_out=(*self.left_out, *left_out))


def from_json(data: Any) -> Profile:
    """A profile from what `to_json` gave. Raises UnreadableProfile."""
    try:
        if data["format"] != FORMAT:
            raise UnreadableProfile(f"a profile of format {data['format']!r}; this version reads {FORMAT}")
        given = {f.name: data[f.name] for f in fields(Profile)}
        given["kernels"] = tuple(
            KernelRow(**{**row, "operators": tuple(row["operators"])}) for row in given["kernels"]
        )
        given["operators"] = tuple(OperatorRow(**row) for row in given["operators"])
        given["compilations"] = tuple(CompilationRow(**row) for row in given["compilations"])
        given["stacks"] = tuple((tuple(frames), count) for frames, count in given["stacks"])
        for name in ("fallen", "memory", "ranges"):
            given[name] = tuple(tuple(row) for row in given[name])
        given["left_out"] = tuple(given["left_out"])
        return Profile(**given)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableProfile(f"no profile of `anychip profile --json`: {error!r}") from None


def read(file: Path) -> Profile:
    """The profile in a file. Raises UnreadableProfile."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableProfile(f"{file} cannot be read: {error}") from None
    return from_json(data)
