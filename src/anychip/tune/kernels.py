"""Constants of a user's kernel: its block sizes. Flows in: a kernel with its types, constants and values of
its scalars. Flows out: each candidate with its time, and an entry of the tuning database.

Buffers are made for the pointers, filled with small numbers; a candidate that writes anything else into
them than the constants to begin with is no candidate.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import triton

from ..compiler.targets.host import host
from ..tuning.entry import KERNEL, Entry
from ..tuning.size_class import parameter
from .budget import Budget
from .errors import TuneError
from .measure import least
from .search import Sizes, Space, Step, descend

DTYPES = {
    "i1": torch.bool, "i8": torch.int8, "i16": torch.int16, "i32": torch.int32, "i64": torch.int64,
    "u8": torch.uint8, "u1": torch.bool, "fp16": torch.float16, "bf16": torch.bfloat16,
    "fp32": torch.float32, "fp64": torch.float64,
}  # fmt: skip


@dataclass(frozen=True)
class KernelSubject:
    """A kernel: `types` in Triton's notation by parameter, `constants` among them, `scalars` the values of
    numbers, `elements` the length of every buffer, `grid` one expression an axis, in which parameters and
    `cdiv` may stand. `tunable` are the constants that are searched over."""

    name: str
    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    scalars: Mapping[str, float]
    elements: int
    grid: tuple[str, ...]
    tunable: tuple[str, ...]
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def fill(self) -> None:
        """Make the buffers, with the same contents each time."""
        generator = torch.Generator().manual_seed(0)
        for name, kind in self.types.items():
            if not kind.startswith("*"):
                continue
            dtype = DTYPES.get(kind.lstrip("*k"))
            if dtype is None:
                raise TuneError(f"{self.name}: no buffer can be made for {name} of type {kind}.")
            drawn = torch.rand(self.elements, generator=generator)
            self.buffers[name] = (drawn if dtype.is_floating_point else drawn * 2).to(dtype)

    def launch(self, sizes: Sizes) -> None:
        """Launch once with these constants."""
        constants = {**self.constants, **sizes}
        values: dict[str, Any] = {}
        for name, kind in self.types.items():
            if kind == "constexpr":
                values[name] = constants[name]
            else:
                values[name] = self.buffers[name] if kind.startswith("*") else self.scalars[name]
        self.kernel[self._grid({**self.scalars, **constants})](**values)

    def _grid(self, names: Mapping[str, Any]) -> tuple[int, ...]:
        scope = {"__builtins__": {}, "cdiv": triton.cdiv, "min": min, "max": max, **names}
        try:
            return tuple(int(eval(text, scope)) for text in self.grid)
        except Exception as error:
            raise TuneError(f"{self.name}: the grid {', '.join(self.grid)} has no value: {error}") from error


def search(
    subject: KernelSubject, budget: Budget, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Step]:
    """The steps of the search; the last one's `best` is the result. Raises TuneError where the kernel
    cannot run with the constants to begin with."""
    start = {name: int(subject.constants[name]) for name in subject.tunable}
    try:
        expected = _written(subject, start)
    except TuneError:
        raise
    except Exception as error:
        raise TuneError(f"{subject.name} does not run with {start}: {error}") from error
    space = Space(bytes=host().cache_bytes * 4, programs=1, product=True, least=8, most=1 << 16)

    def measure(candidates: list[Sizes]) -> list[float | None]:
        right = {k: sizes for k, sizes in enumerate(candidates) if _agrees(subject, sizes, expected)}
        times = least({k: _launching(subject, sizes) for k, sizes in right.items()}, budget, clock)
        return [times.get(k) for k in range(len(candidates))]

    yield from descend(start, space, measure, budget)


def entry(subject: KernelSubject, best: Sizes, seconds: dict[str, float], chip: str) -> Entry:
    """Tuned constants as an entry of the database, keyed by the kernel's source."""
    sizes = [f"{name}={parameter(int(value))}" for name, value in sorted(subject.scalars.items())]
    types = [f"{name}:{kind}" for name, kind in subject.types.items() if kind != "constexpr"]
    return Entry(
        kind=KERNEL, subject=subject.name, signature=" ".join([*types, *sizes]),
        source=source(subject.kernel), chip=chip, values=dict(best), seconds=seconds,
        made=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )  # fmt: skip


def source(kernel: Any) -> str:
    """The digest of a kernel's source and of all that it depends on."""
    return hashlib.sha256(kernel.cache_key.encode()).hexdigest()[:16]


def _launching(subject: KernelSubject, sizes: Sizes) -> Callable[[], Any]:
    return lambda: subject.launch(sizes)


def _written(subject: KernelSubject, sizes: Sizes) -> dict[str, torch.Tensor]:
    subject.fill()
    subject.launch(sizes)
    return {name: buffer.clone() for name, buffer in subject.buffers.items()}


def _agrees(subject: KernelSubject, sizes: Sizes, expected: Mapping[str, torch.Tensor]) -> bool:
    """Whether a launch writes what the first constants wrote, but for the order of sums."""
    try:
        found = _written(subject, sizes)
    except Exception:  # constants that the kernel cannot take
        return False
    return all(
        torch.allclose(found[name].double(), expected[name].double(), rtol=1e-3, atol=1e-3, equal_nan=True)
        for name in expected
    )
