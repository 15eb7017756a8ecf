"""The tiny kernel that `anychip doctor` compiles and runs, with the memory it runs on.

Flows in: nothing. Flows out: what the kernel computed and what Python computes, element by element.
It needs no PyTorch, so that a bare installation can be checked too.
"""

from __future__ import annotations

import ctypes
from typing import Any

import triton
import triton.language as tl

ELEMENTS = 1000
FACTOR = 3.0


class FloatArray:
    """Float32 memory that looks enough like a tensor to be a kernel's argument."""

    dtype = "torch.float32"
    _ALIGNMENT = 64

    def __init__(self, values: list[float]):
        self._bytes = ctypes.create_string_buffer(4 * len(values) + self._ALIGNMENT)
        address = ctypes.addressof(self._bytes)
        self._address = address + -address % self._ALIGNMENT
        self._values = (ctypes.c_float * len(values)).from_address(self._address)
        self._values[:] = values

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._address

    def tolist(self) -> list[float]:
        """The elements as Python numbers."""
        return list(self._values)


@triton.jit
def doctor_kernel(x_ptr, y_ptr, out_ptr, n, FACTOR: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside)
    y = tl.load(y_ptr + offsets, mask=inside)
    tl.store(out_ptr + offsets, x * FACTOR + y, mask=inside)


def run() -> tuple[list[float], list[float]]:
    """Launch the kernel; the values it stored and the values that are right."""
    x = [float(index) for index in range(ELEMENTS)]
    y = [float(index % 7) for index in range(ELEMENTS)]
    # The element after the last must stay as it is.
    out = FloatArray([-1.0] * (ELEMENTS + 1))
    block = 256
    constants: dict[str, Any] = {"FACTOR": FACTOR, "BLOCK": block}
    doctor_kernel[(triton.cdiv(ELEMENTS, block),)](FloatArray(x), FloatArray(y), out, ELEMENTS, **constants)
    right = [a * FACTOR + b for a, b in zip(x, y, strict=True)] + [-1.0]
    return out.tolist(), right
