"""The error function, its complement and their inverses, and the normal distribution's."""

from __future__ import annotations

from .exponential import exp
from .expression import Formula, Num
from .table import function

ERF_SMALL = {
    "float": (
        0.128379225730896, -0.37612634897232056, 0.11283691227436066, -0.02685915119946003,
        0.005200368817895651, -0.000813470920547843, 8.334718586411327e-05,
    ),
}  # fmt: skip
"""erf(x)/x - 1 as a polynomial in x^2."""

ERFC_LOGARITHM = (
    -0.0003231856389902532, 1.1302518844604492, 0.6317844390869141, 0.11012809723615646,
    -0.026453157886862755, 0.00477243447676301, -0.0005998596898280084, 4.6455235860776156e-05, -1.658902078816027e-06,
)  # fmt: skip
"""-log(erfc(x)) on [0.9, 3.95], for f32."""


@function("erf", inline=True, elements=("float",))
def erf(m: Formula, x: Num) -> Num:
    """x P(x^2) below 0.92, 1 - e^-Q(|x|) from there to where the result is 1."""
    square = x * x
    small = m.multiply_add(x, m.polynomial(square, ERF_SMALL[x.val.type.element]), x)
    magnitude = m.minimum(x.abs(), 3.95)
    large = (1.0 - exp(m, -m.polynomial(magnitude, ERFC_LOGARITHM))).copysign(x)
    return m.where(x.abs() < 0.92, small, large)
