"""Constants and the schedule of a user's kernel. Flows in: a kernel with its types, constants and values of
its scalars. Flows out: each candidate with its time, and entries of the tuning database.

Buffers are made for the pointers, filled with small numbers; a candidate that writes anything else into
them than the constants to begin with is no candidate. Of a kernel with an autotuner, the constants are those
of its configurations.
"""

from __future__ import annotations

import datetime
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import triton

from ..compiler.schedule.choices import VALUES
from ..compiler.targets.host import host
from ..measurements.entry import KERNEL, Entry
from ..triton_backend import choosing
from ..triton_backend.autotuning import class_of
from ..triton_backend.origin import Origin, front_end
from . import cost, machine
from .budget import Budget
from .errors import TuneError
from .measure import least
from .search import CHOICES, Expected, Point, Space, Step, descend
from .tiles import schedule_entry
from .trial import Launched, choices_of, values_of

_log = logging.getLogger(__name__)

DTYPES = {
    "i1": torch.bool,
    "i8": torch.int8,
    "i16": torch.int16,
    "i32": torch.int32,
    "i64": torch.int64,
    "u8": torch.uint8,
    "u1": torch.bool,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
    "fp64": torch.float64,
}
CONFIGURATION = "configuration"
"""The dimension of a search over an autotuner's configurations: their numbers."""


@dataclass(frozen=True)
class TunedKernel:
    """A kernel: `types` in Triton's notation by parameter, `constants` among them, `scalars` the values of
    numbers, `elements` the length of every buffer, `grid` one expression an axis, in which parameters and
    `cdiv` may stand. `tunable` are the constants that are searched over; with `configurations`, the constants
    of an autotuner's, they take their values from these."""

    name: str
    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    scalars: Mapping[str, float]
    elements: int
    grid: tuple[str, ...]
    tunable: tuple[str, ...]
    configurations: Sequence[Mapping[str, Any]] = ()
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def start(self) -> dict[str, Any]:
        """The point to begin with."""
        names = tuple(VALUES) if torch.get_num_threads() > 1 else tuple(n for n in VALUES if n != "grain")
        sizes = (
            {CONFIGURATION: 0} if self.configurations else {n: int(self.constants[n]) for n in self.tunable}
        )
        return {**sizes, **{name: CHOICES[name][0] for name in names}}

    def constants_at(self, point: Point) -> dict[str, Any]:
        """The constants of a point."""
        number = point.get(CONFIGURATION)
        chosen = self.configurations[number] if isinstance(number, int) else {}
        return {**self.constants, **chosen, **{name: point[name] for name in self.tunable if name in point}}

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

    def launch(self, point: Point) -> Any:
        """Launch once at this point; returns what Triton compiled."""
        values = self.values(point)
        schedule = str(choices_of(point))
        option = {"anychip_schedule": schedule} if schedule else {}
        return self.kernel[self.grid_at(point)](**values, **option)

    def values(self, point: Point) -> dict[str, Any]:
        """The arguments of a launch by name."""
        constants = self.constants_at(point)
        return {
            name: constants[name] if kind == "constexpr" else self.buffers.get(name, self.scalars.get(name))
            for name, kind in self.types.items()
        }

    def grid_at(self, point: Point) -> tuple[int, ...]:
        """The grid at a point. Raises TuneError for one without a value."""
        constants = {**self.scalars, **self.constants_at(point)}
        scope = {"__builtins__": {}, "cdiv": triton.cdiv, "min": min, "max": max, **constants}
        try:
            return tuple(int(eval(text, scope)) for text in self.grid)
        except Exception as error:
            raise TuneError(f"{self.name}: the grid {', '.join(self.grid)} has no value: {error}") from error


