"""Triton's driver for each of PyTorch's device types: our own for the CPU, stock Triton's or a chip
maker's for the others. Flows in: the chips' plug-ins and the back ends that this Triton has. Flows out:
one driver object per device type, which launches make active."""

from __future__ import annotations

from typing import Any

from .. import chips
from ..errors import AnychipError

STOCK: dict[str, tuple[str, ...]] = {"cuda": ("nvidia", "amd")}
"""Device type of PyTorch -> the back ends that come with stock Triton for it."""

_drivers: dict[str, Any] = {}


class MissingBackend(AnychipError):
    """No back end of the installed Triton drives the device that holds a tensor."""

    def __init__(self, device_type: str):
        packages = dict.fromkeys(plugin.package for plugin in plugins(device_type))
        super().__init__(
            f"device {device_type!r}: none of Triton's back ends {', '.join(backend_names(device_type))} is "
            f"installed and active\n  Install {' or '.join(packages) or 'the Triton of its maker'}."
        )


def plugins(device_type: str) -> list[chips.Plugin]:
    """The plug-ins of chips that PyTorch knows by this device type."""
    return [chip.plugin for chip in chips.all() if chip.plugin and chip.plugin.device == device_type]


def backend_names(device_type: str) -> tuple[str, ...]:
    """The back ends that may drive a device type, makers' own before stock Triton's: a maker whose chips
    go by the name `cuda` may ship stock Triton's back ends beside its own."""
    own = (plugin.backend for plugin in plugins(device_type))
    return tuple(dict.fromkeys((*own, *STOCK.get(device_type, ()))))


def backend_of(device_type: str) -> str | None:
    """The installed back end that drives a device type here, None where there is none."""
    from triton.backends import backends

    for name in backend_names(device_type):
        if name in backends and backends[name].driver.is_active():
            return name
    return None


def driver_of(device_type: str) -> Any:
    """The driver for tensors of a device type, made once. Raises MissingBackend."""
    if device_type not in _drivers:
        from triton.backends import backends
        from triton.runtime.driver import driver as triton_driver

        name = backend_of(device_type)
        if name is None:
            raise MissingBackend(device_type)
        kind = backends[name].driver
        active: Any = triton_driver._active
        _drivers[device_type] = active if isinstance(active, kind) else kind()
    return _drivers[device_type]
