"""The devices of this PyTorch that our operators serve: under which dispatch key each one's kernels are
registered, and which calls its chip excludes. Flows in: the chips' plug-ins, PyTorch's devices, Triton's
back ends. Flows out: dispatch keys, and operators that refuse what the chip cannot do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch

from .. import chips
from ..ops.errors import NotServed
from ..triton_backend.drivers import MissingBackend, backend_of, plugins

Function = Callable[..., Any]

_OWN_KEYS = ("cuda", "xpu")
"""Accelerators that have a dispatch key of their own in PyTorch and a Triton; all others are PrivateUse1,
under the name that their package gave it."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device type and its dispatch key. `obstacle` says why no kernel can be launched on it, "" if
    they can; `without` are the dtypes that the chip `chip` lacks."""

    type: str
    key: str
    obstacle: str = ""
    without: frozenset[torch.dtype] = frozenset()
    chip: str = ""


def present() -> tuple[Device, ...]:
    """The devices at hand: the CPU, and accelerators for which some Triton exists."""
    return (Device("cpu", "CPU"), *filter(None, map(_accelerator, _candidates())))


def dispatch_keys() -> tuple[str, ...]:
    """The dispatch keys to register under."""
    return tuple(device.key for device in present())


@functools.cache
def _of_key(key: str) -> Device:
    return next(device for device in present() if device.key == key)


def _candidates() -> tuple[str, ...]:
    return (*_OWN_KEYS, torch._C._get_privateuse1_backend_name())


def _accelerator(device_type: str) -> Device | None:
    """What is served of an accelerator; None where PyTorch has none, or no chip is known by its name."""
    module = getattr(torch, device_type, None)
    if module is None or not getattr(module, "is_available", lambda: True)():
        return None
    backend = backend_of(device_type)
    if backend is None and not plugins(device_type):
        return None
    key = torch._C._dispatch_key_for_device(device_type)
    if backend is None:
        return Device(device_type, key, obstacle=str(MissingBackend(device_type)))
    known = _chips(module, device_type, backend)
    lists = [frozenset(getattr(torch, name) for name in chip.plugin.without) for chip in known if chip.plugin]
    without = frozenset.intersection(*lists) if lists else frozenset()
    return Device(device_type, key, without=without, chip=", ".join(chip.name for chip in known))


def _chips(module: Any, device_type: str, backend: str) -> list[chips.Chip]:
    """The chip that the device says it is; where its name is not known, every chip of that back end."""
    of_backend = [
        chip
        for chip in chips.all()
        if chip.plugin and (chip.plugin.device, chip.plugin.backend) == (device_type, backend)
    ]
    get_name = getattr(module, "get_device_name", None)
    if get_name is None or not of_backend:
        return of_backend
    name = str(get_name(0)).lower()
    named = [c for c in of_backend if any(fnmatchcase(name, pattern.lower()) for pattern in c.host_names)]
    return named or of_backend


# ---- refusals -------------------------------------------------------------------------------------


def guarded(function: Function, operator: str, key: str) -> Function:
    """`function`, which raises NotServed for what the chip behind a dispatch key excludes: calls with
    dtypes that it lacks, or all calls where its Triton is missing."""
    device = _of_key(key)
    if not (device.obstacle or device.without):
        return function

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if device.obstacle:
            raise NotServed(operator, device.obstacle)
        for dtype in _dtypes((arguments, tuple(keywords.values()))):
            if dtype in device.without:
                name = str(dtype).removeprefix("torch.")
                raise NotServed(operator, f"{name} does not exist on {device.chip} (device {device.type!r})")
        return function(*arguments, **keywords)

    return call


def _dtypes(value: Any) -> Iterator[torch.dtype]:
    """The dtypes among an operator's arguments: of tensors, in lists too, and those that are asked for."""
    if isinstance(value, torch.Tensor):
        yield value.dtype
    elif isinstance(value, torch.dtype):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _dtypes(one)
