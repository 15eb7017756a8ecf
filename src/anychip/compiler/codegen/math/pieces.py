"""Sixteen polynomials side by side, for f32: picked inside a register where the machine can, else gathered.

In: a table of `single_coefficients.py` (or one of the same form) and an f32 register.
"""

from __future__ import annotations

from collections.abc import Sequence

from .expression import Formula, Num

Pieces = tuple[float, Sequence[Sequence[float]]]
"""The width of a piece, and rows with the coefficients of one power for all 16 pieces, lowest first; piece k
is a polynomial in the distance from k times the width."""

LAST = 15
"""The last piece, which ends half a width after its middle."""


def pieces(name: str) -> Pieces:
    """The table called `name`; the file is read when the first function needs it."""
    from . import single_coefficients

    return getattr(single_coefficients, name)


def reach(table: Pieces) -> float:
    """Where the last piece ends."""
    return (LAST + 0.5) * table[0]


def by_pieces(m: Formula, symbol: str, table: Pieces, x: Num) -> tuple[Num, Num]:
    """`table` at 0 <= x <= reach(table), and the number of the piece as a float; NaN gives NaN."""
    width, rows = table
    magic = x.layout.magic
    shifted = m.multiply_add(x, 1.0 / width, magic)
    whole = shifted - magic
    distance = m.multiply_add(whole, -width, x)
    index = shifted.bits() if m.looks_up else shifted.bits() & LAST
    texts = [m.b.float(c, m.type().with_lanes(1)).ref for row in rows for c in row]

    def coefficient(power: int) -> Num:
        if m.looks_up:
            return m.lookup(rows[power], index)
        return m.gather(f"anychip.pieces.{symbol.lower()}", "float", texts, index + power * (LAST + 1))

    result = coefficient(len(rows) - 1)
    for power in reversed(range(len(rows) - 1)):
        result = m.multiply_add(result, distance, coefficient(power))
    return result, whole
