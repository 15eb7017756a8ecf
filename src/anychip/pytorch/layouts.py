"""Where a tensor's elements lie: its layout, the bytes that it spans, and tensors made from a layout, fresh
or in memory that is there. These go past PyTorch's dispatcher, as a Program makes dozens at each call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch._C._dynamo.guards import _empty_strided_cpu, _reinterpret_tensor  # pyright: ignore

ADDRESS_ALIGNMENT = 16
"""Kernels may rely on pointers being multiples of this, as Triton's specialisation does."""

Layout = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shape, strides in elements, dtype."""


def layout_of(tensor: torch.Tensor) -> Layout:
    """The layout of a tensor."""
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


def span(shape: Sequence[int], strides: Sequence[int], element_bytes: int) -> int:
    """Bytes from the first to the last element, both included; 0 without elements."""
    if 0 in shape:
        return 0
    return (sum((size - 1) * stride for size, stride in zip(shape, strides)) + 1) * element_bytes


def span_of(tensor: torch.Tensor) -> int:
    """Bytes from a tensor's first to its last element."""
    return span(tensor.shape, tensor.stride(), tensor.element_size())


def copied(tensor: torch.Tensor) -> torch.Tensor:
    """The same elements in the same layout (gaps and overlaps included) in memory of their own, aligned."""
    size = span_of(tensor)
    storage = torch.UntypedStorage(size)
    if size:
        ctypes.memmove(storage.data_ptr(), tensor.data_ptr(), size)
    return tensor_over(storage, 0, layout_of(tensor))


def tensor_over(storage: torch.UntypedStorage, offset: int, layout: Layout) -> torch.Tensor:
    """A tensor of a layout whose first element is `offset` elements into a storage."""
    shape, strides, dtype = layout
    view: Any = torch.empty(0, dtype=dtype)
    return view.set_(storage, offset, shape, strides)


def fresh(layout: Layout) -> torch.Tensor:
    """A tensor of a layout in memory of its own, without content."""
    return _empty_strided_cpu(*layout)


def view_of(tensor: torch.Tensor, byte_offset: int, layout: Layout) -> torch.Tensor:
    """A tensor of a layout in the memory of another one; its first element is `byte_offset` bytes after the
    other's. It has no part in autograd."""
    shape, strides, dtype = layout
    if tensor.dtype == dtype:
        return _reinterpret_tensor(tensor, shape, strides, byte_offset // dtype.itemsize)
    storage = tensor.untyped_storage()
    place = byte_offset + tensor.data_ptr() - storage.data_ptr()
    return tensor_over(storage, place // dtype.itemsize, layout)
