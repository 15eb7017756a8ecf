"""One point of a search put in force: sizes of tiles and the scheduler's choices, for the calls in a block.

Flows in: a point and the tiles that it has sizes of. Flows out: which kernels were launched with it, or,
where nothing may be compiled, the first one that would have to be."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..compiler.schedule.choices import VALUES, Choices, of
from ..ops import tuned
from ..ops.launching import Tiles
from ..triton_backend import choosing
from ..triton_backend.origin import Origin, front_end
from .search import Point

SEPARATOR = ":"
"""Between the name of a set of tiles and that of a size."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A launch: what Triton compiled, or would compile, the `grid`, the values of the parameters that are no
    constants, and how to have the kernel's TTIR."""

    source: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    ttir: Callable[[], str]

    @property
    def bytes(self) -> int:
        """Memory that the tensors among the arguments hold."""
        return sum(a.numel() * a.element_size() for a in self.arguments if isinstance(a, torch.Tensor))


class Unseen(Exception):
    """A launch whose kernel is not compiled; `before` are those that came before it."""

    def __init__(self, launched: Launched, before: Sequence[Launched]):
        super().__init__(launched.source.name)
        self.launched, self.before = launched, tuple(before)


def choices_of(point: Point) -> Choices:
    """The scheduler's choices in a point."""
    return of({name: value for name, value in point.items() if name in VALUES})


def sizes_of(point: Point, tiles: Mapping[str, Tiles]) -> dict[Tiles, dict[str, int]]:
    """The sizes of tiles in a point."""
    found: dict[Tiles, dict[str, int]] = {}
    for name, value in point.items():
        owner, separator, size = name.partition(SEPARATOR)
        if separator and isinstance(value, int):
            found.setdefault(tiles[owner], {})[size] = value
    return found


@contextmanager
def trying(point: Point, tiles: Mapping[str, Tiles], compile: bool = True) -> Iterator[list[Launched]]:
    """Calls in the block run with `point`; the list fills with the first launch of each plan. Without
    `compile`, Unseen is raised where a kernel is not compiled yet."""
    seen: list[Launched] = []
    schedule = str(choices_of(point))
    option = {"anychip_schedule": schedule} if schedule else {}

    def first(
        kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, Any]
    ) -> Any:
        values = {**dict(zip(kernel.arg_names, arguments, strict=False)), **constants}
        try:
            compiled = kernel[grid](*arguments, **constants, **option)
        except choosing.NotCompiled as new:
            ttir = functools.cache(functools.partial(front_end, new.source, new.target, vars(new.options)))
            raise Unseen(Launched(new.source, grid, values_of(new.source, values), ttir), seen) from None
        if hasattr(compiled, "src"):
            origin = Origin(compiled.src, compiled.metadata)
            seen.append(
                Launched(compiled.src, grid, values_of(compiled.src, values), functools.cache(origin.ttir))
            )
        return compiled

    with choosing.by_rules(compile), tuned.using(sizes_of(point, tiles), first):
        yield seen


def values_of(source: Any, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of the parameters that are arguments of the compiled function, in order; tuples among them
    are arguments one by one."""
    return tuple(_arguments(source.signature.values(), [values.get(name) for name in source.signature]))


def _arguments(kinds: Iterable[Any], values: Iterable[Any]) -> Iterator[Any]:
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, tuple):
            yield from _arguments(kind, value)
        elif kind != "constexpr":
            yield value
