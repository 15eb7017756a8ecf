"""Who emits what: a step is emitted by the function registered for its class, an operation by the rule
registered under its name.

A step with steps inside calls `emit` for these and need not know which files emit them; `emitters` imports
those files, so that all are registered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..schedule.steps import Step
from .context import Context

S = TypeVar("S")
R = TypeVar("R")
Emitter = Callable[[Context, S], None]

EMITTERS: dict[type, Emitter[Any]] = {}
"""The emitter of each class of steps."""


def emits(step: type[S]) -> Callable[[Emitter[S]], Emitter[S]]:
    """Register the decorated function as the emitter of steps of the class `step`."""

    def register(emitter: Emitter[S]) -> Emitter[S]:
        assert step not in EMITTERS, f"{step.__name__} has an emitter"
        EMITTERS[step] = emitter
        return emitter

    return register


def emit(context: Context, steps: Sequence[Step]) -> None:
    """Emit `steps`, one after the other."""
    for step in steps:
        EMITTERS[type(step)](context, step)


class Rules(dict[str, R]):
    """Functions of one kind by the names of the operations that they are for."""

    def register(self, *names: str) -> Callable[[R], R]:
        """A decorator that adds a function under the `names` of operations, each of which may have one."""

        def add(rule: R) -> R:
            for name in names:
                assert name not in self, f"{name} has a rule"
                self[name] = rule
            return rule

        return add
