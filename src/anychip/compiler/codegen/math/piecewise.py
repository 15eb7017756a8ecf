"""Piecewise polynomials whose coefficients are read from a table, for functions without a cheap
formula. In: a table of `coefficients.py` and an f64 register inside its interval.
"""

from __future__ import annotations

from .expression import Formula, Num

Table = tuple[float, float, tuple[tuple[float, ...], ...]]


def table(name: str) -> Table:
    """The table called `name`; the file is read when the first function needs it."""
    from . import coefficients

    return getattr(coefficients, name)


def piecewise(m: Formula, name: str, x: Num, low: Num | None = None) -> Num:
    """Table `name` at x (or x + low); the outermost pieces serve what is beyond the ends."""
    start, layout, rows = table(name)
    last = len(rows) - 1
    if isinstance(layout, int):
        shift = 52 - layout
        base = x.layout.pattern(start)
        index = (x.bits() - base).logical_shift(shift)
        index = m.where(index.compare("ugt", last), last, index)
        middle = ((index << shift) + (base + (1 << (shift - 1)))).as_float()
    else:
        scaled = m.clamp((x - start) * (1.0 / layout), 0.0, float(last))
        scaled = m.where(scaled.is_nan(), 0.0, scaled)
        index = scaled.cast("fptosi", "i32").cast("sext", "i64")
        middle = m.multiply_add(index.to_float(), layout, start + layout / 2)
    distance = x - middle if low is None else (x - middle) + low
    count = len(rows[0])
    texts = [m.b.float(c, m.type("double").with_lanes(1)).ref for row in rows for c in row]
    first = index * count if last else m.integer(0)
    symbol = f"anychip.table.{name.lower()}"
    result = m.gather(symbol, "double", texts, first + (count - 1))
    for power in reversed(range(count - 1)):
        result = m.multiply_add(result, distance, m.gather(symbol, "double", texts, first + power))
    return result
