"""Tile sizes of the library's operators. Flows in: operators, a budget. Flows out: each candidate with its
time, and an entry of the tuning database where one is clearly faster than the sizes that are shipped.

Sizes belong to a set of tiles (`ops.launch.Tiles`) that several operators may share; they are measured on
up to three of these, at their large benchmark shapes, and what computes something else is no candidate.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ..bench.arguments import LARGE, arguments
from ..compiler.targets.host import host
from ..ops import tuned
from ..ops.launch import Tiles
from ..ops.registry import operators
from ..pytorch.policy import disabled
from ..tuning.entry import TILES, Entry
from .budget import Budget
from .errors import TuneError
from .search import Sizes, Space, Step, descend

_log = logging.getLogger(__name__)

OPERATORS = 3
"""Operators that a set of tiles is measured with."""
ROUNDS = 5
TENSORS = 3
"""Tiles that a program of a kernel holds at once, by the cost model."""
MOST = 1 << 14
SQUARES = frozenset({"square"})
WORTH = 0.97
"""Tuned sizes are kept where their time is below this part of that of the shipped ones."""

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A set of tiles, and calls of operators that read it."""

    name: str
    tiles: Tiles
    overloads: tuple[str, ...]
    calls: tuple[Call, ...]
    elements: int


def subjects(names: Collection[str] = ()) -> list[Subject]:
    """The tiles that the named operators (or domains; all if none) read, each with calls that do. Raises
    TuneError for an unknown name."""
    known = operators().values()
    unknown = sorted(set(names) - {name for o in known for name in (o.name, o.domain)})
    if unknown:
        raise TuneError(f"there is no operator or domain {', '.join(unknown)}; `anychip ops` lists them.")
    by_tiles = {tiles: name for name, tiles in tuned.named().items()}
    found: dict[Tiles, list[tuple[str, Call, int]]] = {}
    wanted = [o for o in known if not names or {o.name, o.domain} & set(names)]
    with disabled(), torch.no_grad():
        for operator in wanted:
            for overload in operator.overloads:
                try:
                    sample = arguments(operator, overload, LARGE)
                    call = _call(overload.implementation, sample.arguments, dict(sample.keywords))
                    with tuned.reads() as read:
                        call()
                except Exception as error:  # not to be measured at this size; others will be
                    _log.debug("%s is left out: %s", overload.name, error)
                    continue
                elements = max((x.numel() for x in tree_leaves(sample.arguments) if _is_tensor(x)), default=0)
                for tiles in dict.fromkeys(read):
                    calls = found.setdefault(tiles, [])
                    if len(calls) < OPERATORS:
                        calls.append((overload.name, call, elements))
    return [
        Subject(
            by_tiles[tiles], tiles, tuple(name for name, *_ in calls), tuple(call for _, call, _ in calls),
            max(elements for *_, elements in calls),
        )
        for tiles, calls in found.items()
        if tiles in by_tiles and tiles.simd
    ]  # fmt: skip


def search(
    subject: Subject, budget: Budget, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Step]:
    """The steps of the search over one set of tiles; the last one's `best` is the result."""
    space = Space(
        bytes=host().cache_bytes, element_bytes=4 * TENSORS, elements=subject.elements,
        programs=torch.get_num_threads(), sides=SQUARES, most=MOST,
    )  # fmt: skip
    with disabled(), torch.no_grad():
        expected = [_leaves(call()) for call in subject.calls]

        def measure(candidates: list[Sizes]) -> list[float | None]:
            return _times(subject, candidates, expected, budget, clock)

        yield from descend(subject.tiles.simd, space, measure, budget)


def entry(subject: Subject, best: Sizes, seconds: dict[str, float], chip: str) -> Entry:
    """Tuned sizes as an entry of the database."""
    changed = {name: size for name, size in best.items() if subject.tiles.simd[name] != size}
    return Entry(
        kind=TILES, subject=subject.name, signature="", source=tuned.digest(subject.name), chip=chip,
        values=changed, seconds=seconds, made=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )  # fmt: skip


def _times(
    subject: Subject, candidates: list[Sizes], expected: list[list[torch.Tensor]], budget: Budget,
    clock: Callable[[], float],
) -> list[float | None]:  # fmt: skip
    """Seconds of all calls together for each candidate, in turns; None for what fails or differs."""
    times: list[float | None] = [float("inf")] * len(candidates)
    for done in range(ROUNDS):
        if done and budget.over:
            break
        for k, sizes in enumerate(candidates):
            least = times[k]
            if least is None:
                continue
            with tuned.using(subject.tiles, sizes):
                try:
                    results = [_leaves(call()) for call in subject.calls]
                    if not done and not _alike(results, expected):
                        raise TuneError(f"{subject.name} {dict(sizes)}: another result")
                    start = clock()
                    for call in subject.calls:
                        call()
                    times[k] = min(least, clock() - start)
                except Exception as error:  # sizes that a kernel cannot take
                    _log.debug("%s %s: %s", subject.name, dict(sizes), error)
                    times[k] = None
    return times


def _call(function: Callable[..., Any], positional: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    return lambda: function(*positional, **keywords)


def _is_tensor(x: object) -> bool:
    return isinstance(x, torch.Tensor)


def _leaves(result: Any) -> list[torch.Tensor]:
    return [x.clone() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]


def _alike(found: list[list[torch.Tensor]], expected: list[list[torch.Tensor]]) -> bool:
    """Whether results are equal but for the order of sums."""
    return all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-3, equal_nan=True)
        for ours, theirs in zip(found, expected, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def confirm(
    subject: Subject, best: Sizes, budget: Budget, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """Seconds with the shipped sizes and with the best, measured in turns once more: the least of many
    candidates is partly luck."""
    with disabled(), torch.no_grad():
        expected = [_leaves(call()) for call in subject.calls]
        shipped, found = _times(subject, [subject.tiles.simd, best], expected, budget, clock)
    if shipped is None or found is None:
        return 1.0, 1.0
    return shipped, found
