"""The quickest way along a path that is given (H. Pham, Q. Pham, A new approach to time-optimal path
parameterization based on reachability analysis, IEEE Transactions on Robotics 34, 2018). Flows in: a path's
first and second derivatives by its parameter s at points of it, and limits of joints. Flows out: the speed of
s at these points, and when they are reached.

With x the square of the speed and u the acceleration of s, limits of acceleration are pairs of lines in x
and u, and from point to point x grows by twice the step times u. Backwards from the end the interval of x
from which the rest can be done is found at each point; forwards then u is as large as that lets it be. The
ends of an interval are the ends of where a concave function of x, the room that lines leave to u, is not
below 0: Newton's method from outside finds them in a few rounds, as the function is made of lines."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.distinct import distinct
from ...ops.errors import ArgumentError, UnsupportedDtype
from ...ops.fused import Fused
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ..formulas.formula import DTYPES
from ..registry import register

TILES = Tiles(simt={"paths": 64}, simd={"paths": 8})
ROUNDS = 64
"""Rounds of Newton's method at most; it ends when no path of a tile moves, after three or four."""


@triton.jit
def _line(top, top_slope, low, low_slope, widest, x, a, b, limit):
    """The bounds of u, and their slopes by x, with those of |a u + b x| <= limit; the largest x."""
    size = tl.abs(a)
    # A joint that rests at this point bounds x alone.
    free = size > 1e-9 * (tl.abs(b) + size)
    part = tl.where(free, size, 1.0)
    slope = tl.where(a < 0, b, -b) / part
    above = limit / part + slope * x
    below = slope * x - limit / part
    is_top = free & (above < top)
    is_low = free & (below > low)
    top_slope = tl.where(is_top, slope, top_slope)
    low_slope = tl.where(is_low, slope, low_slope)
    top = tl.where(is_top, above, top)
    low = tl.where(is_low, below, low)
    bend = tl.abs(b)
    resting = (free == 0) & (bend > 0)
    widest = tl.where(resting, tl.minimum(widest, limit / tl.where(resting, bend, 1.0)), widest)
    return top, top_slope, low, low_slope, widest


@triton.jit
def _room(
    slopes, bends, limits, own, point, points, joints, mask, x, step, least, most, WITH_NEXT: tl.constexpr
):
    """Bounds of u at a point for squares of speed x, their slopes by x, and the largest x; the square at the
    next point stays in [least, most]."""
    twice = 2 * step
    top = (most - x) / twice
    low = (least - x) / twice
    top_slope = -1 / twice
    low_slope = top_slope
    widest = tl.full(x.shape, float("inf"), x.dtype)
    for joint in range(joints):
        at = (own * points + point) * joints + joint
        limit = tl.load(limits + own * joints + joint, mask=mask, other=1.0)
        a = tl.load(slopes + at, mask=mask, other=1.0)
        b = tl.load(bends + at, mask=mask, other=0.0)
        top, top_slope, low, low_slope, widest = _line(top, top_slope, low, low_slope, widest, x, a, b, limit)
        if WITH_NEXT:  # the same at the next point, where the square is x + 2 step u
            b = tl.load(bends + at + joints, mask=mask, other=0.0)
            a = tl.load(slopes + at + joints, mask=mask, other=1.0) + twice * b
            top, top_slope, low, low_slope, widest = _line(
                top, top_slope, low, low_slope, widest, x, a, b, limit
            )
    return top, top_slope, low, low_slope, widest


@triton.jit
def _fastest(slopes, velocities, own, point, points, joints, mask, ROUNDED: tl.constexpr):
    """The largest square of speed at a point that limits of velocity allow."""
    square = tl.full(own.shape, float("inf"), ROUNDED)
    for joint in range(joints):
        a = tl.abs(tl.load(slopes + (own * points + point) * joints + joint, mask=mask, other=1.0))
        v = tl.load(velocities + own * joints + joint, mask=mask, other=1.0)
        speed = v / tl.where(a > 0, a, 1.0)
        square = tl.where(a > 0, tl.minimum(square, speed * speed), square)
    return square


