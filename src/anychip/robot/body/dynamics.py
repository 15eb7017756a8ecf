"""Inverse dynamics, mass matrix and forward dynamics, as formulas of a robot (Featherstone, Rigid Body
Dynamics Algorithms, 2008: chapters 5 to 7). Inverse dynamics runs in the bodies' own axes with classical
accelerations of their origins; mass matrix and forward dynamics in the axes of the base, where nothing is
turned but each body's inertia, once."""

from __future__ import annotations

from collections.abc import Sequence

from ..formulas.graph import Number, div, mul, neg, sub
from ..formulas.small import (
    Matrix,
    Vector,
    apply,
    apply_transposed,
    cross,
    dot,
    minus,
    negative,
    plus,
    product,
    scaled,
)
from ..model.description import Joint, Robot
from .motion import Pose, in_base, known, relative, subspace

ZERO: list[Number] = [0.0, 0.0, 0.0]


def _own(joint: Joint, values: Sequence[Number]) -> tuple[Vector, Vector]:
    """The angular and linear part of a joint's own velocity or acceleration, in the moved body's axes."""
    angular, linear = ZERO, ZERO
    for k, (turn, shift) in enumerate(subspace(joint)):
        x = values[joint.at_v + k]
        angular, linear = plus(angular, scaled(x, turn)), plus(linear, scaled(x, shift))
    return angular, linear


def inverse_dynamics(
    robot: Robot, q: Sequence[Number], v: Sequence[Number], a: Sequence[Number]
) -> list[Number]:
    """The generalised forces (nv) of a motion, gravity and armature with them."""
    motions = relative(robot, q)
    turning: list[Vector] = []
    turning_faster: list[Vector] = []
    falling: list[Vector] = []
    forces: list[Vector] = []
    moments: list[Vector] = []
    up = [-x for x in robot.gravity]
    for joint, pose in zip(robot.joints, motions, strict=True):
        own_w, own_v = _own(joint, v)
        own_dw, own_dv = _own(joint, a)
        if joint.parent < 0:
            w, dw, dv = ZERO, ZERO, apply_transposed(pose.rotation, up)
        else:
            before, faster = turning[joint.parent], turning_faster[joint.parent]
            r = pose.translation
            w = apply_transposed(pose.rotation, before)
            dw = apply_transposed(pose.rotation, faster)
            carried = plus(falling[joint.parent], plus(cross(faster, r), cross(before, cross(before, r))))
            dv = apply_transposed(pose.rotation, carried)
        dv = plus(dv, plus(scaled(2.0, cross(w, own_v)), plus(own_dv, cross(own_w, own_v))))
        dw = plus(dw, plus(cross(w, own_w), own_dw))
        w = plus(w, own_w)
        turning.append(w)
        turning_faster.append(dw)
        falling.append(dv)
        moment, rotational = known(joint.inertia.moment), known(joint.inertia.rotational)
        force = plus(
            scaled(float(joint.inertia.mass), dv), plus(cross(dw, moment), cross(w, cross(w, moment)))
        )
        forces.append(force)
        moments.append(plus(plus(apply(rotational, dw), cross(w, apply(rotational, w))), cross(moment, dv)))
    result: list[Number] = [0.0] * robot.nv
    for place in reversed(range(len(robot.joints))):
        joint, pose = robot.joints[place], motions[place]
        force, moment = forces[place], moments[place]
        for k, (turn, shift) in enumerate(subspace(joint)):
            at = joint.at_v + k
            result[at] = dot(turn, moment) + dot(shift, force)
            result[at] = result[at] + joint.armature * a[at]
        if joint.parent >= 0:
            turned = apply(pose.rotation, force)
            forces[joint.parent] = plus(forces[joint.parent], turned)
            moments[joint.parent] = plus(
                moments[joint.parent], plus(apply(pose.rotation, moment), cross(pose.translation, turned))
            )
    return result


def gravity(robot: Robot, q: Sequence[Number]) -> list[Number]:
    """The generalised forces (nv) that hold the robot still."""
    still: list[Number] = [0.0] * robot.nv
    return inverse_dynamics(robot, q, still, still)


# ---- in the axes of the base ---------------------------------------------------------------------------


