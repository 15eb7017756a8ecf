"""Registrations under the policy "auto": only overloads of which ours may be the faster one. Flows in: a
selection of operators. Flows out: registrations that can be taken away one overload at a time, so that
what always goes to PyTorch costs nothing."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from ...measurements.crowd import crowded
from ...ops.registry import overloads
from ...ops.schemas import overload_of
from .. import devices, dispatch
from ..overrides import Overrides
from . import judge as judges
from .chooser import Chooser, Function, choosing

PAIRS_KEPT = 256
"""Numbers beside a tensor that an overload remembers as tensors."""
WAKES = 8
"""How often an overload that was given back is tried again before it stays with PyTorch."""


class AutomaticRegistrations:
    """What is under PyTorch's overloads for one selection of operators; `remove` takes it away."""

    def __init__(
        self,
        selected: frozenset[str],
        judge: Callable[[str], judges.Judge] | None = None,
        clock: Callable[[], float] | None = None,
    ):
        self.selected = selected
        self.choosers: list[Chooser] = []
        self.left: dict[str, str] = {}
        """Overloads that are left to PyTorch altogether, with the reason."""
        self._overrides: dict[Chooser, Overrides] = {}
        self._functions: dict[Chooser, list[tuple[str, str, Function]]] = {}
        self._resting: dict[Chooser, int] = {}
        self._kept: list[Any] = []
        for device in devices.present():
            self._choose(device, (judge or judges.judge)(device.type), clock or _clock(device.type))
        for chooser in self._functions:
            self._register(chooser)

    def _choose(self, device: devices.Device, judge: judges.Judge, clock: Callable[[], float]) -> None:
        """Make the functions for a device's dispatch key; nothing is registered before all are made."""
        for operator, overload in overloads().values():
            if operator.name not in self.selected:
                continue
            chooser = _chooser(overload.name, device.key)
            reason = chooser.begin(judge, clock)
            if reason:
                self.left[overload.name] = reason
                continue
            chooser.rest, chooser.wake, chooser.crowded = self.rest, self.wake, crowded
            self.choosers.append(chooser)
            self._functions[chooser] = [
                (variant.name, device.key, _function(variant.name, device.key))
                for variant in dispatch.served_variants(overload.name)
                if dispatch.native(variant.name, device.key) is not None
            ]

    def _register(self, chooser: Chooser) -> None:
        self._overrides[chooser] = Overrides(self._functions[chooser])

    def rest(self, chooser: Chooser) -> None:
        """Give one overload back to PyTorch for now. Done only where no other thread can be in a call."""
        if threading.active_count() != 1 or chooser not in self._overrides:
            return
        # The call that led here returns into what is taken away: it stays in memory.
        self._kept += [torch.library.get_kernel(f"aten::{n}", key) for n, key, _ in self._functions[chooser]]
        self._overrides.pop(chooser).remove()
        self._resting[chooser] = self._resting.get(chooser, 0) + 1

    def wake(self) -> None:
        """The program works on sizes that were not seen before: look at every overload again."""
        if threading.active_count() != 1:
            return
        for chooser, times in self._resting.items():
            if times <= WAKES and chooser not in self._overrides:
                self._register(chooser)

    @property
    def resting(self) -> list[str]:
        """Overloads that are given back to PyTorch at present."""
        return [chooser.name for chooser in self._resting if chooser not in self._overrides]

    def remove(self) -> None:
        """Give every overload back to PyTorch."""
        for overrides in self._overrides.values():
            overrides.remove()
        self._overrides.clear()


@functools.cache
def _chooser(name: str, key: str) -> Chooser:
    """The state of a functional overload, which registered functions hold for ever."""
    return Chooser(name, overloads()[name][0], key)


@functools.cache
def _function(name: str, key: str) -> Function:
    """The function registered for a variant."""
    chooser = _chooser(dispatch.variants_served()[name][1].name, key)
    native = _native(name, key)

    def refused(*arguments: Any, reason_: str, **keywords: Any) -> Any:
        chooser.refuse(arguments, keywords, reason_)
        return native(*arguments, **keywords)

    ours = dispatch.serving(name, key, refused)
    kinds = _kinds(name)
    lists = any(kind.endswith("[]") and "Tensor" in kind for kind in kinds)
    tensors = tuple(k for k, kind in enumerate(kinds) if kind in ("Tensor", "Optional[Tensor]"))
    return choosing(chooser, ours, native, None if lists else tensors, len(kinds))


def _native(name: str, key: str) -> Function:
    """PyTorch's own kernel, for arguments as the dispatcher hands them to Python."""
    kernel = dispatch.native(name, key).call_boxed
    keyset = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
    kinds = _kinds(name)
    if kinds.count("Tensor") < 2:
        return functools.partial(kernel, keyset)
    places = tuple(k for k, kind in enumerate(kinds) if kind == "Tensor")
    numbers = dispatch.NUMBER_DTYPES
    pairs: dict[Any, torch.Tensor] = {}

    def call(*arguments: Any, **keywords: Any) -> Any:
        for k in places:
            if type(arguments[k]) in numbers:
                arguments = converted(arguments)
                break
        return kernel(keyset, *arguments, **keywords)

    def converted(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(arguments) != 2 or type(arguments[1]) not in numbers:
            return tuple(dispatch.as_tensors(arguments, kinds))
        x, number = arguments
        key = x.dtype, x.ndim == 0, type(number), number
        made = pairs.get(key)
        if made is None:
            made = dispatch.as_tensors(arguments, kinds)[1]
            if len(pairs) >= PAIRS_KEPT:
                pairs.clear()
            if number != 0 and number == number:  # zeros have a sign that equality does not see
                pairs[key] = made
        return x, made

    return call


def _kinds(name: str) -> list[str]:
    """The types of an overload's arguments that are given by position."""
    arguments = overload_of(name)._schema.arguments
    return [str(argument.type) for argument in arguments if not argument.kwarg_only]


def _clock(device_type: str) -> Callable[[], float]:
    """Seconds; on an accelerator, once it has done what it was given."""
    if device_type == "cpu":
        return time.perf_counter
    module = torch.get_device_module(device_type)

    def clock() -> float:
        module.synchronize()
        return time.perf_counter()

    return clock
