"""Memory that a collective works on, piece by piece. Flows in: flat memory of the host, or a flat tensor of
a device. Flows out: host memory for a piece, and back where it belongs.

Pieces of a device's tensor are copied into a few buffers of the host that are used again and again: they
stay in the caches, and a large tensor needs no second copy of itself."""

from __future__ import annotations

from typing import Any, Protocol

import torch

CHUNK_BYTES = 4 << 20
"""What is on the wire at once, while the piece before is combined or copied and the next is fetched."""


class Pieces(Protocol):
    """The elements of a tensor, by pieces."""

    elements: int
    dtype: torch.dtype

    def fetch(self, piece: slice) -> torch.Tensor:
        """The piece as flat contiguous memory of the host."""
        ...

    def give(self, piece: slice, host: torch.Tensor) -> None:
        """Take the finished piece, which is memory that `fetch` gave."""
        ...


class OnHost:
    """Flat contiguous memory of the host."""

    def __init__(self, host: torch.Tensor):
        self._host = host
        self.elements, self.dtype = host.numel(), host.dtype

    def fetch(self, piece: slice) -> torch.Tensor:
        """A view of the memory."""
        return self._host[piece]

    def give(self, piece: slice, host: torch.Tensor) -> None:
        """Nothing: the piece is where it belongs."""


class Buffers:
    """Buffers of the host, made when they are first needed. For one thread."""

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []

    def take(self, elements: int, dtype: torch.dtype) -> torch.Tensor:
        """Flat memory for a piece."""
        size = elements * dtype.itemsize
        buffer = self._free.pop() if self._free else torch.empty(CHUNK_BYTES, dtype=torch.uint8)
        if size > buffer.numel():
            buffer = torch.empty(size, dtype=torch.uint8)
        return buffer[:size].view(dtype)

    def put(self, host: torch.Tensor) -> None:
        """Memory that `take` gave, for the next one."""
        storage: Any = host.untyped_storage()
        whole: Any = torch.empty(0, dtype=torch.uint8)
        self._free.append(whole.set_(storage, 0, (storage.nbytes(),)))


class OnDevice:
    """A flat contiguous tensor in a device's own memory."""

    def __init__(self, flat: torch.Tensor, buffers: Buffers):
        self._flat, self._buffers = flat, buffers
        self.elements, self.dtype = flat.numel(), flat.dtype

    def fetch(self, piece: slice) -> torch.Tensor:
        """The piece, copied into a buffer."""
        host = self._buffers.take(piece.stop - piece.start, self.dtype)
        host.copy_(self._flat[piece])
        return host

    def give(self, piece: slice, host: torch.Tensor) -> None:
        """Copy the buffer to the device."""
        self._flat[piece].copy_(host)
        self._buffers.put(host)
