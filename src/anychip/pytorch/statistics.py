"""What ran: calls, time and kernels of every overload that was served, and every fall-through with its
reason. The dispatcher writes, the report reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from ..ops.errors import NotServed
from ..ops.launching import attribution, launch_counts


class Served:
    """Totals of one overload of one operator. `seconds` leaves out operators called inside it."""

    __slots__ = ("calls", "kernels", "operator", "overload", "seconds")

    def __init__(self, operator: str, overload: str):
        self.operator = operator
        self.overload = overload
        self.calls = 0
        self.seconds = 0.0
        self.kernels: Counter[str] = Counter()


def native_seconds() -> float:
    """The time that this thread has spent in operators that native code served."""
    return sum(clock() for clock in native_clocks)


Span = Callable[[str, float, float], None]
"""Told of a call that Python served: overload, and begin and end in seconds of `perf_counter`."""

_span_listeners: list[Span] = []


@contextmanager
def listen_to_spans(listener: Span) -> Iterator[None]:
    """Tell `listener` of each call that Python serves (not native code) while the context is open, on the
    thread that made it."""
    _span_listeners.append(listener)
    try:
        yield
    finally:
        _span_listeners.remove(listener)


native_clocks: list[Callable[[], float]] = []
"""Whoever serves operators from native code, and knows the time of the calling thread."""
served: dict[str, Served] = {}
fallen: Counter[tuple[str, str]] = Counter()


def entry(operator: str, overload: str) -> Served:
    """The totals of an overload, made on first use."""
    if overload not in served:
        served[overload] = Served(operator, overload)
    return served[overload]


def counted(function: Callable[..., Any], totals: Served, fall: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, with its calls, own time and launches added to `totals`; `fall` takes the calls that
    it does not serve, and the reason as `reason_`."""
    clock = perf_counter

    def call(*arguments: Any, **keywords: Any) -> Any:
        outer = attribution.counter
        within = attribution.seconds
        before = native_seconds()
        attribution.counter = totals.kernels
        start = clock()
        try:
            result = function(*arguments, **keywords)
            totals.calls += 1
            if _span_listeners:
                stop = clock()
                for listener in tuple(_span_listeners):
                    listener(totals.overload, start, stop)
            if attribution.recording is not None:
                attribution.recording.served(totals)
            return result
        except NotServed as refusal:
            reason = refusal.reason
        finally:
            elapsed = clock() - start - (native_seconds() - before)
            totals.seconds += elapsed - (attribution.seconds - within)
            attribution.seconds = within + elapsed
            attribution.counter = outer
        return fall(*arguments, reason_=reason, **keywords)

    return call


def settle() -> None:
    """Bring the totals up to date with what native code has counted by itself."""
    launch_counts.settle()


def reset() -> None:
    """Forget all totals (the entries stay, because the dispatcher holds them)."""
    settle()
    fallen.clear()
    for totals in served.values():
        totals.calls = 0
        totals.seconds = 0.0
        totals.kernels.clear()
