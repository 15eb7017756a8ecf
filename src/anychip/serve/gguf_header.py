"""The part of a GGUF file before its tensors' bytes, read in one pass: a vocabulary of a hundred thousand
words takes a fraction of a second. Flows in: a file's bytes. Flows out: metadata, and what is said of each
tensor. The layout is that of GGUF's specification (https://github.com/ggml-org/ggml, docs/gguf.md)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Of tensors' bytes, where `general.alignment` does not say another."""
MOST_DEPTH = 4
"""Of arrays in arrays."""

NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
"""Types of values -> NumPy's."""
STRING, ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """`shape` has rows first; `type` is the number that GGUF has for it, `offset` from the data's begin."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """`data` is the byte at which tensors' bytes begin."""

    metadata: dict[str, Any]
    tensors: list[TensorInfo]
    data: int


def read(file: np.ndarray) -> Header:
    """The header of a file's bytes [uint8]. Raises ValueError for what is none."""
    if bytes(file[:4]) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    cursor = _Cursor(file.data, 4)
    version = cursor.number("<I")
    if version not in VERSIONS:
        raise ValueError(f"its version is {version}; {', '.join(map(str, VERSIONS))} are read")
    tensors, values = cursor.number("<Q"), cursor.number("<Q")
    metadata: dict[str, Any] = {}
    for _ in range(values):
        key = cursor.text()
        if key in metadata:
            raise ValueError(f"it says {key} twice")
        metadata[key] = cursor.value(cursor.number("<I"))
    infos = [cursor.tensor() for _ in range(tensors)]
    if len({info.name for info in infos}) != len(infos):
        raise ValueError("it has two tensors of one name")
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"general.alignment is {alignment!r}")
    return Header(metadata, infos, -(-cursor.at // alignment) * alignment)


class _Cursor:
    """A place in a file's bytes; what would be read beyond its end is a ValueError."""

    def __init__(self, bytes_: memoryview, at: int):
        self._bytes, self.at = bytes_, at

    def number(self, form: str) -> Any:
        """A number of `struct`'s."""
        return struct.unpack_from(form, self._bytes, self._take(struct.calcsize(form)))[0]

    def text(self) -> str:
        """A length and as many bytes of UTF-8."""
        length = self.number("<Q")
        first = self._take(length)
        return str(self._bytes[first : first + length], "utf-8")

    def value(self, kind: int, depth: int = 0) -> Any:
        """A value of the metadata, an array as a list."""
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            of, count = self.number("<I"), self.number("<Q")
            if of in NUMBERS:
                return self._numbers(of, count).tolist()
            if depth == MOST_DEPTH:
                raise ValueError("its arrays are nested too deeply")
            read: Callable[[], Any] = self.text if of == STRING else lambda: self.value(of, depth + 1)
            return [read() for _ in range(count)]
        return self._numbers(kind, 1)[0].item()

    def tensor(self) -> TensorInfo:
        """What is said of a tensor."""
        name, dimensions = self.text(), self.number("<I")
        shape = self._numbers(10, dimensions).tolist()[::-1]
        if math.prod(shape) >= 1 << 62:
            raise ValueError(f"tensor {name} has the shape {shape}")
        return TensorInfo(name, tuple(shape), self.number("<I"), self.number("<Q"))

    def _numbers(self, kind: int, count: int) -> np.ndarray:
        if kind not in NUMBERS:
            raise ValueError(f"it has a value of type {kind}, which is not known")
        dtype = np.dtype(NUMBERS[kind])
        first = self._take(count * dtype.itemsize)
        return np.frombuffer(self._bytes[first : first + count * dtype.itemsize], dtype)

    def _take(self, count: int) -> int:
        first, self.at = self.at, self.at + count
        if self.at > len(self._bytes):
            raise ValueError("it ends before its header does")
        return first