def search(
    tuned: TunedKernel, budget: Budget, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Step]:
    """The steps of the search; the last one's `best` is the result. Raises TuneError where the kernel
    cannot run with the constants to begin with."""
    start = tuned.start()
    alternatives = {name: CHOICES[name] for name in start if name in CHOICES}
    if tuned.configurations:
        alternatives[CONFIGURATION] = tuple(range(len(tuned.configurations)))
    space = Space(
        bytes=host().cache_bytes * 4, product=True, least=8, most=1 << 16, alternatives=alternatives
    )
    with choosing.by_rules():
        try:
            expected = _written(tuned, start)
        except TuneError:
            raise
        except Exception as error:
            raise TuneError(f"{tuned.name} does not run with {dict(start)}: {error}") from error

        def measure(candidates: list[Point]) -> list[float | None]:
            right = {k: point for k, point in enumerate(candidates) if _agrees(tuned, point, expected)}
            times = least({k: _launching(tuned, point) for k, point in right.items()}, budget, clock)
            return [times.get(k) for k in range(len(candidates))]

        asked = functools.cache(lambda plain: launched(tuned, dict(plain)))
        yield from descend(start, space, measure, budget, lambda point: _expected(tuned.name, asked, point))


def _expected(name: str, asked: Callable[..., Launched], point: Point) -> Expected:
    """What the cost model expects of a point; `asked` gives the launch for the items that are no choices."""
    try:
        launch = asked(tuple((key, value) for key, value in point.items() if key not in CHOICES))
        here = machine.this(torch.get_num_threads())
        said = cost.estimate(
            launch.ttir(), launch.arguments, launch.grid, choices_of(point), here, launch.bytes
        )
    except Exception as error:  # of our compiler's or of Triton's front end: measuring will tell
        _log.debug("%s %s: no estimate: %s", name, dict(point), error)
        return Expected()
    return Expected(said.cycles, said.code)


def launched(tuned: TunedKernel, point: Point) -> Launched:
    """The launch at a point, without compiling it. Raises what Triton's front end raises."""
    plain = {name: value for name, value in point.items() if name not in CHOICES}
    grid = tuned.grid_at(plain)
    values = tuned.values(plain)
    with choosing.by_rules(compile=False):
        try:
            compiled = tuned.launch(plain)
            source, ttir = compiled.src, Origin(compiled.src, compiled.metadata).ttir
        except choosing.NotCompiled as new:
            source, ttir = new.source, functools.partial(front_end, new.source, new.target, vars(new.options))
    return Launched(source, grid, values_of(source, values), functools.cache(ttir))


def entries(tuned: TunedKernel, best: Point, seconds: Mapping[str, float], chip: str) -> list[Entry]:
    """What was found as entries of the database, keyed by the kernel's source: constants, and the schedule of
    the kernel that is compiled with them."""
    constants = tuned.constants_at(best)
    changed = tuned.configurations[0] if tuned.configurations else tuned.tunable
    found = Entry(
        kind=KERNEL,
        subject=tuned.kernel.__name__,
        signature=class_of(tuned.types, tuned.scalars),
        source=choosing.source(tuned.kernel),
        chip=chip,
        values={name: constants[name] for name in changed},
        seconds=dict(seconds),
        made=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    chosen = {name: value for name, value in best.items() if name in VALUES and value}
    return [found, schedule_entry(launched(tuned, best).source, chosen, seconds, chip)]


def _launching(tuned: TunedKernel, point: Point) -> Callable[[], Any]:
    return lambda: tuned.launch(point)


def _written(tuned: TunedKernel, point: Point) -> dict[str, torch.Tensor]:
    tuned.fill()
    tuned.launch(point)
    return {name: buffer.clone() for name, buffer in tuned.buffers.items()}


def _agrees(tuned: TunedKernel, point: Point, expected: Mapping[str, torch.Tensor]) -> bool:
    """Whether a launch writes what the first constants wrote, but for the order of sums."""
    try:
        found = _written(tuned, point)
    except Exception as error:  # constants that the kernel cannot take
        _log.debug("%s %s: %s", tuned.name, dict(point), error)
        return False
    return all(
        torch.allclose(found[name].double(), expected[name].double(), rtol=1e-3, atol=1e-3, equal_nan=True)
        for name in expected
    )
