"""What ran: calls, time and kernels of every overload that was served, and every fall-through with its
reason. The dispatcher writes, the report reads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..ops import launch


class Served:
    """Totals of one overload of one operator. `seconds` leaves out operators called inside it."""

    __slots__ = ("calls", "kernels", "operator", "overload", "seconds")

    def __init__(self, operator: str, overload: str):
        self.operator = operator
        self.overload = overload
        self.calls = 0
        self.seconds = 0.0
        self.kernels: Counter[str] = Counter()


served: dict[str, Served] = {}
fallen: Counter[tuple[str, str]] = Counter()
_inner = threading.local()


def entry(operator: str, overload: str) -> Served:
    """The totals of an overload, made on first use."""
    if overload not in served:
        served[overload] = Served(operator, overload)
    return served[overload]


def timed(function: Callable[..., Any], totals: Served) -> Callable[..., Any]:
    """`function`, with its calls, own time and launches added to `totals`."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        totals.calls += 1
        within = getattr(_inner, "seconds", 0.0)
        outer = launch.attribute(totals.kernels)
        start = perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            elapsed = perf_counter() - start
            launch.attribute(outer)
            nested = getattr(_inner, "seconds", 0.0) - within
            totals.seconds += elapsed - nested
            _inner.seconds = within + elapsed

    return call


def reset() -> None:
    """Forget all totals (the entries stay, because the dispatcher holds them)."""
    fallen.clear()
    for totals in served.values():
        totals.calls = 0
        totals.seconds = 0.0
        totals.kernels.clear()
