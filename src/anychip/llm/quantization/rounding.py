"""Rounding of quotients to 8-bit integers, as every quantiser of this room does it. Flows in: float32
values and the largest magnitude among them. Flows out: whole numbers in [-127, 127], still float32."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def nearest_of_127(value, largest):
    """127 value / largest, rounded to the nearest whole number, ties to even. The product comes first: it
    is exact for 16-bit floats, so that their ties are ties."""
    exact = tl.div_rn(value * 127.0, largest + tl.zeros_like(value))
    exact = tl.minimum(tl.maximum(exact, -127.0), 127.0)
    whole = tl.floor(exact)
    rest = exact - whole
    odd = whole - 2.0 * tl.floor(whole * 0.5)
    return tl.where((rest > 0.5) | ((rest == 0.5) & (odd == 1.0)), whole + 1.0, whole)
