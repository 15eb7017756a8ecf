"""Which bytes of tensors were written? For checks of reads of memory that nobody has written.

In: every operator of PyTorch that a program calls. What `torch.empty` and its like allocate gets a map with a
byte for each byte, zero until something is written there: by a kernel with checks, which marks what it
writes, or by an operator, whose results are written whole. Memory that comes any other way has no map, and is
taken as written.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..compiler.codegen.check_table import YES
from ..runtime import checks

ALLOCATING = frozenset(
    {
        "aten::empty",
        "aten::empty_like",
        "aten::empty_strided",
        "aten::empty_permuted",
        "aten::new_empty",
        "aten::new_empty_strided",
    }
)
"""Operators whose results hold anything."""

_MOST = 1 << 30
"""Bytes of the largest memory that gets a map."""


class WrittenBytes(TorchDispatchMode):
    """Keeps the maps, while it is a mode of PyTorch's dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self._maps: dict[int, tuple[StorageWeakRef, Any]] = {}

    @classmethod
    def is_infra_mode(cls) -> bool:
        """It computes nothing, so that programs under it may be compiled."""
        return True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        result = func(*args, **keywords)
        if func._schema.name in ALLOCATING:
            self._begin(result)
        elif self._maps:
            for value, parameter in _arguments(func, args, keywords):
                if parameter.alias_info is not None and parameter.alias_info.is_write:
                    for tensor in tree_leaves(value):
                        if isinstance(tensor, torch.Tensor):
                            self.written(tensor)
        return result

    def _begin(self, tensor: Any) -> None:
        """Nothing of this memory is written yet."""
        if type(tensor) is not torch.Tensor or tensor.device.type != "cpu":
            return
        storage = tensor.untyped_storage()
        if 0 < storage.nbytes() <= _MOST:
            map = ctypes.create_string_buffer(storage.nbytes())
            self._maps[storage.data_ptr()] = (StorageWeakRef(storage), map)

    def _map_of(self, tensor: torch.Tensor) -> Any:
        """The map of a tensor's memory; None where all of it was written. Memory that was freed has none,
        whatever has its place now."""
        if not self._maps:
            return None
        storage = tensor.untyped_storage()
        known = self._maps.get(storage.data_ptr())
        if known is None:
            return None
        reference, map = known
        if reference.expired() or reference.cdata != storage._cdata or len(map) != storage.nbytes():
            del self._maps[storage.data_ptr()]
            return None
        return map

    def written(self, tensor: torch.Tensor) -> None:
        """All elements of a tensor were written, and whatever lies between them counts as that too."""
        if type(tensor) is not torch.Tensor and not isinstance(tensor, torch.nn.Parameter):
            return
        map = self._map_of(tensor) if tensor.device.type == "cpu" else None
        if map is None or not tensor.numel():
            return
        begin = tensor.storage_offset() * tensor.element_size()
        steps = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride()))
        size = (steps + 1) * tensor.element_size()
        if size == len(map):
            del self._maps[tensor.untyped_storage().data_ptr()]
        else:
            ctypes.memset(ctypes.addressof(map) + int(begin), YES, int(size))

    def shift(self, owner: Any) -> int:
        """What to add to an address in a tensor for its byte in the map; 0 where there is no map."""
        if not isinstance(owner, torch.Tensor):
            return 0
        map = self._map_of(owner)
        return 0 if map is None else ctypes.addressof(map) - owner.untyped_storage().data_ptr()


def _arguments(func: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each argument of a call with its parameter in the schema."""
    parameters = func._schema.arguments
    yield from zip(args, parameters)
    for parameter in parameters:
        if parameter.name in keywords:
            yield keywords[parameter.name], parameter


@contextmanager
def following() -> Iterator[WrittenBytes]:
    """Have kernels with checks know what was written, while the context is open."""
    mode = WrittenBytes()
    original = torch.Tensor.numpy

    def numpy(self: torch.Tensor, *args: Any, **keywords: Any) -> Any:
        """Whoever has the array may write what nobody sees."""
        mode.written(self)
        return original(self, *args, **keywords)

    torch.Tensor.numpy = numpy  # type: ignore[method-assign]
    try:
        with mode, checks.follow(mode.shift):
            yield mode
    finally:
        torch.Tensor.numpy = original  # type: ignore[method-assign]
