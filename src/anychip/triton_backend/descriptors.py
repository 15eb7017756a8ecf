"""Has kernels with checks say when a tensor descriptor is not aligned as GPUs demand it.

A CPU does not mind, and Triton's passes take descriptors apart before our compiler sees them; so the check is
made in Triton's front end, as an assertion whose text begins with `MISALIGNED`. The addresses and strides
must be multiples of 16 bytes (CUDA Driver API, `cuTensorMapEncodeTiled`). Descriptors that the host makes are
checked by Triton itself.
"""

from __future__ import annotations

import functools
from typing import Any

from ..compiler.codegen.check_table import MISALIGNED, Check
from . import sanitizer
from .options import KernelOptions

ALIGNMENT = 16
"""Bytes."""


def install() -> None:
    """Check descriptors that are made from here on, in kernels that are compiled for a CPU."""
    from triton.language.semantic import TritonSemantic

    make = TritonSemantic.make_tensor_descriptor
    if hasattr(make, "__wrapped__"):
        return

    @functools.wraps(make)
    def make_tensor_descriptor(
        self: Any, base: Any, shape: Any, strides: Any, *rest: Any, **named: Any
    ) -> Any:
        if Check.ALIGNMENT in sanitizer.wanted() and isinstance(self.builder.options, KernelOptions):
            _check(self, base, strides)
        return make(self, base, shape, strides, *rest, **named)

    TritonSemantic.make_tensor_descriptor = make_tensor_descriptor


def _check(semantic: Any, base: Any, strides: Any) -> None:
    """Assertions on an address, and on the strides that are known at run time only."""
    import triton.language as tl

    size = base.dtype.element_ty.primitive_bitwidth // 8
    _assert_multiple(semantic, semantic.cast(base, tl.int64), ALIGNMENT, "the address")
    for axis, stride in enumerate(strides[:-1]):
        if isinstance(stride, tl.tensor):
            wide = semantic.cast(stride, tl.int64)
            _assert_multiple(semantic, wide, max(1, ALIGNMENT // size), f"the stride along axis {axis}")


def _assert_multiple(semantic: Any, number: Any, of: int, what: str) -> None:
    import triton.language as tl

    def constant(value: int) -> Any:
        return semantic.to_tensor(tl.constexpr(value))

    rest = semantic.mod(number, semantic.cast(constant(of), tl.int64))
    holds = semantic.equal(rest, semantic.cast(constant(0), tl.int64))
    semantic.builder.create_assert(holds.handle, MISALIGNED + what)
