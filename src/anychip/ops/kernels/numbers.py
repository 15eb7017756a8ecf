"""Numbers that a kernel is handed over as bits: Triton passes a Python float in single precision, so that
`launching.scalar_bits` gives a double's 64 bits as an integer."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def double(bits):
    """The double, an f64, whose bits an integer is (or those of each element of a tile)."""
    return bits.to(tl.int64).to(tl.float64, bitcast=True)
