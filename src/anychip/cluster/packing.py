"""Tensors as bytes of the host, and back. Flows in: tensors of any strides on any device. Flows out:
contiguous host memory, and refusals of memory that a collective must not write.

gloo reads and writes a tensor as if it were contiguous: a transposed one gives wrong sums, a strided one
changes elements beside the view. So what is not contiguous memory of the host is packed, and unpacked when
the collective is done."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from .errors import CollectiveError


def require_dense(name: str, tensors: Sequence[torch.Tensor]) -> None:
    """Raise CollectiveError for layouts and types whose elements are not bytes side by side."""
    for tensor in tensors:
        if tensor.layout is not torch.strided:
            raise CollectiveError(f"{name} of a tensor with layout {tensor.layout}.", "Make it dense first.")
        if tensor.is_quantized:
            raise CollectiveError(
                f"{name} of a quantised tensor.", "Send its int_repr(), scale and zero point."
            )


def require_writable(name: str, tensors: Sequence[torch.Tensor]) -> None:
    """Raise CollectiveError where two elements that are to be written lie in the same memory."""
    for tensor in tensors:
        if overlaps_itself(tensor):
            raise CollectiveError(
                f"{name} into a tensor whose elements share memory (shape {tuple(tensor.shape)}, strides "
                f"{tensor.stride()}).",
                "Pass tensor.clone(): an expanded tensor has fewer places than elements.",
            )
    spans = sorted(
        (tensor.untyped_storage().data_ptr(), *_span(tensor), index)
        for index, tensor in enumerate(tensors)
        if tensor.numel() and tensor.device.type == "cpu"
    )
    for (storage, _, end, i), (other, start, _, j) in pairwise(spans):
        if storage == other and start < end and _share(tensors[i], tensors[j]):
            raise CollectiveError(
                f"{name} into tensors {min(i, j)} and {max(i, j)}, which share memory.",
                "Give each result memory of its own.",
            )


def overlaps_itself(tensor: torch.Tensor) -> bool:
    """Whether two indices of a tensor lead to the same memory. Exact: where strides do not tell, the offsets
    of all elements are counted."""
    axes = sorted((stride, size) for size, stride in zip(tensor.shape, tensor.stride()) if size > 1)
    if tensor.numel() < 2:
        return False
    reach = 0
    for stride, size in axes:
        if stride <= reach:
            return len(torch.unique(_offsets(tensor))) < tensor.numel()
        reach += stride * (size - 1)
    return False


def _offsets(tensor: torch.Tensor) -> torch.Tensor:
    """The place of each element, in elements from the tensor's first one."""
    offsets = torch.zeros(1, dtype=torch.int64)
    for size, stride in zip(tensor.shape, tensor.stride()):
        offsets = (offsets[:, None] + torch.arange(size) * stride).flatten()
    return offsets


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """The first byte of a tensor and the byte after its last, from the storage's beginning."""
    size = tensor.element_size()
    first = int(tensor.storage_offset()) * size
    reach = sum(int(stride) * (extent - 1) for extent, stride in zip(tensor.shape, tensor.stride()))
    return first, first + (reach + 1) * size


def _share(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors of one storage have a byte in common; those of different types count as if any byte
    of their spans did."""
    if a.element_size() != b.element_size():
        return True
    mine, other = (_offsets(tensor) + int(tensor.storage_offset()) for tensor in (a, b))
    return bool(torch.isin(mine, other).any())


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor's memory is what goes over the wire: the host's, contiguous, with no bit pending."""
    return (
        tensor.device.type == "cpu"
        and tensor.is_contiguous()
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def packed(tensor: torch.Tensor) -> torch.Tensor:
    """The elements as contiguous host memory, flat [elements]: the tensor's own memory where it is that."""
    detached = tensor.detach()
    if is_plain(detached):
        return _in_a_row(detached)
    host = empty_like_on_host(detached)
    host.view(tensor.shape).copy_(detached.resolve_conj().resolve_neg())
    return host


def empty_like_on_host(tensor: torch.Tensor) -> torch.Tensor:
    """Host memory for the elements of a tensor, flat."""
    return torch.empty(tensor.numel(), dtype=tensor.dtype)


def target(tensor: torch.Tensor) -> torch.Tensor:
    """Flat host memory that a result is received in: the tensor's own where it is plain."""
    detached = tensor.detach()
    return _in_a_row(detached) if is_plain(detached) else empty_like_on_host(detached)


def unpack(host: torch.Tensor, tensor: torch.Tensor) -> None:
    """Write flat host memory into a tensor; nothing where it is the tensor's own memory."""
    detached = tensor.detach()
    if not (is_plain(detached) and host.data_ptr() == detached.data_ptr()):
        detached.copy_(host.view(tensor.shape))


def _in_a_row(plain: torch.Tensor) -> torch.Tensor:
    """The memory of a contiguous tensor as one axis. A single element counts as contiguous whatever its
    strides, and PyTorch views it as no other type while a stride is not 1."""
    return plain.as_strided((plain.numel(),), (1,), plain.storage_offset())


def as_bytes(host: torch.Tensor) -> torch.Tensor:
    """Flat contiguous memory as bytes."""
    return host.view(torch.uint8)
