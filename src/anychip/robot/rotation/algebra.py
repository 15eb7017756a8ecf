"""Rotations in a formula's scalars, quaternions with the real part first: what the operators of this folder
and the kinematics of whole robots are written with."""

from __future__ import annotations

from ..formulas.graph import Number, Scalar, arc, atan2, div, mul, neg, select, sqrt, stumpff
from ..formulas.small import (
    Matrix,
    Vector,
    cross,
    dot,
    hat,
    identity,
    matrix_plus,
    matrix_scaled,
    minus,
    plus,
    product,
    scaled,
)


def real_first(q: Vector, order: str) -> list[Number]:
    """A quaternion of an order with the real part first."""
    return list(q) if order == "wxyz" else [q[3], q[0], q[1], q[2]]


def in_order(q: Vector, order: str) -> list[Number]:
    """A quaternion, real part first, in an order."""
    return list(q) if order == "wxyz" else [q[1], q[2], q[3], q[0]]


def quat_product(a: Vector, b: Vector) -> list[Number]:
    """a b."""
    real = a[0] * b[0] - dot(a[1:], b[1:])
    turned = plus(plus(scaled(a[0], b[1:]), scaled(b[0], a[1:])), cross(a[1:], b[1:]))
    return [real, *turned]


def quat_rotate(q: Vector, v: Vector) -> list[Number]:
    """q v q^-1 |q|^2 of a quaternion: the rotated vector, for a unit one."""
    real, imaginary = q[0], q[1:]
    twice = scaled(2.0, cross(imaginary, v))
    return plus(plus(v, scaled(real, twice)), cross(imaginary, twice))


def quat_matrix(q: Vector, factor: Number = 2.0) -> list[list[Number]]:
    """The rotation matrix of a unit quaternion; `factor` is 2 / |q|^2 for others."""
    w, x, y, z = q
    fx, fy, fz = mul(factor, x), mul(factor, y), mul(factor, z)
    xx, yy, zz = mul(fx, x), mul(fy, y), mul(fz, z)
    xy, xz, yz = mul(fx, y), mul(fx, z), mul(fy, z)
    wx, wy, wz = mul(w, fx), mul(w, fy), mul(w, fz)
    return [
        [1.0 - (yy + zz), xy - wz, xz + wy],
        [xy + wz, 1.0 - (xx + zz), yz - wx],
        [xz - wy, yz + wx, 1.0 - (xx + yy)],
    ]


def matrix_quat(m: Matrix) -> list[Number]:
    """The quaternion of a rotation matrix with real part not below 0, by the largest of its four squares,
    which loses no digits."""
    a, b, c = m[0][0], m[1][1], m[2][2]
    squares = [1.0 + a + b + c, 1.0 + a - b - c, 1.0 - a + b - c, 1.0 - a - b + c]
    u, v, w = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    p, q, r = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    rows = [[squares[0], u, v, w], [u, squares[1], p, q], [v, p, squares[2], r], [w, q, r, squares[3]]]
    best, row = squares[0], rows[0]
    for square, other in zip(squares[1:], rows[1:], strict=True):
        larger = square > best  # type: ignore[operator]
        best = select(larger, square, best)
        row = [select(larger, y, x) for x, y in zip(row, other, strict=True)]
    factor = div(0.5, sqrt(best))
    return not_below_zero([mul(factor, x) for x in row])


def not_below_zero(q: Vector) -> list[Number]:
    """The quaternion of the same rotation with real part not below 0."""
    if not isinstance(q[0], Scalar):
        return list(q)
    below = q[0] < 0.0
    return [select(below, neg(x), x) for x in q]


def vector_quat(v: Vector) -> list[Number]:
    """The unit quaternion of a rotation vector (axis times angle)."""
    quarter = mul(0.25, dot(v, v))
    return [stumpff(0, quarter), *scaled(mul(0.5, stumpff(1, quarter)), v)]


def quat_vector(q: Vector) -> list[Number]:
    """The rotation vector of a quaternion, of angle up to pi."""
    q = not_below_zero(q)
    imaginary = q[1:]
    return scaled(mul(2.0, arc(dot(imaginary, imaginary), q[0])), imaginary)


def vector_matrix(v: Vector) -> list[list[Number]]:
    """The rotation matrix of a rotation vector, by Rodrigues."""
    s = dot(v, v)
    return in_powers(v, 1.0, stumpff(1, s), stumpff(2, s))


def in_powers(v: Vector, one: Number, first: Number, second: Number) -> list[list[Number]]:
    """one I + first V + second V^2 of the matrix V of v x (.)."""
    x, y, z = v
    fx, fy, fz = scaled(first, v)
    sx, sy, sz = scaled(second, v)
    xx, yy, zz, xy, xz, yz = sx * x, sy * y, sz * z, sx * y, sx * z, sy * z
    return [
        [one - (yy + zz), xy - fz, xz + fy],
        [xy + fz, one - (xx + zz), yz - fx],
        [xz - fy, yz + fx, one - (xx + yy)],
    ]


