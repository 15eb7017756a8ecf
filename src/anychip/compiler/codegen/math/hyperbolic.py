"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from .exponential import exp
from .expression import Formula, Num
from .table import function

TANH_TAIL = {
    "float": (
        -0.3333333134651184, 0.1333308219909668, -0.05390334874391556, 0.021272748708724976,
        -0.006542542017996311,
    ),
    "double": (
        -0.3333333333333333, 0.13333333333332467, -0.05396825396714515, 0.021869488480722565,
        -0.008863234104802229, 0.003592106586471979, -0.001455632070932804, 0.000588792024475583,
        -0.0002342148186711548, 8.443719567103072e-05, -2.0141494563083882e-05,
    ),
}  # fmt: skip
"""(tanh(x) - x) / x^3 as a polynomial in x^2, on |x| <= 0.56."""


@function("tanh", inline=True)
def tanh(m: Formula, x: Num) -> Num:
    """A polynomial near zero, 1 - 2 / (e^2x + 1) elsewhere."""
    magnitude = x.abs()
    square = x * x
    small = m.multiply_add(square * x, m.polynomial(square, TANH_TAIL[x.val.type.element]), x)
    large = (1.0 - 2.0 / (exp(m, magnitude + magnitude) + 1.0)).copysign(x)
    return m.where(magnitude < 0.55, small, large)
