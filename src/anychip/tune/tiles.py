"""Tile sizes and schedules of the library's operators. Flows in: operators, sizes of their inputs. Flows
out: workloads to search over, and entries of the tuning database where something is clearly faster than what
ships.

Sizes belong to a set of tiles (`ops.launching.Tiles`) that several operators may share, and to a class of
tensors; they are measured on up to three of these operators. Schedules belong to the kernels that these
launch."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ..bench.arguments import LARGE, Size, arguments
from ..measurements.entry import SCHEDULE, TILES, Entry
from ..ops import tuned
from ..ops.launching import SizeClass, Tiles
from ..ops.registry import operators
from ..pytorch.policy import disabled
from ..suggestions import did_you_mean
from ..triton_backend import choosing
from .errors import TuneError
from .search import Point
from .trial import Launched, choices_of, sizes_of
from .workload import Call, Workload

_log = logging.getLogger(__name__)

OPERATORS = 3
"""Operators that a set of tiles is measured with."""


def workloads(
    names: Collection[str] = (), sizes: Sequence[Size] = (LARGE,), choices: tuple[str, ...] = ()
) -> list[Workload]:
    """For the tiles that the named operators (or domains; all if none) read, calls that do, by the class of
    their tensors. Raises TuneError for an unknown name."""
    known = operators().values()
    names_known = {name for o in known for name in (o.name, o.domain)}
    unknown = sorted(set(names) - names_known)
    if unknown:
        raise TuneError(
            f"there is no operator or domain {', '.join(unknown)}; `anychip ops` lists them.\n"
            f"  {did_you_mean(unknown[0], names_known)}"
        )
    by_tiles = {tiles: name for name, tiles in tuned.named().items()}
    found: dict[tuple[Tiles, SizeClass], list[tuple[str, Call, int]]] = {}
    wanted = [o for o in known if not names or {o.name, o.domain} & set(names)]
    with disabled(), torch.no_grad():
        for size in sizes:
            for operator in wanted:
                for overload in operator.overloads:
                    try:
                        sample = arguments(operator, overload, size)
                        call = _call(overload.implementation, sample.arguments, dict(sample.keywords))
                        with tuned.reads() as read:
                            call()
                    except Exception as error:  # not to be measured at this size; others will be
                        _log.debug("%s is left out: %s", overload.name, error)
                        continue
                    tensors = [x for x in tree_leaves(sample.arguments) if isinstance(x, torch.Tensor)]
                    elements = max((x.numel() for x in tensors), default=0)
                    for question in dict.fromkeys(read):
                        calls = found.setdefault(question, [])
                        if len(calls) < OPERATORS:
                            calls.append((overload.name, call, elements))
    return [
        Workload(
            f"{by_tiles[tiles]} {tuned.class_text(class_)}".strip(),
            {by_tiles[tiles]: tiles},
            tuple(name for name, *_ in calls),
            tuple(call for _, call, _ in calls),
            max(elements for *_, elements in calls),
            choices,
        )
        for (tiles, class_), calls in found.items()
        if tiles in by_tiles and tiles.simd
    ]


def entries(
    workload: Workload, best: Point, launched: Sequence[Launched], seconds: Mapping[str, float], chip: str
) -> list[Entry]:
    """What was found as entries of the database: sizes that differ from those that ship, and the schedule of
    every kernel that was launched, if there is one."""
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    found = []
    for tiles, sizes in sizes_of(best, workload.tiles).items():
        changed = {name: size for name, size in sizes.items() if tiles.simd[name] != size}
        name = next(n for n, t in workload.tiles.items() if t is tiles)
        signature = workload.name.removeprefix(name).strip() if len(workload.tiles) == 1 else ""
        if changed:
            found.append(
                Entry(TILES, name, signature, tuned.digest(name), chip, changed, dict(seconds), made)
            )
    chosen = {n: v for n, v in best.items() if n in workload.choices and v}
    if choices_of(best) != choices_of({}):
        found += [schedule_entry(launch.source, chosen, seconds, chip) for launch in launched]
    return list({entry.key: entry for entry in found}.values())


def schedule_entry(source: Any, chosen: Mapping[str, Any], seconds: Mapping[str, float], chip: str) -> Entry:
    """The scheduler's choices for a kernel with its types and constants as an entry of the database."""
    return Entry(
        kind=SCHEDULE,
        subject=source.fn.__name__,
        source=choosing.source(source.fn),
        chip=chip,
        signature=choosing.kind(source.fn, source.signature, source.constants),
        values=dict(chosen),
        seconds=dict(seconds),
        made=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _call(function: Callable[..., Any], positional: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    return lambda: function(*positional, **keywords)
