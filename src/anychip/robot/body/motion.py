"""How each joint of a robot moves, in a formula's scalars. Flows in: a robot and the scalars of q. Flows out:
for each joint its rotation and translation in the body before it, and in the base, with all that is constant
folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..formulas.graph import Number, cos, div, sin, sqrt
from ..formulas.small import Matrix, Vector, apply, dot, plus, product, scaled
from ..model.description import Joint, Robot
from ..rotation.algebra import axis_matrix, quat_matrix

TINY = 1e-15
"""Below this an entry of a placement is the rounding of a zero."""


def known(values: Any) -> Any:
    """Nested lists of plain numbers of an array, rounding of zeros left out."""
    if getattr(values, "ndim", 0) == 0:
        x = float(values)
        return 0.0 if abs(x) < TINY else 1.0 if abs(x - 1.0) < TINY else -1.0 if abs(x + 1.0) < TINY else x
    return [known(x) for x in values]


@dataclass(frozen=True, slots=True)
class Pose:
    """A rotation matrix and a translation, of a formula's scalars."""

    rotation: Matrix
    translation: Vector

    def __matmul__(self, other: Pose) -> Pose:
        """This pose after the other one."""
        return Pose(
            product(self.rotation, other.rotation),
            plus(apply(self.rotation, other.translation), self.translation),
        )


def own_motion(joint: Joint, q: Sequence[Number]) -> Pose:
    """The motion of a joint by itself, q being its own numbers. Quaternions and pairs (cos, sin) of another
    length than 1 mean the unit ones of their direction, so that gradients by q are those along the
    manifold."""
    still = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    axis = known(joint.axis)
    if joint.kind == "revolute":
        return Pose(axis_matrix(axis, sin(q[0]), cos(q[0])), [0.0, 0.0, 0.0])
    if joint.kind == "continuous":
        c, s = unit_pair(q)
        return Pose(axis_matrix(axis, s, c), [0.0, 0.0, 0.0])
    if joint.kind == "prismatic":
        return Pose(still, [x * q[0] for x in axis])
    if joint.kind == "planar":
        c, s = unit_pair(q[2:])
        return Pose(axis_matrix([0.0, 0.0, 1.0], s, c), [q[0], q[1], 0.0])
    turn = quat_matrix([q[-1], *q[-4:-1]], div(2.0, dot(q[-4:], q[-4:])))
    return Pose(turn, list(q[:3]) if joint.kind == "free_flyer" else [0.0, 0.0, 0.0])


def unit_pair(q: Sequence[Number]) -> list[Number]:
    """(cos, sin) at length 1."""
    return scaled(div(1.0, sqrt(dot(q, q))), q)


def placed(joint: Joint) -> Pose:
    """The constant placement of a joint on the body before it."""
    return Pose(known(joint.placement.rotation), known(joint.placement.translation))


def subspace(joint: Joint) -> list[tuple[list[float], list[float]]]:
    """For each number of a joint's velocity, the angular and the linear velocity per unit, in the moved
    body's axes."""
    axis, zero = known(joint.axis), [0.0, 0.0, 0.0]
    units = [[1.0 if k == i else 0.0 for k in range(3)] for i in range(3)]
    if joint.kind in ("revolute", "continuous"):
        return [(axis, zero)]
    if joint.kind == "prismatic":
        return [(zero, axis)]
    if joint.kind == "planar":
        return [(zero, units[0]), (zero, units[1]), (units[2], zero)]
    angular = [(each, zero) for each in units]
    return angular if joint.kind == "ball" else [*((zero, each) for each in units), *angular]


def relative(robot: Robot, q: Sequence[Number]) -> list[Pose]:
    """The pose of each joint's body in the body before it."""
    return [
        placed(joint) @ own_motion(joint, q[joint.at_q : joint.at_q + joint.nq]) for joint in robot.joints
    ]


def in_base(robot: Robot, poses: Sequence[Pose], used: Sequence[int] | None = None) -> dict[int, Pose]:
    """The pose of each joint's body in the world, of all joints or of those used and what is before them."""
    wanted = set(range(len(robot.joints)) if used is None else (j for k in used for j in robot.ancestors(k)))
    found: dict[int, Pose] = {}
    for place in sorted(wanted):
        parent = robot.joints[place].parent
        found[place] = poses[place] if parent < 0 else found[parent] @ poses[place]
    return found
