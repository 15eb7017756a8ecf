"""Triton's driver and PyTorch's current device for a launch: beside a GPU, tensors are of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from triton.runtime.driver import driver as triton_driver

from ... import triton_backend
from ...triton_backend import drivers


@contextmanager
def active_on(device: torch.device) -> Iterator[None]:
    """Triton's driver and PyTorch's current device are those of `device` inside the block."""
    if device.type != "cpu":
        wanted = drivers.driver_of(device.type)
        before = triton_driver._active
        triton_driver.set_active(wanted)
        try:
            with torch.get_device_module(device).device(device):
                yield
        finally:
            triton_driver.set_active(before)  # pyright: ignore[reportArgumentType] (None: not chosen yet)
    elif triton_backend.is_active():
        yield
    else:
        before = triton_driver._active
        triton_backend.activate()
        try:
            yield
        finally:
            triton_driver.set_active(before)  # pyright: ignore[reportArgumentType] (None: not chosen yet)
