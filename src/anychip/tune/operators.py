"""PyTorch's kernel or ours, for every operator at several sizes and dtypes. Flows in: names, sizes, dtypes, a
budget. Flows out: a row for each, and entries of the tuning database that the policy "auto" reads.

The calls go through PyTorch's dispatcher and the policy's own trial, so that what is measured and kept is
what a program will ask for.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..bench.arguments import LARGE, SMALL, Size, arguments
from ..measurements.crowd import crowded
from ..measurements.defaults import Defaults
from ..measurements.size_class import exponent
from ..ops.registry import Operator, Overload, Sample, operators
from ..ops.schemas import overload_of
from ..pytorch.automatic.chooser import Choice, Chooser
from ..pytorch.automatic.judge import Judge
from ..pytorch.automatic.registration import AutomaticRegistrations
from ..pytorch.automatic.trial import NATIVE, OURS, Trial
from ..pytorch.policy import disabled
from ..suggestions import did_you_mean
from .budget import Budget
from .errors import TuneError

TINY = Size("tiny", 16, 128, (1, 4, 16, 32), (1, 4, 8, 8, 8), 16)
MIDDLE = Size("middle", 512, 1024, (4, 32, 64, 64), (4, 16, 16, 32, 16), 192)
SIZES = {size.name: size for size in (LARGE, SMALL, MIDDLE, TINY)}
"""The largest first: what a budget leaves out is what matters least."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CALLS = 200
SECONDS = 2.0
"""Calls after which a row is given up, and seconds, not counted the first calls, which compile."""
FIRST_CALLS = 4
SAMPLES = 8, 12, 64
"""Samples of each that decide a clear difference, and any; and of short calls (see `Trial`)."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one overload, size and dtype. `native` and `ours` are seconds; `choice` is "native" or
    "ours", empty where there is none and `reason` says why."""

    overload: str
    operator: str
    domain: str
    size: str
    dtype: str
    signature: str = ""
    elements: int = 0
    native: float = 0.0
    ours: float = 0.0
    choice: str = ""
    reason: str = ""

    @property
    def ratio(self) -> float:
        """PyTorch's time over ours; 0 where nothing was measured."""
        return self.native / self.ours if self.ours else 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """One row to be."""

    operator: Operator
    overload: Overload
    size: Size
    dtype: str


def tasks(
    names: Collection[str] = (), sizes: Sequence[str] = tuple(SIZES), dtypes: Sequence[str] = ("float32",)
) -> list[Task]:
    """What there is to measure, for operators, domains or overloads by name (all if none). Raises TuneError
    for a name that does not exist."""
    known = operators().values()
    names_known = {n for o in known for n in (o.name, o.domain, *(v.name for v in o.overloads))}
    unknown = sorted(set(names) - names_known)
    unknown += sorted(set(sizes) - set(SIZES)) + sorted(set(dtypes) - set(DTYPES))
    if unknown:
        raise TuneError(
            f"there is no operator, domain, size or element type {', '.join(unknown)}; `anychip ops` lists "
            f"operators, sizes are {', '.join(SIZES)}, element types {', '.join(DTYPES)}.\n"
            f"  {did_you_mean(unknown[0], {*names_known, *SIZES, *DTYPES})}"
        )
    wanted = set(names)
    return [
        Task(operator, overload, SIZES[size], dtype)
        for size in sizes
        for dtype in dtypes
        for operator in sorted(known, key=lambda o: (o.domain, o.name))
        for overload in operator.overloads
        if not wanted or wanted & {operator.name, operator.domain, overload.name}
    ]


def measure(
    wanted: Sequence[Task],
    judge: Judge,
    budget: Budget,
    clock: Callable[[], float] = time.perf_counter,
    crowded: Callable[[], bool] = crowded,
) -> Iterator[Row]:
    """Rows in the order of the tasks, until the budget is over. Choices go into `judge`'s database, but for
    those that were measured while the machine was `crowded`."""
    open_minded = Judge(judge.database, Defaults(), tries_random=True)
    with disabled():
        for task in wanted:
            if budget.over:
                return
            yield _measured(task, open_minded, clock, crowded)


def _measured(task: Task, judge: Judge, clock: Callable[[], float], crowded: Callable[[], bool]) -> Row:
    row = functools.partial(
        Row, task.overload.name, task.operator.name, task.operator.domain, task.size.name, task.dtype
    )
    try:
        sample = arguments(task.operator, task.overload, task.size)
    except Exception as error:  # an operator that has no arguments of this size
        return row(reason=f"no arguments of this size: {_line(error)}")
    sample = in_dtype(sample, DTYPES[task.dtype])
    if sample is None:
        return row(reason="takes no floating-point tensor")
    made = AutomaticRegistrations(frozenset({task.operator.name}), lambda device: judge, clock)
    try:
        chooser = next(c for c in made.choosers if c.name == task.overload.name)
        for one in made.choosers:
            one.limit, one.crowded = 0, crowded
            one.trials = functools.partial(Trial, *SAMPLES)
            one.forget()
        choice = _driven(chooser, overload_of(task.overload.name), sample)
    except Exception as error:  # PyTorch's own kernel refuses the dtype, or ours fails: a row, not the end
        return row(reason=_line(error))
    finally:
        made.remove()
        for one in made.choosers:
            one.trials = Trial
            one.forget()
    if choice is None:
        return row(reason="PyTorch does not reach the overload for these arguments")
    seconds = choice.trial.seconds()
    return row(
        signature=choice.signature,
        elements=choice.elements,
        native=seconds.get(NATIVE, 0.0),
        ours=seconds.get(OURS, 0.0),
        choice=choice.verdict,
        reason=_reason(choice),
    )


def _reason(choice: Choice) -> str:
    """Why there are no times, or no verdict."""
    if not choice.verdict:
        return "no verdict within the calls and seconds of a row"
    if choice.trial.disturbed:
        return "the machine was crowded: not kept"
    return choice.reason if choice.reason.startswith("not served") else ""


def _driven(chooser: Chooser, function: Callable[..., Any], sample: Sample) -> Choice | None:
    """Call until there is a verdict; the choice for the call, None if the chooser never saw one."""
    keywords = dict(sample.keywords)
    began = math.inf
    choice = None
    with torch.no_grad():
        for call in range(CALLS):
            if call == FIRST_CALLS:
                began = time.monotonic()
            function(*sample.arguments, **keywords)
            choice = next(iter(chooser.classes.values()), None)
            if choice is None or choice.verdict or time.monotonic() - began > SECONDS:
                break
    return choice


def in_dtype(sample: Sample, dtype: torch.dtype) -> Sample | None:
    """The sample with single-precision tensors in another type; None where it has none and `dtype` is not
    single precision."""
    changed = False

    def convert(x: Any) -> Any:
        nonlocal changed
        if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
            return x
        changed = True
        return x.to(dtype)

    converted = Sample(tree_map(convert, tuple(sample.arguments)), tree_map(convert, dict(sample.keywords)))
    return converted if changed or dtype == torch.float32 else None


def ratios(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """The rows as shipped defaults hold them: overload, dtype, exponent of the elements, ratio."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        if row.ratio:
            sizes = found.setdefault(row.overload, {}).setdefault(row.dtype, {})
            sizes[str(exponent(row.elements))] = float(f"{row.ratio:.3g}")
    return found


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:120]}" if text else type(error).__name__