def _bodies(robot: Robot, q: Sequence[Number]) -> tuple[list[Pose], Matrix]:
    """The poses of all bodies in axes that the first joint of a robot with a moving base carries, if it does:
    what is computed in them does not depend on where the base is. Also the rotation of these axes in the
    world."""
    motions = relative(robot, q)
    still: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    axes = still
    roots = [place for place, joint in enumerate(robot.joints) if joint.parent < 0]
    if len(roots) == 1 and robot.joints[roots[0]].kind in ("free_flyer", "ball", "planar"):
        axes = motions[roots[0]].rotation
        motions[roots[0]] = Pose(still, ZERO)
    found = in_base(robot, motions)
    return [found[place] for place in range(len(motions))], axes


Sym = list[Number]
"""A symmetric matrix of three rows: xx, xy, xz, yy, yz, zz."""


def _symmetric(a: Sym, x: Vector) -> list[Number]:
    return [
        a[0] * x[0] + a[1] * x[1] + a[2] * x[2],
        a[1] * x[0] + a[3] * x[1] + a[4] * x[2],
        a[2] * x[0] + a[4] * x[1] + a[5] * x[2],
    ]


def _inertia(joint: Joint, pose: Pose) -> tuple[Number, Vector, Sym]:
    """Mass, mass times centre, and rotational inertia about the base's origin, in the base's axes."""
    mass = float(joint.inertia.mass)
    rotation, p = pose.rotation, pose.translation
    shifted = apply(rotation, known(joint.inertia.moment))
    moment = plus(shifted, scaled(mass, p))
    half = product(rotation, known(joint.inertia.rotational))
    rows = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    turned = [dot(half[i], rotation[j]) for i, j in rows]
    # About the base's origin: I + (2 c.p + m p.p) 1 - (c p' + p c' + m p p'), c the first moment at p.
    both = plus(shifted, moment)
    trace = dot(both, p)
    found = []
    for x, (i, j) in zip(turned, rows, strict=True):
        outer = mul(0.5, both[i] * p[j] + both[j] * p[i])
        found.append(x + (sub(trace, outer) if i == j else neg(outer)))
    return mass, moment, found


def _columns(robot: Robot, bodies: Sequence[Pose]) -> list[tuple[Vector, Vector]]:
    """For each number of v: angular velocity, and linear velocity at the base's origin."""
    found = []
    for joint, body in zip(robot.joints, bodies, strict=True):
        for angular, linear in subspace(joint):
            turn = apply(body.rotation, angular)
            found.append((turn, plus(apply(body.rotation, linear), cross(body.translation, turn))))
    return found


def mass_matrix(robot: Robot, q: Sequence[Number]) -> list[list[Number]]:
    """The mass matrix (nv, nv)."""
    bodies, _ = _bodies(robot, q)
    motions = _columns(robot, bodies)
    inertias = [_inertia(joint, body) for joint, body in zip(robot.joints, bodies, strict=True)]
    found: list[list[Number]] = [[0.0] * robot.nv for _ in range(robot.nv)]
    for place in reversed(range(len(robot.joints))):
        joint = robot.joints[place]
        mass, moment, rotational = inertias[place]
        if joint.parent >= 0:
            m, c, r = inertias[joint.parent]
            inertias[joint.parent] = m + mass, plus(c, moment), plus(r, rotational)
        chain = robot.ancestors(place)
        for k in range(joint.nv):
            turn, shift = motions[joint.at_v + k]
            force = minus(scaled(mass, shift), cross(moment, turn))
            torque = plus(_symmetric(rotational, turn), cross(moment, shift))
            at = joint.at_v + k
            for other in chain:
                before = robot.joints[other]
                for j in range(before.at_v, before.at_v + before.nv):
                    if j > at:
                        continue
                    w, u = motions[j]
                    found[at][j] = found[j][at] = dot(w, torque) + dot(u, force)
            found[at][at] = found[at][at] + joint.armature
    return found


Six = list[Number]
"""A velocity (angular, linear at the base's origin) or a force (torque about it, force)."""


