"""Bessel functions of the first and second kind, and the modified ones of order 0 and 1.

Below 8 piecewise polynomials; above, amplitude and phase (Abramowitz and Stegun, 9.2.17 to
9.2.31) as polynomials in 1/x^2, the phase being added to the reduced angle so that zeros stay
sharp. Higher orders recur, one lane at a time: upwards where that is stable, else downwards from
far above (Miller), normalised by the sum J0 + 2 J2 + 2 J4 + ... = 1.
"""

from __future__ import annotations

from collections.abc import Callable

from .angle_reduction import reduce_angle
from .exponential import NATURAL, exp_minus_one_reduced, reduce
from .expression import Formula, Num
from .logarithm import log
from .pieces import by_pieces, pieces
from .piecewise import piecewise
from .polynomials import LARGE_I0, LARGE_I1
from .table import function
from .trigonometric import choose_sine, split_pi

INFINITY = float("inf")
TWO_OVER_PI = 0.6366197723675814

I_LIMIT = 7.75
"""Where the last of the sixteen pieces of I0 and I1 ends, in f32."""

LARGE_I = {0: LARGE_I0, 1: LARGE_I1}
"""e^-x sqrt(x) I(x) as a polynomial in 1/x <= 1 / I_LIMIT, for f32."""

Step = Callable[[Num, list[Num]], list[Num]]


def _oscillation(m: Formula, x: Num, order: int, quarter: int) -> Num:
    """Amplitude times cos(phase - quarter pi/2) for x >= 8: J for quarter 0, Y for quarter 1."""
    inverse = 1.0 / x
    z = inverse * inverse
    amplitude = piecewise(m, f"MODULUS{order}", z) * (TWO_OVER_PI * inverse).sqrt()
    shift = piecewise(m, f"PHASE{order}", z) * inverse
    high, low, n = reduce_angle(m, x)
    # The phase is x - (2 order + 1) pi/4 + shift; take the pi/4 so that the angle stays small.
    negative = high < 0.0
    quarter_turn, rest_of_turn = split_pi(x.val.type.element, 4.0)
    step = m.where(negative, m.constant(quarter_turn), -quarter_turn)
    step_low = m.where(negative, m.constant(rest_of_turn), -rest_of_turn)
    n = n - m.where(negative, m.integer(1 + order), order)
    angle, error = m.two_sum(high, step)
    angle, rest = m.two_sum(angle, shift)
    angle, rest = m.fast_two_sum(angle, rest + (error + (low + step_low)))
    return amplitude * choose_sine(m, angle, rest, n + (1 - quarter))


def _j(m: Formula, x: Num, order: int) -> Num:
    magnitude = x.abs()
    small = piecewise(m, f"J{order}", magnitude)
    small = small * magnitude if order else small
    large = _oscillation(m, m.where(magnitude < 8.0, 8.0, magnitude), order, 0)
    result = m.where(magnitude < 8.0, small, large)
    result = m.where(magnitude.eq(INFINITY), 0.0, result)
    if order:
        result = (result.bits() ^ x.sign_bit()).as_float()
    return m.where(x.is_nan(), x, result)


def _y(m: Formula, x: Num, order: int) -> Num:
    if order:
        below = piecewise(m, "Y1", x) * x
        first = piecewise(m, "J1", x) * x
        small = m.multiply_add(TWO_OVER_PI * log(m, x), first, below) - TWO_OVER_PI / x
    else:
        below = piecewise(m, "Y0", x)
        first = piecewise(m, "J0", x)
        small = m.multiply_add(TWO_OVER_PI * log(m, x), first, below)
    large = _oscillation(m, m.where(x < 8.0, 8.0, x), order, 1)
    result = m.where(x < 8.0, small, large)
    result = m.where(x.eq(INFINITY), 0.0, result)
    result = m.where(x.eq(0.0), -INFINITY, result)
    result = m.where(x < 0.0, float("nan"), result)
    return m.where(x.is_nan(), x, result)


@function("j0")
def j0(m: Formula, x: Num) -> Num:
    """The Bessel function of the first kind and order 0."""
    return _j(m, x, 0)


@function("j1")
def j1(m: Formula, x: Num) -> Num:
    """The Bessel function of the first kind and order 1."""
    return _j(m, x, 1)


@function("y0")
def y0(m: Formula, x: Num) -> Num:
    """The Bessel function of the second kind and order 0."""
    return _y(m, x, 0)


@function("y1")
def y1(m: Formula, x: Num) -> Num:
    """The Bessel function of the second kind and order 1."""
    return _y(m, x, 1)


def _i(m: Formula, x: Num, order: int) -> Num:
    """e^x times a smooth function: the product is taken before the scaling by a power of two."""
    magnitude = x.abs()
    single = x.layout.bits == 32
    if single:
        small, _ = by_pieces(m, f"i{order}", pieces(f"I{order}"), m.minimum(magnitude, I_LIMIT))
    else:
        small = piecewise(m, f"I{order}", magnitude)
    small = small * magnitude if order else small
    inverse = 1.0 / magnitude
    large = m.polynomial(inverse, LARGE_I[order]) if single else piecewise(m, f"LARGE_I{order}", inverse)
    factor = m.where(magnitude < (I_LIMIT if single else 8.0), small, large / magnitude.sqrt())
    largest = 92.0 if single else 720.0
    r, n, _ = reduce(m, m.minimum(magnitude, largest), NATURAL[x.val.type.element])
    result = m.scale(m.multiply_add(factor, exp_minus_one_reduced(m, r), factor), n)
    result = m.where(magnitude > largest, INFINITY, result)
    if order:
        result = (result.bits() ^ x.sign_bit()).as_float()
    return m.where(x.is_nan(), x, result)


