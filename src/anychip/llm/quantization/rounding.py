"""Quotients by a largest magnitude, and their rounding to 8-bit integers, as every quantiser of this room has
them. Flows in: float32 values and the largest magnitude among them. Flows out: quotients, or whole numbers in
[-127, 127], still float32."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def over_largest(value, largest, TOP: tl.constexpr):
    """TOP value / largest. The product comes first: it is exact for 16-bit floats, so that their ties are
    ties; near the largest float32 both are made smaller by a power of two before, so that it is finite."""
    shrink = tl.where(largest > 1.2676506002282294e30, 1.52587890625e-05, 1.0)  # 2^100, 2^-16
    return tl.div_rn(value * (TOP * shrink), largest * shrink + tl.zeros_like(value))


@triton.jit
def nearest_of_127(value, largest):
    """127 value / largest, rounded to the nearest whole number, ties to even."""
    exact = over_largest(value, largest, 127.0)  # type: ignore[arg-type]
    exact = tl.minimum(tl.maximum(exact, -127.0), 127.0)
    whole = tl.floor(exact)
    rest = exact - whole
    odd = whole - 2.0 * tl.floor(whole * 0.5)
    return tl.where((rest > 0.5) | ((rest == 0.5) & (odd == 1.0)), whole + 1.0, whole)
