"""What an operator remembers by signature, for each set of options apart. A lookup is one of a dictionary:
until the first `launching` block of the process all launches are by the process's options, and only from then
on the caller's context is asked for its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from .options import in_context

PLANS_KEPT = 4096
"""Plans that one operator remembers by one set of options; beyond, it forgets them all and begins anew."""

PlanType = TypeVar("PlanType")


class Watcher(Protocol):
    """Whoever keeps something that follows from plans."""

    def plans_forgotten(self) -> None:
        """Operators plan anew by the process's options."""

    def contexts_asked(self) -> None:
        """From now on a context may have options of its own."""


_watchers: list[Watcher] = []
_all: weakref.WeakSet[Plans[Any]] = weakref.WeakSet()
_lock = threading.Lock()
_by_context = False


class Plans(Generic[PlanType]):
    """The plans of one operator by signature. `get(signature)` gives the plan that was remembered by the same
    options, or None."""

    __slots__ = ("__weakref__", "_of_process", "get")

    get: Callable[[Any], PlanType | None]

    def __init__(self) -> None:
        self._of_process: dict[Any, PlanType] = {}
        with _lock:
            self.get = self._get_by_context if _by_context else self._of_process.get
            _all.add(self)

    def remember(self, key: Any, plan: PlanType) -> PlanType:
        """Keep a plan; returns it."""
        own = in_context.get()
        plans = self._of_process if own is None else own.plans.setdefault(self, {})
        if len(plans) >= PLANS_KEPT:
            plans.clear()
        plans[key] = plan
        return plan

    def _get_by_context(self, key: Any) -> PlanType | None:
        own = in_context.get()
        if own is None:
            return self._of_process.get(key)
        plans = own.plans.get(self)
        return None if plans is None else plans.get(key)


def ask_contexts() -> None:
    """From now on look plans up by the options of the caller's context. This stays so when a block ends: a
    copy of its context may outlive it."""
    global _by_context
    with _lock:
        if not _by_context:
            _by_context = True
            for plans in _all:
                plans.get = plans._get_by_context
            for watcher in _watchers:
                watcher.contexts_asked()


def forget_plans_of_process() -> None:
    """Let every operator plan anew where the caller's context has no options of its own."""
    with _lock:
        for plans in _all:
            plans._of_process.clear()
        for watcher in _watchers:
            watcher.plans_forgotten()


def watch(watcher: Watcher) -> None:
    """Tell `watcher` from now on, and at once where contexts are asked already."""
    with _lock:
        _watchers.append(watcher)
        if _by_context:
            watcher.contexts_asked()
