"""Classes of sizes: numbers that behave alike fall together. Flows in: an extent. Flows out: the
exponent of the power of two that holds it."""

from __future__ import annotations

EXACT = 16
"""Parameters up to this magnitude (dimensions, windows, paddings) are kept as they are."""

NEAR = 2
"""A measurement counts for classes at most so many powers of two away."""


def exponent(extent: int) -> int:
    """The smallest e with extent <= 2**e; -1 for nothing."""
    return (extent - 1).bit_length() if extent > 0 else -1


def parameter(value: int) -> str:
    """An integer argument as text: itself where it is small, else its class."""
    if abs(value) <= EXACT:
        return str(value)
    return f"{'-' if value < 0 else ''}2^{exponent(abs(value))}"
