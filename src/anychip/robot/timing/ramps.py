"""Motions of one joint in phases of constant jerk, in a formula's scalars. Flows in: where a joint is, how it
moves, and its limits. Flows out: phases, (seconds, jerk) each: to a velocity (`ramp`), or to a position
(`to_position`).

To a position: the quickest motion leads the velocity to a peak, at which it may stay, and from there to the
velocity of the end. The peak is the one unknown. It is written as base + k^2 / jerk, with base the velocity
below which the peak cannot be: durations are smooth in k, also where the way is short. Newton's method in a
bracket finds k; its derivatives come from a last step (implicit function). See T. Kroeger, F. M. Wahl, Online
Trajectory Generation, IEEE Transactions on Robotics 26 (2010); L. Berscheid, T. Kroeger, Jerk-limited
Real-time Trajectory Generation with Arbitrary Target States, RSS 2021."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..formulas.derivatives import tangents
from ..formulas.graph import (
    Number,
    Scalar,
    absolute,
    add,
    both,
    detached,
    div,
    iterated,
    maximum,
    minimum,
    mul,
    neg,
    select,
    sqrt,
    sub,
)

Phase = tuple[Number, Number]
"""Seconds, and the jerk in them."""
State = tuple[Number, Number, Number]
"""Position, velocity, acceleration."""

NEWTON_STEPS = 24
"""Steps of Newton's method, or halvings of its bracket, until the peak is exact in float64."""


def moved(state: State, phases: Sequence[Phase]) -> State:
    """The state after all phases."""
    p, v, a = state
    for seconds, jerk in phases:
        p, v, a = after((p, v, a), seconds, jerk)
    return p, v, a


def after(state: State, seconds: Number, jerk: Number) -> State:
    """The state after seconds of one jerk."""
    p, v, a = state
    turn = mul(seconds, jerk)
    half = mul(0.5, seconds)
    p = add(p, mul(seconds, add(v, mul(half, add(a, mul(1.0 / 3.0, turn))))))
    v = add(v, mul(seconds, add(a, mul(0.5, turn))))
    return p, v, add(a, turn)


def _root(x: Number) -> Number:
    """The square root, of what is not above 0 as well: 0, with derivative 0."""
    above = maximum(x, 0.0)
    known = _above(x)
    return select(known, sqrt(select(known, above, 1.0)), 0.0)


def _above(x: Number) -> Number:
    return x > 0.0 if isinstance(x, Scalar) else float(x > 0.0)


def _below(x: Number, limit: Number) -> Number:
    return _above(sub(limit, x))


def _not_above(x: Number, limit: Number) -> Number:
    return x <= limit if isinstance(x, Scalar) else float(x <= limit)  # type: ignore[operator]


def _clamped(x: Number, limit: Number) -> Number:
    return minimum(maximum(x, neg(limit)), limit)


def within(a: Number, largest: Number, jerk: Number) -> Phase:
    """The phase that brings an acceleration beyond `largest` back to it."""
    seconds = div(maximum(sub(absolute(a), largest), 0.0), jerk)
    return seconds, select(_above(a), neg(jerk), jerk)


def settled(v: Number, a: Number, jerk: Number) -> Number:
    """The velocity once the acceleration is brought to 0."""
    return add(v, div(mul(a, absolute(a)), mul(2.0, jerk)))


def ramp(v: Number, a: Number, goal: Number, largest: Number, jerk: Number) -> list[Phase]:
    """The quickest way from a velocity, and an acceleration of at most `largest`, to a velocity without
    acceleration, `goal`: the acceleration goes to a peak, stays, and goes back."""
    gap = sub(goal, settled(v, a, jerk))
    up = _above(gap)
    signed = select(up, jerk, neg(jerk))
    along = maximum(select(up, a, neg(a)), 0.0)
    square = add(mul(along, along), mul(jerk, absolute(gap)))
    return _pushed(square, select(up, a, neg(a)), largest, jerk, signed)


def _pushed(square: Number, a: Number, largest: Number, jerk: Number, signed: Number) -> list[Phase]:
    """Acceleration from `a` along `signed` to the peak whose square is given, and back to 0; where that is
    above `largest`, it stays at that for as long as the gain of velocity asks."""
    peak = minimum(_root(square), largest)
    hold = div(maximum(sub(square, mul(largest, largest)), 0.0), mul(jerk, largest))
    rise = maximum(div(sub(peak, a), jerk), 0.0)
    return [(rise, signed), (hold, 0.0), (div(peak, jerk), neg(signed))]


def to_rest(v: Number, a: Number, largest: Number, jerk: Number) -> list[Phase]:
    """The quickest way to rest: 4 phases."""
    first = within(a, largest, jerk)
    _, v, a = after((0.0, v, a), *first)
    return [first, *ramp(v, a, 0.0, largest, jerk)]