@function("cyl_bessel_i0")
def cyl_bessel_i0(m: Formula, x: Num) -> Num:
    """The modified Bessel function of the first kind and order 0."""
    return _i(m, x, 0)


@function("cyl_bessel_i1")
def cyl_bessel_i1(m: Formula, x: Num) -> Num:
    """The modified Bessel function of the first kind and order 1."""
    return _i(m, x, 1)


def _repeat(m: Formula, count: Num, state: list[Num], step: Step) -> list[Num]:
    """Apply `step(k, state)` for k = 1, 2, ... while k < count in any lane; lanes that are done
    keep their state."""
    b = m.b
    before, loop, done = b.block, b.label("order"), b.label("orders")
    b.br(loop)
    b.place(loop)
    index = b.phi(count.val.type)
    index.add(m.integer(1, "i32").val, before)
    phis = [b.phi(s.val.type) for s in state]
    for phi, s in zip(phis, state):
        phi.add(s.val, before)
    k = Num(m, index.val)
    current = [Num(m, phi.val) for phi in phis]
    active = k < count
    following = [m.where(active, new, old) for new, old in zip(step(k, current), current)]
    after = b.block
    advanced = k + 1
    index.add(advanced.val, after)
    for phi, f in zip(phis, following):
        phi.add(f.val, after)
    b.cond_br(m.any(advanced < count), loop, done)
    b.place(done)
    return following


def _odd_sign(m: Formula, n: Num, value: Num, when: Num) -> Num:
    """-value in the lanes where n is odd and `when` holds."""
    return m.where((n & 1).ne(0) & when, -value, value)


@function("yn", arity=2)
def yn(m: Formula, n: Num, x: Num) -> Num:
    """Y of integer order: upward recurrence, which is stable."""
    order = n.abs()
    first, second = y0(m, x), y1(m, x)
    limited = m.where(order > 4096, 4096, order)

    def step(k: Num, state: list[Num]) -> list[Num]:
        previous, current = state
        factor = (k + k).to_float(x.val.type.element) / x
        following = m.where(current.abs() < INFINITY, factor * current - previous, current)
        return [current, following]

    result = _repeat(m, limited, [first, second], step)[1]
    result = m.where(x.eq(INFINITY), 0.0, result)
    result = m.where(order.eq(0), first, result)
    return _odd_sign(m, n, result, n < 0)


@function("jn", arity=2)
def jn(m: Formula, n: Num, x: Num) -> Num:
    """J of integer order up to 4096: upward where the order is below |x|, else downward."""
    order = n.abs()
    order = m.where(order > 4096, 4096, order)
    magnitude = x.abs()
    first, second = j0(m, magnitude), j1(m, magnitude)
    upward = order.to_float(x.val.type.element) <= magnitude
    divisor = m.where(magnitude > 0.0, magnitude, 1.0)

    def up(k: Num, state: list[Num]) -> list[Num]:
        previous, current = state
        return [current, (k + k).to_float(x.val.type.element) / divisor * current - previous]

    risen = _repeat(m, m.where(upward, order, 0), [first, second], up)[1]

    # Downward from an even order far above; the sum of the even terms normalises.
    start = (order + 40 + (order.to_float(x.val.type.element) * 40.0).sqrt().cast("fptosi", "i32")) & -2
    start = m.where(upward, m.integer(0, "i32"), start)
    least, most, down_by = (1e-280, 1e200, 1e-200) if x.layout.bits == 64 else (1e-30, 1e20, 1e-20)
    zero, tiny = m.constant(0.0), m.constant(least)

    def down(k: Num, state: list[Num]) -> list[Num]:
        above, current, wanted, total = state
        position = start - k + 1
        below = (position + position).to_float(x.val.type.element) / divisor * current - above
        at = position - 1
        scale = m.where(below.abs() > most, m.constant(down_by), 1.0)
        below, current, wanted, total = (v * scale for v in (below, current, wanted, total))
        wanted = m.where(at.eq(order), below, wanted)
        weight = m.where((at & 1).ne(0), m.constant(0.0), m.where(at.eq(0), m.constant(1.0), 2.0))
        return [current, below, wanted, m.multiply_add(weight, below, total)]

    fallen = _repeat(m, start + 1, [zero, tiny, zero, zero], down)
    result = m.where(upward, risen, fallen[2] / fallen[3])
    result = m.where(magnitude.eq(0.0) | magnitude.eq(INFINITY), 0.0, result)
    result = m.where(order.eq(0), first, m.where(order.eq(1), second, result))
    result = m.where(x.is_nan(), x, result)
    return _odd_sign(m, n, result, (n < 0) ^ (x < 0.0))
