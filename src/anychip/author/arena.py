"""Memory that the judge shares with one confined process. The judge lays inputs into it while the process
stands still and poisons the rest; the process takes its results and its scratch memory out of it; the judge
copies results when the process stands still again. Places are bytes from the arena's start."""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass
from typing import Any

import torch

from .errors import JudgeError

ALIGNMENT = 64
POISONS = (0xFF, 0x7B)
"""Bytes that memory is filled with: NaN in every floating type, and large finite numbers (-1 and
2,071,690,107 as 32-bit integers)."""
_SEALS = 1033, 0x1 | 0x2 | 0x4
"""F_ADD_SEALS: neither smaller nor larger, and no other seals."""

DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    )
}


@dataclass(frozen=True, slots=True)
class View:
    """A tensor in an arena: where its first element is, and where the memory that belongs to it lies."""

    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int
    size: int

    def to_json(self) -> dict[str, Any]:
        """As a message has it."""
        return {
            "offset": self.offset,
            "dtype": str(self.dtype).removeprefix("torch."),
            "shape": list(self.shape),
            "stride": list(self.stride),
            "start": self.start,
            "size": self.size,
        }

    @staticmethod
    def from_json(data: Any, most: int) -> View:
        """A view out of a message of a process that is not trusted, in an arena of `most` bytes. Raises
        ValueError for anything that is no view of memory inside of the arena."""
        try:
            shape, stride = (tuple(_whole(n) for n in data[name]) for name in ("shape", "stride"))
            offset, start, size = (_whole(data[name]) for name in ("offset", "start", "size"))
            view = View(offset, DTYPES[data["dtype"]], shape, stride, start, size)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no description of a tensor ({error})") from None
        if len(shape) != len(stride) or len(shape) > 32 or start + size > most:
            raise ValueError("a description of memory that the judge did not give")
        if offset < start or offset + view.extent > start + size:
            raise ValueError("a description of a tensor that does not lie in its memory")
        return view

    @property
    def extent(self) -> int:
        """Bytes from the first element to behind the last one in memory."""
        if 0 in self.shape:
            return 0
        last = sum((n - 1) * step for n, step in zip(self.shape, self.stride))
        return (last + 1) * self.dtype.itemsize


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0 or value >= 1 << 62:
        raise TypeError(f"{value!r} is no size")
    return value


class Arena:
    """A mapping of the shared memory, in the judge or in the process."""

    def __init__(self, file: int, size: int):
        self.size = size
        self.memory = mmap.mmap(file, size)
        self.bytes = torch.frombuffer(self.memory, dtype=torch.uint8)
        self.address = self.bytes.data_ptr()

    def tensor(self, view: View) -> torch.Tensor:
        """The view as a tensor whose storage is the memory that belongs to it."""
        if not view.size:
            return torch.empty_strided(view.shape, view.stride, dtype=view.dtype)
        raw = torch.frombuffer(self.memory, dtype=torch.uint8, count=view.size, offset=view.start)
        storage = raw.untyped_storage()
        place = (view.offset - view.start) // view.dtype.itemsize
        return torch.empty(0, dtype=view.dtype).set_(storage, place, view.shape, view.stride)  # type: ignore[call-overload]

    def content(self, view: View) -> torch.Tensor:
        """A copy of the memory that belongs to a view."""
        return self.bytes[view.start : view.start + view.size].clone()

    def poison(self, byte: int) -> None:
        """Fill all of it."""
        self.bytes.fill_(byte)


def shared_memory(size: int) -> int:
    """A file of memory that nobody can make smaller or larger. Raises JudgeError where there is none."""
    if not hasattr(os, "memfd_create"):
        raise JudgeError("the judge needs shared memory by memfd_create, which Linux has")
    file = os.memfd_create("anychip-judge", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(file, size)
    fcntl.fcntl(file, *_SEALS)
    return file


def aligned(offset: int, alignment: int = ALIGNMENT) -> int:
    """The next place of an alignment."""
    return (offset + alignment - 1) // alignment * alignment
