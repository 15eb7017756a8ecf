"""Rounding to integers, in every direction, on machines with and without the instruction.

Machines without one add and subtract 2^mantissa, which rounds to nearest even whatever is
smaller, and correct the result by one where the direction is another.
"""

from __future__ import annotations

from .expression import Formula, Num
from .table import function


def has_rounding(m: Formula) -> bool:
    """Whether the target rounds to integers by an instruction: LLVM calls libm otherwise."""
    return bool(m.target.rounding)


def _intrinsic(m: Formula, name: str, x: Num) -> Num:
    return Num(m, m.b.intrinsic(name, x.val))


@function("rint", inline=True)
def rint(m: Formula, x: Num) -> Num:
    """To nearest, ties to even."""
    if has_rounding(m):
        return _intrinsic(m, m.target.rounding, x)
    limit = 2.0**x.layout.mantissa
    magnitude = x.abs()
    rounded = ((magnitude + limit) - limit).copysign(x)
    return m.where(magnitude < limit, rounded, x)


@function("floor", inline=True)
def floor(m: Formula, x: Num) -> Num:
    """Rounded down."""
    if has_rounding(m):
        return _intrinsic(m, "llvm.floor", x)
    near = rint(m, x)
    return m.where(near > x, near - 1.0, near).copysign(x)


@function("ceil", inline=True)
def ceil(m: Formula, x: Num) -> Num:
    """Rounded up."""
    if has_rounding(m):
        return _intrinsic(m, "llvm.ceil", x)
    near = rint(m, x)
    return m.where(near < x, near + 1.0, near).copysign(x)


@function("trunc", inline=True)
def trunc(m: Formula, x: Num) -> Num:
    """Rounded towards zero."""
    if has_rounding(m):
        return _intrinsic(m, "llvm.trunc", x)
    magnitude = x.abs()
    near = rint(m, magnitude)
    return m.where(near > magnitude, near - 1.0, near).copysign(x)


@function("round", inline=True)
def round_half_away(m: Formula, x: Num) -> Num:
    """To nearest, ties away from zero."""
    whole = trunc(m, x)
    distance = (x - whole).abs()
    return m.where(distance >= 0.5, whole + m.constant(1.0, x.val.type).copysign(x), whole)
