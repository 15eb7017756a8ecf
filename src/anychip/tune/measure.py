"""The least time of several candidates, measured in turns. Flows in: callables, a clock, a budget. Flows out:
seconds of each; what raises is left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from .budget import Budget

_log = logging.getLogger(__name__)

Name = TypeVar("Name", bound=Hashable)

ROUNDS = 9
SHORT = 200e-6
"""Seconds that one sample takes at least: a shorter call is repeated."""


def least(
    candidates: Mapping[Name, Callable[[], Any]],
    budget: Budget,
    clock: Callable[[], float] = time.perf_counter,
    rounds: int = ROUNDS,
) -> dict[Name, float]:
    """Seconds of one call of each candidate: the least of `rounds` samples, or of as many as the budget
    allows (one at least). Each is called once before, to be compiled."""
    repeats: dict[Name, int] = {}
    for name, call in candidates.items():
        try:
            call()
            start = clock()
            call()
            once = clock() - start
        except Exception as error:  # a candidate that does not run is no candidate
            _log.debug("candidate %s is left out: %s", name, error)
            continue
        repeats[name] = max(1, min(1000, int(SHORT / once))) if once > 0 else 1
    found = dict.fromkeys(repeats, float("inf"))
    for done in range(rounds):
        if done and budget.over:
            break
        for name, count in repeats.items():
            start = clock()
            for _ in range(count):
                candidates[name]()
            found[name] = min(found[name], (clock() - start) / count)
    return found
