"""Values brought to a device and back. Flows in: nested arguments on the CPU. Flows out: the same in memory
of the device, in the same layout, and results on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from anychip.evidence.inputs import copied


@dataclass(frozen=True)
class Place:
    """A device: `there` brings a tensor to it, `home` one to the CPU, and `finish` waits until it has done
    all that it was given."""

    device: str
    there: Callable[[torch.Tensor], torch.Tensor]
    home: Callable[[torch.Tensor], torch.Tensor]
    finish: Callable[[], None]

    def placed(self, value: Any) -> Any:
        """One value of a call: a tensor in memory of its own on the device, which wants a gradient if `value`
        does; the device instead of the CPU; anything else as it is."""
        if isinstance(value, torch.Tensor):
            return self.there(copied(value).detach()).requires_grad_(value.requires_grad)
        return torch.device(self.device) if isinstance(value, torch.device) else value

    def all_placed(self, values: Any) -> Any:
        """Nested values on the device."""
        return tree_map(self.placed, values)

    def all_home(self, values: Any) -> Any:
        """Nested results on the CPU, without the wish for gradients."""
        return tree_map(lambda x: self.home(x) if isinstance(x, torch.Tensor) else x, values)

    def clock(self) -> float:
        """Seconds, once the device has done what it was given."""
        self.finish()
        return time.perf_counter()

    def is_well(self) -> bool:
        """Whether the device still does what it is given."""
        try:
            self.finish()
        except RuntimeError:
            return False
        return True


def on(device: str) -> Place:
    """A device of PyTorch's, or the CPU."""
    if device == "cpu":
        return Place(device, lambda x: x, torch.Tensor.detach, lambda: None)

    def there(x: torch.Tensor) -> torch.Tensor:
        if x.layout != torch.strided or not x.numel() or x.is_conj() or x.is_neg():
            return x.to(device)
        elements = torch.empty(0, dtype=torch.uint8).set_(x.untyped_storage())
        memory = elements.to(device).untyped_storage()
        made = torch.empty(0, dtype=x.dtype, device=device)
        return made.set_(memory, x.storage_offset(), x.shape, x.stride())

    module = torch.get_device_module(device)
    return Place(device, there, lambda x: x.detach().to("cpu"), module.synchronize)