def to_position(
    distance: Number, v: Number, a: Number, goal: Number, fastest: Number, largest: Number, jerk: Number
) -> list[Phase]:
    """The quickest way over a distance to a velocity `goal`, of at most `fastest`, without acceleration: 11
    phases, of which most are empty. The first four lead a state that must leave the limits back into them."""
    state: State = (0.0, v, a)
    first = within(a, largest, jerk)
    state = after(state, *first)
    coasting = settled(state[1], state[2], jerk)
    inside = _above(sub(fastest, absolute(coasting)))
    back = ramp(state[1], state[2], _clamped(coasting, fastest), largest, jerk)
    back = [(select(inside, 0.0, seconds), select(inside, 0.0, signed)) for seconds, signed in back]
    p, v, a = moved(state, back)
    way = _way(sub(distance, p), v, select(inside, a, 0.0), goal, fastest, largest, jerk)
    return [first, *back, *way]


def _way(
    distance: Number, v: Number, a: Number, goal: Number, fastest: Number, largest: Number, jerk: Number
) -> list[Phase]:
    """7 phases from a state within limits."""
    direct = moved((0.0, v, a), ramp(v, a, goal, largest, jerk))[0]
    # What must go backwards is mirrored: from here on the peak is above the velocities of both ends.
    sign = select(_below(distance, direct), -1.0, 1.0)
    distance, v, a, goal = (mul(sign, x) for x in (distance, v, a, goal))
    coasting = settled(v, a, jerk)
    base = minimum(maximum(coasting, goal), fastest)
    along = maximum(a, 0.0)
    rising = add(mul(along, along), mul(jerk, sub(base, coasting)))
    falling = mul(jerk, sub(base, goal))
    # Where braking goes on, a short way may be left before the acceleration is 0: k is what it rises to.
    lowest = select(_below(goal, coasting), minimum(a, 0.0), 0.0)

    def phases(k: Number, cruise: Number) -> list[Phase]:
        """What leads to the peak, and away from it."""
        square = mul(k, k)
        early = minimum(k, 0.0)
        top = select(_below(k, 0.0), k, minimum(_root(add(rising, square)), largest))
        first = _held(add(rising, square), largest, jerk)
        bottom = minimum(_root(add(falling, square)), largest)
        second = _held(add(falling, square), largest, jerk)
        return [
            (div(maximum(sub(top, a), 0.0), jerk), jerk),
            (first, 0.0),
            (div(maximum(top, 0.0), jerk), neg(jerk)),
            (cruise, 0.0),
            (div(maximum(add(bottom, early), 0.0), jerk), neg(jerk)),
            (second, 0.0),
            (div(bottom, jerk), jerk),
        ]

    def beyond(k: Number) -> Number:
        """How far past the goal a peak leads."""
        return sub(moved((0.0, v, a), phases(k, 0.0))[0], distance)

    widest = _root(mul(jerk, sub(fastest, base)))
    left = neg(beyond(widest))
    cruising = _above(left)
    k = select(cruising, widest, solved_above(beyond, lowest, widest))
    cruise = select(cruising, div(left, select(cruising, add(base, div(mul(k, k), jerk)), 1.0)), 0.0)
    return [(seconds, mul(sign, x)) for seconds, x in phases(k, cruise)]


def _held(square: Number, largest: Number, jerk: Number) -> Number:
    """Seconds at the largest acceleration, of a ramp whose peak would have this square."""
    return div(maximum(sub(square, mul(largest, largest)), 0.0), mul(jerk, largest))


def solved_above(beyond: Callable[[Number], Number], lowest: Number, widest: Number) -> Number:
    """The k in [lowest, widest] at which a function that is below 0 at the lowest, and crosses 0 once, is
    0."""

    def closer(carried: Sequence[Number]) -> Sequence[Number]:
        low, high, k = carried
        value, slope = _with_slope(beyond, k)
        short = _below(value, 0.0)
        low, high = select(short, k, low), select(short, high, k)
        rising = _above(slope)
        step = sub(k, div(value, select(rising, slope, 1.0)))
        inside = both(rising, both(_not_above(low, step), _not_above(step, high)))
        return low, high, select(inside, step, mul(0.5, add(low, high)))

    k = iterated(closer, (lowest, widest, mul(0.5, add(lowest, widest))), NEWTON_STEPS, widest)[2]
    value, slope = _with_slope(beyond, k)
    step = sub(k, div(value, detached(select(_above(slope), slope, 1.0))))
    return select(_above(slope), step, k)


def _with_slope(beyond: Callable[[Number], Number], k: Number) -> tuple[Number, Number]:
    """A function's value and derivative."""
    value = beyond(k)
    assert isinstance(k, Scalar)
    return value, tangents([value], {k.number: 1.0})[0]
