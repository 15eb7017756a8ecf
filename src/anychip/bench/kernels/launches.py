"""Two equal kernels of three pointers and hardly any work: one is launched, the other has its launcher
taken away."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def three_pointers(x_ptr, y_ptr, out_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at) + tl.load(y_ptr + at))


@triton.jit
def three_pointers_stock(x_ptr, y_ptr, out_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at) + tl.load(y_ptr + at))
