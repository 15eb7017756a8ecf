"""The choice between PyTorch's kernel and ours for the calls of one overload. Flows in: calls. Flows out:
results of one of the two; choices are found in the database, or measured on the calls themselves.

A functional overload and its in-place and `out=` variants share one `Chooser`.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ...measurements.entry import Entry
from ...ops.registry import Operator
from ...ops.schemas import overload_of
from ..observation import draws_random_numbers
from . import overhead
from .judge import Judge, times
from .signature import class_of, dtype_name, exact, tensors_of
from .trial import NATIVE, OURS, Trial, gain

_log = logging.getLogger(__name__)

Function = Callable[..., Any]

KEPT = 4096
"""Exact signatures that one overload remembers; beyond, it forgets them all and begins anew."""
PATIENCE = 64
"""Calls of an overload after which it is asked whether it saved more than it cost to look at each."""
AGAIN = 200
"""Calls after which a choice that was measured on a crowded machine is measured once more."""
WATCHFUL = frozenset({"mm", "convolution", "_scaled_dot_product_flash_attention_for_cpu"})
"""Overloads whose calls tell when a program begins to work on other sizes: they are not given back while
looking at them costs less than WATCH of the program's time."""
WATCH = 0.002
UNMEASURED = 4e-6
"""Seconds that a call through Python is taken to cost while no trial has measured it."""


@dataclass(slots=True)
class Choice:
    """Who serves a class of calls, and why. `verdict` is empty while `trial` is under way."""

    signature: str
    elements: int
    verdict: str = ""
    reason: str = ""
    trial: Trial = field(default_factory=Trial)
    calls: int = 0
    again: int = -1
    """The number of calls after which a verdict found on a crowded machine is looked into once more."""
    gain: float = 0.0
    """Seconds that a call of ours saves."""
    counted: int = 0
    """The calls that were taken into account."""


