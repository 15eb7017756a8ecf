"""Square, cube and reciprocal roots."""

from __future__ import annotations

from .expression import Formula, Num
from .table import function


@function("sqrt", inline=True)
def sqrt(m: Formula, x: Num) -> Num:
    return x.sqrt()


@function("rsqrt", inline=True)
def rsqrt(m: Formula, x: Num) -> Num:
    return 1.0 / x.sqrt()