def left_jacobian(v: Vector) -> list[list[Number]]:
    """The left Jacobian of the rotation group at a rotation vector; the right one is that of -v."""
    s = dot(v, v)
    return in_powers(v, 1.0, stumpff(2, s), stumpff(3, s))


def left_jacobian_inverse(v: Vector) -> list[list[Number]]:
    """Its inverse, for angles below 2 pi."""
    s = dot(v, v)
    return in_powers(v, 1.0, -0.5, div(stumpff(3, s) - 2.0 * stumpff(4, s), 2.0 * stumpff(2, s)))


def motion_jacobian(linear: Vector, angular: Vector) -> list[list[Number]]:
    """The upper right block Q of the left Jacobian of rigid motions (linear part first): the derivative of
    the rotations' left Jacobian along `linear` (Barfoot, State Estimation for Robotics, 2nd ed., (8.91))."""
    s = dot(angular, angular)
    p, a = hat(linear), hat(angular)
    ap, pa = product(a, p), product(p, a)
    apa = product(ap, a)
    aap, paa = product(a, ap), product(pa, a)
    third, fourth, fifth = stumpff(3, s), stumpff(4, s), stumpff(5, s)
    parts = [
        (0.5, p),
        (third, matrix_plus(matrix_plus(ap, pa), apa)),
        (fourth, matrix_plus(matrix_plus(aap, paa), matrix_scaled(-3.0, apa))),
        (0.5 * (fourth - 3.0 * fifth), matrix_plus(product(apa, a), product(a, apa))),
    ]
    found = matrix_scaled(0.0, identity(3))
    for factor, matrix in parts:
        found = matrix_plus(found, matrix_scaled(factor, matrix))
    return found


def axis_matrix(axis: Vector, sine: Number, cosine: Number) -> list[list[Number]]:
    """The rotation about a unit axis of known numbers."""
    x, y, z = axis
    rest = 1.0 - cosine
    return [
        [cosine + x * x * rest, x * y * rest - z * sine, x * z * rest + y * sine],
        [x * y * rest + z * sine, cosine + y * y * rest, y * z * rest - x * sine],
        [x * z * rest - y * sine, y * z * rest + x * sine, cosine + z * z * rest],
    ]


def slerp(a: Vector, b: Vector, t: Number) -> list[Number]:
    """From a (t = 0) to b (t = 1) at constant speed along the shorter way: a exp(t log(a^-1 b))."""
    between = quat_product([a[0], *(neg(x) for x in a[1:])], b)
    return quat_product(a, vector_quat(scaled(t, quat_vector(between))))


def unit_six(d: Vector) -> list[list[Number]]:
    """The rotation matrix whose first two columns are made of six numbers by Gram and Schmidt."""
    first, second = d[:3], d[3:]
    x = scaled(div(1.0, sqrt(dot(first, first))), first)
    rest = minus(second, scaled(dot(x, second), x))
    y = scaled(div(1.0, sqrt(dot(rest, rest))), rest)
    z = cross(x, y)
    return [[x[k], y[k], z[k]] for k in range(3)]


EVEN = {(0, 1, 2), (1, 2, 0), (2, 0, 1)}
LOCKED = 1e-14
"""Where the square of the cosine (or sine) of the middle angle is below this, only a sum of the others is
known."""


def euler_matrix(sines: Vector, cosines: Vector, axes: tuple[int, ...]) -> list[list[Number]]:
    """The product of turns about moving axes."""
    found = identity(3)
    for axis, sine, cosine in zip(axes, sines, cosines, strict=True):
        unit = [1.0 if k == axis else 0.0 for k in range(3)]
        found = product(found, axis_matrix(unit, sine, cosine))
    return found


def matrix_euler(m: Matrix, axes: tuple[int, ...], first_is_zero: bool) -> list[Number]:
    """Angles about moving axes; where two axes coincide the last one is 0 (with `first_is_zero` the
    first)."""
    i, j, k = axes
    h = 3 - i - j
    e = 1.0 if (i, j, h) in EVEN else -1.0
    if i != k:
        square = m[i][i] * m[i][i] + m[i][j] * m[i][j]
        outer = atan2(neg(mul(e, m[j][k])), m[k][k])
        inner = atan2(neg(mul(e, m[i][j])), m[i][i])
        alone = atan2(mul(e, m[k][j]), m[j][j])
        last_alone = atan2(mul(e, m[j][i]), m[j][j])
    else:
        square = m[i][j] * m[i][j] + m[i][h] * m[i][h]
        outer = atan2(m[j][i], neg(mul(e, m[h][i])))
        inner = atan2(m[i][j], mul(e, m[i][h]))
        alone = atan2(mul(e, m[h][j]), m[j][j])
        last_alone = atan2(neg(mul(e, m[j][h])), m[j][j])
    locked = square < LOCKED  # type: ignore[operator]
    root = select(locked, 0.0, sqrt(select(locked, 1.0, square)))
    middle = atan2(mul(e, m[i][k]), root) if i != k else atan2(root, m[i][i])
    if first_is_zero:
        return [select(locked, 0.0, outer), middle, select(locked, last_alone, inner)]
    return [select(locked, alone, outer), middle, select(locked, 0.0, inner)]