class Chooser:
    """State of one functional overload on one device, whose dispatch key is `key`. `limit`: tensors smaller
    than this go to PyTorch without a look; `left`: calls until `account` is asked for, `since` when it was
    asked for last. `cost` is what a call through Python costs, 0 until it is measured. `trials` makes a
    trial."""

    __slots__ = (
        "classes",
        "clock",
        "cost",
        "crowded",
        "judge",
        "key",
        "left",
        "limit",
        "name",
        "operator",
        "reason",
        "rest",
        "since",
        "table",
        "trials",
        "wake",
    )

    def __init__(self, name: str, operator: Operator, key: str = "CPU"):
        self.name = name
        self.operator = operator
        self.key = key
        self.cost = 0.0
        self.since = 0.0
        self.table: dict[Any, Choice] = {}
        self.classes: dict[str, Choice] = {}
        self.judge: Judge | None = None
        self.limit = 0
        self.left = PATIENCE
        self.reason = ""
        self.clock: Callable[[], float] = time.perf_counter
        self.trials: Callable[[], Trial] = Trial
        self.crowded: Callable[[], bool] = _never
        self.rest: Callable[[Chooser], None] = _nothing
        self.wake: Callable[[], None] = _nothing

    def begin(self, judge: Judge, clock: Callable[[], float]) -> str:
        """Take what `judge` knows, and forget all choices unless it is the one of before. Returns why the
        overload is left to PyTorch altogether, "" if it is not."""
        if judge is not self.judge:
            self.forget()
        self.judge, self.clock = judge, clock
        self.left, self.since = PATIENCE, time.perf_counter()
        self.limit = judge.limit(self.name)
        self.reason = judge.hopeless(self.name)
        if always_random(self.name) and not (judge.tries_random or judge.has_ours(self.name)):
            self.reason = "draws random numbers: a trial would mix two streams"
        return self.reason

    def forget(self) -> None:
        """Forget all choices; those in the database stay."""
        self.table.clear()
        self.classes.clear()

    def account(self) -> None:
        """Give the overload back if ours saved less, over the last calls, than it costs that each goes
        through Python; not while a trial is under way."""
        calls, self.left = PATIENCE, PATIENCE
        cost = self.cost or UNMEASURED
        now = time.perf_counter()
        elapsed, self.since = now - self.since, now
        saved = 0.0
        trying = False
        for choice in self.classes.values():
            since, choice.counted = choice.calls - choice.counted, choice.calls
            trying = trying or (since > 0 and not choice.verdict)
            if choice.verdict == OURS:
                calls -= since
                saved += since * choice.gain
        if trying or saved >= calls * cost:
            return
        if self.name not in WATCHFUL or PATIENCE * cost > WATCH * elapsed:
            self.rest(self)

    def settle(self, key: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Choice:
        """The choice for a call whose exact signature is new."""
        judge = self.judge
        assert judge is not None
        if torch.are_deterministic_algorithms_enabled():
            return Choice("", 0, NATIVE, "deterministic algorithms are asked for: nothing is tried")
        signature = class_of(arguments, keywords, written(self.name))
        choice = self.classes.get(signature)
        if choice is None:
            choice = self._first(judge, signature, arguments, keywords)
            self.classes[signature] = choice
            self.wake()
        if len(self.table) >= KEPT:
            self.table.clear()
        self.table[key] = choice
        return choice

    def _first(
        self, judge: Judge, signature: str, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Choice:
        tensors = tensors_of(arguments)
        largest = max(tensors, key=torch.Tensor.numel, default=None)
        elements = 0 if largest is None else largest.numel()
        entry = judge.known(self.name, self.operator, signature)
        if entry is not None:
            return self._kept(entry, elements, arguments, keywords)
        draws = draws_random_numbers(overload_of(self.name), arguments, keywords)
        if draws and not judge.tries_random:
            return Choice(signature, elements, NATIVE, "draws random numbers: a trial would mix two streams")
        dtype = "" if largest is None else dtype_name(largest.dtype)
        reason = judge.presumed(self.name, dtype, elements)
        if reason:
            return Choice(signature, elements, NATIVE, reason)
        trial = self.trials()
        trial.overhead = self._cost(arguments, keywords)
        return Choice(signature, elements, "", "", trial)

    def _kept(
        self, entry: Entry, elements: int, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Choice:
        """The choice that the database holds. One for ours is PyTorch's where it saves less than this call
        costs through Python: what was measured then may have been another processor's time, or another
        PyTorch's."""
        chosen, reason = str(entry.values["choice"]), f"tuning database: {times(entry.seconds)}"
        if chosen == NATIVE:
            return Choice(entry.signature, elements, NATIVE, reason)
        saved = gain(entry.seconds, self._cost(arguments, keywords))
        if saved < 0:
            reason += ", less than a call through Python costs"
        return Choice(entry.signature, elements, NATIVE if saved < 0 else chosen, reason, gain=saved)

    def _cost(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> float:
        """What a call through Python costs above one that PyTorch's dispatcher takes to its own kernel, in
        seconds; measured once, for the arguments at hand."""
        if not self.cost:
            self.cost = overhead.measure(self.name, self.key, arguments, keywords, written(self.name))
        return self.cost

    def decide(self, choice: Choice) -> None:
        """A trial has ended: take its verdict and keep it."""
        assert self.judge is not None
        seconds = choice.trial.seconds()
        choice.verdict, choice.gain = choice.trial.verdict, gain(seconds, choice.trial.overhead)
        choice.reason = f"measured: {times(seconds)}"
        if choice.trial.disturbed:
            choice.reason += ", on a crowded machine"
            choice.again = choice.calls + AGAIN
            return
        self.judge.keep(self.name, self.operator, choice.signature, choice.verdict, choice.elements, seconds)
        _log.debug("%s %s: %s (%s)", self.name, choice.signature, choice.verdict, choice.reason)

    def refuse(self, arguments: tuple[Any, ...], keywords: dict[str, Any], reason: str) -> None:
        """Ours does not serve a call: PyTorch's own takes all of its class."""
        out = written(self.name)
        choice = self.table.get(exact(arguments, keywords, out))
        if choice is None:
            return
        choice.verdict = choice.trial.verdict = NATIVE
        choice.reason = f"not served: {reason}"


@functools.cache
def always_random(name: str) -> bool:
    """Whether every call of an overload draws from PyTorch's generator."""
    return draws_random_numbers(overload_of(name), (), {})


@functools.cache
def written(name: str) -> frozenset[str]:
    """Keywords of an overload's `out=` variants that name results."""
    packet = getattr(torch.ops.aten, name.partition(".")[0])
    return frozenset(
        argument.name
        for overload in packet.overloads()
        for argument in getattr(packet, overload)._schema.arguments
        if argument.is_out
    )


def _never() -> bool:
    """Nobody looks whether the machine is crowded."""
    return False


def _nothing(*_: Any) -> None:
    """Nobody listens."""


# ---- the registered function ----------------------------------------------------------------------


def choosing(
    chooser: Chooser, ours: Function, native: Function, tensors: tuple[int, ...] | None, arity: int
) -> Function:
    """The function to register for a variant. `tensors` are the positions of its tensor arguments, None
    where it takes lists of them; `arity` is the number of its arguments. `native` takes the arguments as
    they come."""
    table, out = chooser.table, written(chooser.name)

    def chosen(*arguments: Any, **keywords: Any) -> Any:
        key = exact(arguments, keywords, out)
        try:
            choice = table.get(key)
        except TypeError:  # an argument that cannot be looked up
            return native(*arguments, **keywords)
        if choice is None:
            choice = chooser.settle(key, arguments, keywords)
        choice.calls += 1
        if choice.calls == choice.again:
            choice.trial, choice.verdict = Trial(overhead=choice.trial.overhead), ""
        chooser.left -= 1
        if chooser.left <= 0:
            chooser.account()
        verdict = choice.verdict
        if verdict == OURS:
            return ours(*arguments, **keywords)
        if verdict == NATIVE:
            return native(*arguments, **keywords)
        return tried(choice, arguments, keywords)

    def tried(choice: Choice, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        trial, clock = choice.trial, chooser.clock
        candidate = trial.turn()
        function = ours if candidate == OURS else native
        start = clock()
        result = function(*arguments, **keywords)
        if trial.add(candidate, clock() - start, chooser.crowded()):
            chooser.decide(choice)
        return result

    return _for_small(chooser, native, chosen, tensors, arity)


def _for_small(
    chooser: Chooser, native: Function, chosen: Function, tensors: tuple[int, ...] | None, arity: int
) -> Function:
    """`chosen`, passed by where all tensors are small. The commonest signatures have a form of their own:
    this is all that a small call pays."""
    if tensors == (0,):

        def one(*arguments: Any, **keywords: Any) -> Any:
            if arguments[0].numel() < chooser.limit:
                chooser.left -= 1
                if chooser.left <= 0:
                    chooser.account()
                return native(*arguments, **keywords)
            return chosen(*arguments, **keywords)

        return one
    if tensors and arity <= 3:

        def few(*arguments: Any, **keywords: Any) -> Any:
            limit = chooser.limit
            for x in arguments:  # a number may stand for a tensor
                if isinstance(x, torch.Tensor) and x.numel() >= limit:
                    return chosen(*arguments, **keywords)
            chooser.left -= 1
            if chooser.left <= 0:
                chooser.account()
            return native(*arguments, **keywords)

        return few

    def several(*arguments: Any, **keywords: Any) -> Any:
        limit = chooser.limit
        given = (
            tensors_of(arguments)
            if tensors is None
            else [arguments[k] for k in tensors if k < len(arguments)]
        )
        for x in given:
            if isinstance(x, torch.Tensor) and x.numel() >= limit:
                return chosen(*arguments, **keywords)
        if not given:
            return chosen(*arguments, **keywords)
        chooser.left -= 1
        if chooser.left <= 0:
            chooser.account()
        return native(*arguments, **keywords)

    return several
