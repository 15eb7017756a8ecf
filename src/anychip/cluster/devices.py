"""What a device still computes when a collective is called. Flows in: the tensors of a call. Flows out:
something to wait for before their memory is read, on another thread.

Devices with streams (CUDA, XPU, and a maker's own module that has them) run behind the program; the CPU
does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Moment = tuple[Any, ...]
"""Events of devices, each recorded where its device's current stream stood."""


def moment(tensors: Sequence[torch.Tensor]) -> Moment:
    """Where the current streams of the tensors' devices stand now; nothing for devices without streams."""
    devices = {tensor.device for tensor in tensors if tensor.device.type not in ("cpu", "meta")}
    return tuple(stream.record_event() for stream in map(_stream, devices) if stream is not None)


def settle(events: Moment) -> None:
    """Block until the devices have come to these events."""
    for event in events:
        event.synchronize()


def _stream(device: torch.device) -> Any:
    current = getattr(torch.get_device_module(device), "current_stream", None)
    return current(device) if current is not None else None
