"""The one place where operators launch kernels: chooses tiles by the class of the chip that holds the
tensors, and keeps the count of launches per kernel that tests and reports read."""

from __future__ import annotations

import struct
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl

launches: Counter[str] = Counter()
"""Launches since the start, by kernel name; `flat_kernel[tanh]` where a machinery runs a function."""

_attribution = threading.local()


def attribute(counter: Counter[str] | None) -> Counter[str] | None:
    """Count this thread's launches in `counter`, too; returns the counter that was in place before."""
    before = getattr(_attribution, "counter", None)
    _attribution.counter = counter
    return before


TRITON_DTYPES: dict[torch.dtype, tl.dtype] = {
    torch.bool: tl.int1,
    torch.int8: tl.int8,
    torch.int16: tl.int16,
    torch.int32: tl.int32,
    torch.int64: tl.int64,
    torch.uint8: tl.uint8,
    torch.uint16: tl.uint16,
    torch.uint32: tl.uint32,
    torch.uint64: tl.uint64,
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}

COMPUTE_DTYPES: dict[torch.dtype, torch.dtype] = {
    torch.bool: torch.int8,
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
}
"""Types whose arithmetic is done in another type; what is not listed computes in itself."""


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of `dtype` are computed (PyTorch's `opmath`)."""
    return COMPUTE_DTYPES.get(dtype, dtype)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tile sizes for the two classes of chip: `simt` (GPUs) and `simd` (CPUs, vector cores)."""

    simt: Mapping[str, int] = field(default_factory=dict)
    simd: Mapping[str, int] = field(default_factory=dict)

    def on(self, device: torch.device) -> Mapping[str, int]:
        """The sizes for the class of chip that `device` is."""
        return self.simd if device.type == "cpu" else self.simt


def scalar_bits(value: float | int | bool, floating: bool) -> int:
    """A Python number as 64 bits: the pattern of a double if `floating`, else the integer itself.
    Kernels take scalars so, because Triton passes a Python float in single precision."""
    if not floating:
        return int(value)
    return struct.unpack("<q", struct.pack("<d", float(value)))[0]


def launch(
    kernel: Any,
    programs: int | tuple[int, ...],
    *arguments: Any,
    function: Any = None,
    label: str = "",
    **constants: Any,
) -> None:
    """Launch `kernel` over `programs` program instances (nothing happens for zero).

    `function` is the scalar function that a machinery kernel applies; it becomes the constant
    `FUNCTION`. Its name, or `label`, is part of the name under which the launch is counted.
    """
    grid = (programs,) if isinstance(programs, int) else programs
    if 0 in grid:
        return
    if function is not None:
        constants["FUNCTION"] = function
        label = function.__name__
    name = f"{kernel.__name__}[{label}]" if label else kernel.__name__
    launches[name] += 1
    counter = getattr(_attribution, "counter", None)
    if counter is not None:
        counter[name] += 1
    kernel[grid](*arguments, **constants)


cdiv = triton.cdiv
