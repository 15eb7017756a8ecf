"""Piecewise polynomials whose coefficients are read from a table, for functions without a cheap
formula. In: a table of `coefficients.py` and a register inside its interval. f32 takes as many of the
coefficients as its precision needs.
"""

from __future__ import annotations

from functools import cache

from .expression import Formula, Num

Table = tuple[float, float, tuple[tuple[float, ...], ...]]


def table(name: str) -> Table:
    """The table called `name`; the file is read when the first function needs it."""
    from . import coefficients

    return getattr(coefficients, name)


@cache
def _rows(name: str, element: str) -> list[tuple[float, ...]]:
    """The coefficients of each piece of a table; in f32 without those that add less than 2^-27."""
    start, layout, rows = table(name)
    if element == "double":
        return list(rows)
    needed = 1
    for index, row in enumerate(rows):
        half = layout / 2
        if isinstance(layout, int):
            octave = index >> layout
            half = start * 2.0**octave / (1 << layout) / 2
        terms = [abs(c) * half**k for k, c in enumerate(row)]
        while sum(terms[needed:]) > 2.0**-27 * max(terms):
            needed += 1
    return [row[:needed] for row in rows]


def piecewise(m: Formula, name: str, x: Num, low: Num | None = None) -> Num:
    """Table `name` at x (or x + low); the outermost pieces serve what is beyond the ends."""
    start, layout, _ = table(name)
    element = x.val.type.element
    rows = _rows(name, element)
    last = len(rows) - 1
    if isinstance(layout, int):
        shift = x.layout.mantissa - layout
        base = x.layout.pattern(start)
        index = (x.bits() - base).logical_shift(shift)
        index = m.where(index.compare("ugt", last), last, index)
        middle = ((index << shift) + (base + (1 << (shift - 1)))).as_float()
    else:
        scaled = m.clamp((x - start) * (1.0 / layout), 0.0, float(last))
        scaled = m.where(scaled.is_nan(), 0.0, scaled)
        index = scaled.cast("fptosi", x.layout.integer)
        middle = m.multiply_add(index.to_float(), layout, start + layout / 2)
    distance = x - middle if low is None else (x - middle) + low
    count = len(rows[0])
    texts = [m.b.float(c, m.type(element).with_lanes(1)).ref for row in rows for c in row]
    first = index * count if last else m.integer(0)
    symbol = f"anychip.table.{name.lower()}.{element}"
    result = m.gather(symbol, element, texts, first + (count - 1))
    for power in reversed(range(count - 1)):
        result = m.multiply_add(result, distance, m.gather(symbol, element, texts, first + power))
    return result
