"""The constants of a launch list as one block of bytes in the chip's byte order.

Each constant begins at a multiple of 64 bytes. Kept apart from the library, the block has a header by
which the library knows its own weights; kept inside, it is read-only data.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import sys
from dataclasses import dataclass

from ..emulation.replay import swapped
from ..runtime.program import LaunchList, MemoryKind
from .errors import ExportError
from .lowering import Lowered

ALIGNMENT = 64
MAGIC = b"ANYCHIPW"
HEADER_BYTES = 64
"""Magic, SHA-256 of the block, then zeros."""

_POINTEE = re.compile(r"ptr<(\w+)")
_POINTEE_BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8}


@dataclass(frozen=True, slots=True)
class Weights:
    """`data` is the block; `offsets` where each constant buffer (by number) begins in it."""

    data: bytes
    offsets: dict[int, int]

    @property
    def digest(self) -> bytes:
        """What the library and the file of the block must agree on."""
        return hashlib.sha256(self.data).digest()

    def file(self) -> bytes:
        """The block with its header."""
        return (MAGIC + self.digest).ljust(HEADER_BYTES, b"\0") + self.data


def collect(launches: LaunchList, lowered: Lowered, big_endian: bool) -> Weights:
    """Copy the constants out of this process. Raises ExportError where one is read as elements of
    different sizes and the chip's byte order is not this machine's."""
    data = bytearray()
    offsets: dict[int, int] = {}
    for number, buffer in enumerate(launches.buffers):
        if buffer.kind is not MemoryKind.CONSTANT:
            continue
        data += bytes(-len(data) % ALIGNMENT)
        offsets[number] = len(data)
        content = ctypes.string_at(buffer.address, buffer.size)
        if big_endian != (sys.byteorder == "big"):
            content = swapped(content, _element_bytes(launches, lowered, number))
        data += content
    return Weights(bytes(data), offsets)


def element_bytes_of(arg_type: str) -> int:
    """Bytes of what a pointer type of TTIR points to."""
    found = _POINTEE.search(arg_type)
    return _POINTEE_BYTES.get(found[1], 1) if found else 1


def _element_bytes(launches: LaunchList, lowered: Lowered, number: int) -> int:
    sizes = {
        element_bytes_of(lowered.kernels[kernel].arg_types[pointer.slot])
        for recorded, kernel in zip(launches.launches, lowered.of_launch)
        for pointer in recorded.pointers
        if pointer.buffer == number
    }
    if len(sizes) > 1:
        raise ExportError(
            f"a constant is read as elements of {' and '.join(map(str, sorted(sizes)))} bytes, and the "
            "chip's byte order differs from this machine's\n  Give each view of it memory of its own (clone)."
        )
    return sizes.pop() if sizes else 1
