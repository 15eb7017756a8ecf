"""The stand-in device of tests/pytorch/stand_in.py with what training and collectives need besides: copies
from and to the host, views, and arithmetic by the host's operators."""

from __future__ import annotations

from typing import Any

import torch
from tests.pytorch.stand_in import Memory, make_device, make_operators, on_host


def make(device_type: str) -> torch.library.Library:
    """A device with memory of its own by this name. The library returned keeps it alive."""
    make_device(device_type)
    own = make_operators(device_type)
    key = torch._C._dispatch_key_for_device(device_type)

    def copy_(target: Any, source: Any, non_blocking: bool = False) -> Any:
        on_host(target).copy_(on_host(source))
        return target

    def detach(source: Any) -> Any:
        return Memory(on_host(source), f"{device_type}:0")

    def slice_(source: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
        return Memory(torch.ops.aten.slice.Tensor(on_host(source), dim, start, end, step), f"{device_type}:0")

    own.impl("copy_", copy_, key)
    own.impl("detach", detach, key)
    own.impl("slice.Tensor", slice_, key)
    return own


def on_device(host: torch.Tensor, device_type: str) -> torch.Tensor:
    """A copy of a tensor in the device's memory."""
    return Memory(host.contiguous().clone(), f"{device_type}:0")
