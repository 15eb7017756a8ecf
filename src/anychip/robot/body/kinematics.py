"""Poses, Jacobians, the centre of mass and integration, as formulas of a robot."""

from __future__ import annotations

from collections.abc import Sequence

from ..formulas.graph import Number, cos, div, mul, sin, stumpff
from ..formulas.small import (
    Vector,
    apply,
    apply_transposed,
    cross,
    dot,
    minus,
    plus,
    scaled,
    total,
)
from ..model.description import Frame, Joint, Robot
from ..rotation.algebra import left_jacobian, quat_matrix, quat_product, vector_quat
from .motion import Pose, in_base, known, relative, subspace, unit_pair


def frame_pose(frame: Frame, bodies: dict[int, Pose]) -> Pose:
    """The pose of a frame in the world."""
    own = Pose(known(frame.placement.rotation), known(frame.placement.translation))
    return own if frame.joint < 0 else bodies[frame.joint] @ own


def poses(robot: Robot, frames: Sequence[Frame], q: Sequence[Number]) -> list[list[list[Number]]]:
    """Homogeneous matrices of frames."""
    bodies = in_base(robot, relative(robot, q), [frame.joint for frame in frames])
    found = []
    for frame in frames:
        pose = frame_pose(frame, bodies)
        rows = [[*row, x] for row, x in zip(pose.rotation, pose.translation, strict=True)]
        found.append([*rows, [0.0, 0.0, 0.0, 1.0]])
    return found


def jacobian(robot: Robot, frame: Frame, reference: str, q: Sequence[Number]) -> list[list[Number]]:
    """The Jacobian (6, nv) of a frame, linear part first, in one of Pinocchio's three references."""
    chain = robot.ancestors(frame.joint)
    bodies = in_base(robot, relative(robot, q), chain)
    pose = frame_pose(frame, bodies)
    rows: list[list[Number]] = [[0.0] * robot.nv for _ in range(6)]
    for place in chain:
        joint, body = robot.joints[place], bodies[place]
        for k, (angular, linear) in enumerate(subspace(joint)):
            turn = apply(body.rotation, angular)
            shift = apply(body.rotation, linear)
            if reference == "WORLD":
                shift = plus(shift, cross(body.translation, turn))
            else:
                shift = plus(shift, cross(turn, minus(pose.translation, body.translation)))
            if reference == "LOCAL":
                turn, shift = apply_transposed(pose.rotation, turn), apply_transposed(pose.rotation, shift)
            for row, x in enumerate((*shift, *turn)):
                rows[row][joint.at_v + k] = x
    return rows


def centre_of_mass(robot: Robot, q: Sequence[Number]) -> list[Number]:
    """The centre of mass of all moving bodies, in the world."""
    bodies = in_base(robot, relative(robot, q))
    parts = [
        plus(
            apply(bodies[place].rotation, known(joint.inertia.moment)),
            scaled(float(joint.inertia.mass), bodies[place].translation),
        )
        for place, joint in enumerate(robot.joints)
        if joint.inertia.mass
    ]
    return [div(total(column), robot.mass) for column in zip(*parts, strict=True)]


def integrated(robot: Robot, q: Sequence[Number], v: Sequence[Number]) -> list[Number]:
    """The configuration after moving from q for one unit of time with the velocity v."""
    found: list[Number] = []
    for joint in robot.joints:
        own = q[joint.at_q : joint.at_q + joint.nq]
        found += _moved(joint, own, v[joint.at_v : joint.at_v + joint.nv])
    return found


def _moved(joint: Joint, q: Sequence[Number], v: Sequence[Number]) -> list[Number]:
    if joint.kind in ("revolute", "prismatic"):
        return [q[0] + v[0]]
    if joint.kind == "continuous":
        return _turned(q, v[0])
    if joint.kind == "ball":
        return _quaternion(q, v)
    if joint.kind == "free_flyer":
        shift = apply(left_jacobian(v[3:]), v[:3])
        turn = quat_matrix([q[6], *q[3:6]], div(2.0, dot(q[3:], q[3:])))
        return [*plus(q[:3], apply(turn, shift)), *_quaternion(q[3:], v[3:])]
    # A plane: the same screw motion about one axis.
    square = v[2] * v[2]
    along, across = stumpff(1, square), mul(v[2], stumpff(2, square))
    x, y = along * v[0] - across * v[1], across * v[0] + along * v[1]
    c, s = unit_pair(q[2:])
    return [q[0] + (c * x - s * y), q[1] + (s * x + c * y), *_turned(q[2:], v[2])]


def _turned(q: Sequence[Number], angle: Number) -> list[Number]:
    """A unit vector (cos, sin), turned, and kept at unit length to first order."""
    c, s = cos(angle), sin(angle)
    return _unit([q[0] * c - q[1] * s, q[1] * c + q[0] * s])


def _quaternion(q: Sequence[Number], v: Sequence[Number]) -> list[Number]:
    """A quaternion xyzw, turned by a rotation vector in the moving axes, kept at unit length to first
    order."""
    w, *rest = quat_product([q[3], *q[:3]], vector_quat(v))
    return _unit([*rest, w])


def _unit(x: Vector) -> list[Number]:
    factor = 0.5 * (3.0 - dot(x, x))
    return scaled(factor, x)