@triton.jit
def path_kernel(
    squares, bounds, slopes, bends, steps, velocities, accelerations, starts, ends, points, joints, count,
    WITH_NEXT: tl.constexpr, ROUNDS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Squares of speeds [paths, points]; `bounds` [paths, points, 2] is room for the intervals. No number
    from the first point on where a path cannot be done."""
    distinct(squares, slopes)
    distinct(squares, bends)
    distinct(squares, steps)
    distinct(squares, velocities)
    distinct(squares, accelerations)
    distinct(bounds, slopes)
    distinct(bounds, bends)
    distinct(bounds, steps)
    distinct(bounds, velocities)
    distinct(bounds, accelerations)
    distinct(squares, bounds)
    FLOAT: tl.constexpr = squares.dtype.element_ty
    own = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = own < count
    speed = tl.load(ends + own, mask=mask, other=0.0)
    least = speed * speed
    fastest = _fastest(slopes, velocities, own, points - 1, points, joints, mask, FLOAT)
    most = tl.where(least <= fastest, least, float("nan"))
    least = most
    tl.store(bounds + (own * points + points - 1) * 2, least, mask=mask)
    tl.store(bounds + (own * points + points - 1) * 2 + 1, most, mask=mask)
    for back in range(points - 1):
        point = points - 2 - back
        step = tl.load(steps + own * (points - 1) + point, mask=mask, other=1.0)
        fastest = _fastest(slopes, velocities, own, point, points, joints, mask, FLOAT)
        _, _, _, _, widest = _room(
            slopes,
            bends,
            accelerations,
            own,
            point,
            points,
            joints,
            mask,
            fastest,
            step,
            least,
            most,
            WITH_NEXT,
        )
        high = tl.minimum(fastest, widest)
        # A point without any limit of its own: what can still be braked bounds it.
        high = tl.where(high < 1e30, high, 1e30)
        low = tl.zeros((BLOCK,), FLOAT)
        for end in tl.static_range(2):
            x = high if end == 0 else low
            moving = 1
            rounds = 0
            while (moving > 0) & (rounds < ROUNDS):
                top, top_slope, bottom, bottom_slope, _ = _room(
                    slopes,
                    bends,
                    accelerations,
                    own,
                    point,
                    points,
                    joints,
                    mask,
                    x,
                    step,
                    least,
                    most,
                    WITH_NEXT,
                )
                room = top - bottom
                slope = top_slope - bottom_slope
                short = room < -4e-16 * (tl.abs(top) + tl.abs(bottom))
                right_way = (slope < 0) if end == 0 else (slope > 0)
                after = x - room / tl.where(right_way, slope, 1.0)
                changed = short & (after != x)
                x = tl.where(short, tl.where(right_way, after, float("nan")), x)
                moving = tl.max(tl.where(mask & changed & (x == x), 1, 0), 0)
                rounds += 1
            if end == 0:
                high = x
            else:
                low = x
        low = tl.where(low <= high, low, float("nan"))
        high = tl.where(low <= high, high, float("nan"))
        tl.store(bounds + (own * points + point) * 2, low, mask=mask)
        tl.store(bounds + (own * points + point) * 2 + 1, high, mask=mask)
        least = low
        most = high
    speed = tl.load(starts + own, mask=mask, other=0.0)
    x = speed * speed
    x = tl.where((x >= least) & (x <= most), x, float("nan"))
    tl.store(squares + own * points, x, mask=mask)
    for point in range(points - 1):
        step = tl.load(steps + own * (points - 1) + point, mask=mask, other=1.0)
        least = tl.load(bounds + (own * points + point + 1) * 2, mask=mask, other=0.0)
        most = tl.load(bounds + (own * points + point + 1) * 2 + 1, mask=mask, other=0.0)
        top, _, _, _, _ = _room(
            slopes, bends, accelerations, own, point, points, joints, mask, x, step, least, most, WITH_NEXT
        )
        x = x + 2 * step * top
        # What rounding takes off the interval is given back.
        x = tl.where(x < least, least, tl.where(x > most, most, x))
        tl.store(squares + own * points + point + 1, x, mask=mask)


def path_timing(
    slopes: torch.Tensor,
    bends: torch.Tensor,
    steps: torch.Tensor,
    max_velocity: torch.Tensor,
    max_acceleration: torch.Tensor,
    start_speed: torch.Tensor,
    end_speed: torch.Tensor,
    between: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Speeds (..., n) of the parameter s of paths at n points, and the seconds (..., n) when these are
    reached, for the quickest way along them: `slopes` and `bends` (..., n, joints) are the first and second
    derivatives of joints by s, `steps` (..., n - 1) what s grows by from point to point, above 0; limits
    (..., joints) are above 0; speeds of s at both ends (...) are not below 0. Limits of acceleration hold at
    each point, and with `between` also at the end of each step, as toppra's default has it. Where a path
    cannot be done, no number."""
    shape = slopes.shape
    batch = shape[:-2]
    if slopes.dim() < 2 or shape[-2] < 2 or bends.shape != shape:
        raise ArgumentError(
            f"path_timing: slopes are {tuple(shape)}, bends {tuple(bends.shape)}; give (..., n, joints) of 2 "
            f"points or more"
        )
    if slopes.dtype not in DTYPES:
        raise UnsupportedDtype("path_timing", slopes.dtype)
    points, joints = shape[-2:]
    given = (
        ("steps", steps, (points - 1,)),
        ("max_velocity", max_velocity, (joints,)),
        ("max_acceleration", max_acceleration, (joints,)),
        ("start_speed", start_speed, ()),
        ("end_speed", end_speed, ()),
    )
    whole = [slopes.detach().contiguous(), bends.detach().contiguous()]
    for name, x, own in given:
        if x.dtype != slopes.dtype or x.shape[x.dim() - len(own) :] != own:
            raise ArgumentError(
                f"path_timing: {name} is {tuple(x.shape)} of {x.dtype}; its last dimensions must be {own}, "
                f"and its type {slopes.dtype}"
            )
        whole.append(x.detach().expand((*batch, *own)).contiguous())
    squares = slopes.new_empty(shape[:-1])
    bounds = slopes.new_empty((*shape[:-1], 2))
    count = squares.numel() // points
    block = TILES.on(slopes)["paths"]
    if count:
        launch(
            path_kernel,
            cdiv(count, block),
            squares,
            bounds,
            *whole,
            points,
            joints,
            count,
            WITH_NEXT=between,
            ROUNDS=ROUNDS,
            BLOCK=block,
        )
    speeds = squares.sqrt()
    took = 2 * whole[2] / (speeds[..., 1:] + speeds[..., :-1])
    times = torch.cat((torch.zeros_like(took[..., :1]), took.cumsum(-1)), -1)
    return speeds, times


# ---- records -----------------------------------------------------------------------------------------


def _lines(
    slope: torch.Tensor, bend: torch.Tensor, limit: torch.Tensor, after: tuple[torch.Tensor, ...] | None
) -> torch.Tensor:
    """Rows (a, b, c) of a u + b x <= c."""
    rows = [torch.stack((sign * slope, sign * bend, limit), -1) for sign in (1, -1)]
    if after is not None:
        next_slope, next_bend, step = after
        reach = next_slope + 2 * step * next_bend
        rows += [torch.stack((sign * reach, sign * next_bend, limit), -1) for sign in (1, -1)]
    return torch.cat(rows)


def _extreme(rows: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    """The feasible point (u, x) farthest along `way`, among all crossings of two lines."""
    first, second = torch.combinations(torch.arange(len(rows)), 2).T
    a, b = rows[first], rows[second]
    turn = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    u = (a[:, 2] * b[:, 1] - a[:, 1] * b[:, 2]) / turn
    x = (a[:, 0] * b[:, 2] - a[:, 2] * b[:, 0]) / turn
    at = torch.stack((u, x), -1)[turn.abs() > 1e-12]
    room = rows[:, 2] - at @ rows[:, :2].T
    fits = (room >= -1e-9 * (1 + rows[:, 2].abs())).all(-1)
    at = at[fits]
    return at[(at @ way).argmax()]


def _plain(
    slopes: torch.Tensor,
    bends: torch.Tensor,
    steps: torch.Tensor,
    max_velocity: torch.Tensor,
    max_acceleration: torch.Tensor,
    start_speed: torch.Tensor,
    end_speed: torch.Tensor,
    between: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear programs in u and x, in double precision, by all crossings of their lines."""
    dtype = slopes.dtype
    slopes, bends, steps, fastest, limit = (
        x.double() for x in (slopes, bends, steps, max_velocity, max_acceleration)
    )
    points = len(slopes)
    up, along = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)

    def rows(point: int, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        step = steps[point]
        after = (slopes[point + 1], bends[point + 1], step) if between else None
        speed = (fastest / slopes[point].abs()).amin() ** 2
        more = [[0.0, -1.0, 0.0], [0.0, 1.0, float(speed)]]
        more += [[2 * float(step), 1.0, float(high)], [-2 * float(step), -1.0, -float(low)]]
        return torch.cat((_lines(slopes[point], bends[point], limit, after), slopes.new_tensor(more)))

    bounds = [(end_speed.double() ** 2, end_speed.double() ** 2)]
    for point in reversed(range(points - 1)):
        given = rows(point, *bounds[0])
        bounds.insert(0, (_extreme(given, -up)[1], _extreme(given, up)[1]))
    squares = [start_speed.double() ** 2]
    for point in range(points - 1):
        x = float(squares[-1])
        fixed = slopes.new_tensor([[0.0, 1.0, x], [0.0, -1.0, -x]])
        u = _extreme(torch.cat((rows(point, *bounds[point + 1]), fixed)), along)[0]
        squares.append((squares[-1] + 2 * steps[point] * u).clamp(min=0))
    speeds = torch.stack(squares).sqrt()
    took = (2 * steps / (speeds[1:] + speeds[:-1])).cumsum(0)
    times = torch.cat((torch.zeros(1, dtype=torch.float64), took))
    return speeds.to(dtype), times.to(dtype)


def _paths(dtype: torch.dtype) -> Iterable[Sample]:
    s = torch.linspace(0, 1, 14, dtype=torch.float64)
    turns = torch.tensor([3.1, 4.7, 2.3], dtype=torch.float64)
    phase = torch.tensor([0.3, 0.9, 1.7], dtype=torch.float64)
    angle = s[:, None] * turns + phase
    given = [turns * torch.cos(angle), -(turns**2) * torch.sin(angle), s.diff()]
    given += [torch.tensor(x, dtype=torch.float64) for x in ([1.0, 1.5, 2.0], [2.0, 3.0, 2.5], 0.0, 0.0)]
    path = [x.to(dtype) for x in given]
    yield Sample(tuple(path))
    yield Sample((*path, False))
    straight = torch.ones(3, 1, dtype=dtype)
    one, still = torch.ones(1, dtype=dtype), torch.zeros((), dtype=dtype)
    yield Sample((straight, 0 * straight, torch.ones(2, dtype=dtype), 4 * one, one, still, still))


register(Fused("path_timing", "timing", path_timing, _plain, _paths, (path_kernel,), DTYPES))