def forward_dynamics(
    robot: Robot, q: Sequence[Number], v: Sequence[Number], forces: Sequence[Number]
) -> list[Number]:
    """The accelerations (nv) that generalised forces cause: the articulated-body algorithm."""
    bodies, axes = _bodies(robot, q)
    motions = [[*turn, *shift] for turn, shift in _columns(robot, bodies)]
    count = len(robot.joints)
    velocities: list[Six] = []
    drifts: list[Six] = []
    inertias: list[list[Six]] = []
    biases: list[Six] = []
    for place, joint in enumerate(robot.joints):
        own: Six = [0.0] * 6
        for k in range(joint.nv):
            own = plus(own, scaled(v[joint.at_v + k], motions[joint.at_v + k]))
        before: Six = velocities[joint.parent] if joint.parent >= 0 else [0.0] * 6
        velocity = plus(before, own)
        velocities.append(velocity)
        drifts.append(_motion_cross(before, own))
        mass, moment, rotational = _inertia(joint, bodies[place])
        matrix = _matrix(mass, moment, rotational)
        inertias.append(matrix)
        momentum = _momentum(mass, moment, rotational, velocity)
        biases.append(_force_cross(velocity, momentum))
    solved: list[tuple[list[Six], list[Number]]] = [([], [])] * count
    for place in reversed(range(count)):
        joint = robot.joints[place]
        matrix, bias = inertias[place], biases[place]
        subspaces = [motions[joint.at_v + k] for k in range(joint.nv)]
        gains, rests = [], []
        # One number of v at a time: a joint of several is so many joints of one, without bodies between.
        for k in reversed(range(joint.nv)):
            motion = subspaces[k]
            column = apply(matrix, motion)
            inverse = div(1.0, dot(motion, column) + joint.armature)
            rest = forces[joint.at_v + k] - dot(motion, bias)
            gain = scaled(inverse, column)
            matrix = _minus_outer(matrix, column, gain)
            bias = plus(bias, scaled(rest, gain))
            gains.append(gain)
            rests.append(mul(inverse, rest))
        solved[place] = (gains[::-1], rests[::-1])
        if joint.parent >= 0:
            drift = drifts[place]
            inertias[joint.parent] = [plus(x, y) for x, y in zip(inertias[joint.parent], matrix, strict=True)]
            biases[joint.parent] = plus(biases[joint.parent], plus(bias, apply(matrix, drift)))
    up = apply_transposed(axes, [-x for x in robot.gravity])
    accelerations: list[Six] = []
    result: list[Number] = [0.0] * robot.nv
    for place, joint in enumerate(robot.joints):
        before = accelerations[joint.parent] if joint.parent >= 0 else [0.0, 0.0, 0.0, *up]
        now = plus(before, drifts[place])
        gains, rests = solved[place]
        for k in range(joint.nv):
            x = rests[k] - dot(gains[k], now)
            result[joint.at_v + k] = x
            now = plus(now, scaled(x, motions[joint.at_v + k]))
        accelerations.append(now)
    return result


def _motion_cross(a: Six, b: Six) -> Six:
    return [*cross(a[:3], b[:3]), *plus(cross(a[:3], b[3:]), cross(a[3:], b[:3]))]


def _force_cross(a: Six, f: Six) -> Six:
    return [*plus(cross(a[:3], f[:3]), cross(a[3:], f[3:])), *cross(a[:3], f[3:])]


def _momentum(mass: Number, moment: Vector, rotational: Sym, v: Six) -> Six:
    return [
        *plus(_symmetric(rotational, v[:3]), cross(moment, v[3:])),
        *minus(scaled(mass, v[3:]), cross(moment, v[:3])),
    ]


def _matrix(mass: Number, moment: Vector, rotational: Sym) -> list[Six]:
    """The spatial inertia (6, 6)."""
    x, y, z = moment
    a, b, c, d, e, f = rotational
    cx: Matrix = [[0.0, neg(z), y], [z, 0.0, neg(x)], [neg(y), x, 0.0]]
    upper: Matrix = [[a, b, c], [b, d, e], [c, e, f]]
    unit: Matrix = [[mass if i == j else 0.0 for j in range(3)] for i in range(3)]
    return [[*upper[i], *cx[i]] for i in range(3)] + [[*negative(row), *unit[i]] for i, row in enumerate(cx)]


def _minus_outer(matrix: list[Six], column: Six, gain: Six) -> list[Six]:
    """matrix - column gain', which is symmetric: half of it is computed."""
    found: list[Six] = [[0.0] * 6 for _ in range(6)]
    for i in range(6):
        for j in range(i + 1):
            found[i][j] = found[j][i] = sub(matrix[i][j], mul(column[i], gain[j]))
    return found
