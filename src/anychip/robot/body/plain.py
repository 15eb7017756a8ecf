"""The same quantities of a whole robot in plain PyTorch: what proofs compare the generated kernels with.
Written by other means than the formulas: homogeneous matrices, spatial vectors of six numbers, and forward
dynamics as the solution of a linear system. Flows in: a robot, q, v, a. Flows out: the like of the
operators."""

from __future__ import annotations

from typing import Any

import torch

from ..model.description import Joint, Placement, Robot
from .motion import subspace


def _stack(rows: list[list[torch.Tensor]]) -> torch.Tensor:
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _constant(values: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=like.dtype)


def homogeneous(placement: Placement, like: torch.Tensor) -> torch.Tensor:
    """A constant placement as a matrix (4, 4)."""
    found = torch.eye(4, dtype=like.dtype)
    found[:3, :3] = _constant(placement.rotation, like)
    found[:3, 3] = _constant(placement.translation, like)
    return found


def hat(v: torch.Tensor) -> torch.Tensor:
    """The matrices of v x (.)."""
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return _stack([[o, -z, y], [z, o, -x], [-y, x, o]])


def motion(joint: Joint, q: torch.Tensor) -> torch.Tensor:
    """The pose (..., 4, 4) that a joint makes by itself."""
    own = q[..., joint.at_q : joint.at_q + joint.nq]
    turn = torch.eye(3, dtype=q.dtype).expand(*q.shape[:-1], 3, 3)
    shift = torch.zeros(*q.shape[:-1], 3, dtype=q.dtype)
    if joint.kind in ("revolute", "continuous", "planar"):
        axis = _constant(joint.axis if joint.kind != "planar" else (0.0, 0.0, 1.0), q)
        pair = torch.cat((own.cos(), own.sin()), -1) if joint.kind == "revolute" else own[..., -2:]
        cosine, sine = (pair / pair.norm(dim=-1, keepdim=True)).unbind(-1)
        cross = hat(axis)
        turn = turn + sine[..., None, None] * cross + (1 - cosine)[..., None, None] * (cross @ cross)
        if joint.kind == "planar":
            shift = torch.cat((own[..., :2], torch.zeros_like(own[..., :1])), -1)
    elif joint.kind == "prismatic":
        shift = own * _constant(joint.axis, q)
    else:
        unit = own[..., -4:] / own[..., -4:].norm(dim=-1, keepdim=True)
        v, w = unit[..., :3], unit[..., 3]
        cross = hat(v)
        turn = turn + 2 * w[..., None, None] * cross + 2 * cross @ cross
        shift = own[..., :3] if joint.kind == "free_flyer" else shift
    upper = torch.cat((turn, shift[..., None]), -1)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=q.dtype).expand(*q.shape[:-1], 1, 4)
    return torch.cat((upper, last), -2)


def relative(robot: Robot, q: torch.Tensor) -> list[torch.Tensor]:
    """The pose of each body in the body before it."""
    return [homogeneous(joint.placement, q) @ motion(joint, q) for joint in robot.joints]


def bodies(robot: Robot, q: torch.Tensor) -> list[torch.Tensor]:
    """The pose of each body in the world."""
    found: list[torch.Tensor] = []
    for joint, pose in zip(robot.joints, relative(robot, q), strict=True):
        found.append(pose if joint.parent < 0 else found[joint.parent] @ pose)
    return found


def forward_kinematics(robot: Robot, q: torch.Tensor, frames: Any = None) -> torch.Tensor:
    """Poses (..., frames, 4, 4)."""
    wanted = robot.joint_frames() if frames is None else [robot.frame(name) for name in frames]
    known = bodies(robot, q)
    found = []
    for frame in wanted:
        own = homogeneous(frame.placement, q)
        found.append(own.expand(*q.shape[:-1], 4, 4) if frame.joint < 0 else known[frame.joint] @ own)
    return torch.stack(found, -3)


def _inverse_adjoint(pose: torch.Tensor) -> torch.Tensor:
    """What turns a spatial velocity (angular, linear) of the frame before into the moved frame."""
    turned, p = pose[..., :3, :3].mT, pose[..., :3, 3]
    zero = torch.zeros_like(turned)
    return torch.cat((torch.cat((turned, zero), -1), torch.cat((-turned @ hat(p), turned), -1)), -2)


def _cross(v: torch.Tensor) -> torch.Tensor:
    """The matrix of a spatial velocity's cross product with velocities."""
    w, u = hat(v[..., :3]), hat(v[..., 3:])
    return torch.cat((torch.cat((w, torch.zeros_like(w)), -1), torch.cat((u, w), -1)), -2)


def _subspace(joint: Joint, like: torch.Tensor) -> torch.Tensor:
    return _constant([[*turn, *shift] for turn, shift in subspace(joint)], like).mT


def _inertia(joint: Joint, like: torch.Tensor) -> torch.Tensor:
    mass, c = joint.inertia.mass, hat(_constant(joint.inertia.moment, like))
    upper = torch.cat((_constant(joint.inertia.rotational, like), c), -1)
    return torch.cat((upper, torch.cat((c.mT, mass * torch.eye(3, dtype=like.dtype)), -1)), -2)


def inverse_dynamics(robot: Robot, q: torch.Tensor, v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Generalised forces (..., nv), by spatial vectors (Featherstone's table 5.1)."""
    poses = relative(robot, q)
    up = torch.cat((torch.zeros(3, dtype=q.dtype), -_constant(robot.gravity, q)))
    speeds: list[torch.Tensor] = []
    rates: list[torch.Tensor] = []
    forces: list[torch.Tensor] = []
    for joint, pose in zip(robot.joints, poses, strict=True):
        across, axes = _inverse_adjoint(pose), _subspace(joint, q)
        own = v[..., joint.at_v : joint.at_v + joint.nv] @ axes.mT
        faster = a[..., joint.at_v : joint.at_v + joint.nv] @ axes.mT
        if joint.parent < 0:
            speed, rate = own, faster + (across @ up)
        else:
            speed = own + (across @ speeds[joint.parent][..., None])[..., 0]
            rate = faster + (across @ rates[joint.parent][..., None])[..., 0]
            rate = rate + (_cross(speed) @ own[..., None])[..., 0]
        inertia = _inertia(joint, q)
        speeds.append(speed)
        rates.append(rate)
        forces.append(rate @ inertia.mT - (_cross(speed).mT @ (speed @ inertia.mT)[..., None])[..., 0])
    result: list[torch.Tensor] = [torch.empty(0)] * len(robot.joints)
    for place in reversed(range(len(robot.joints))):
        joint = robot.joints[place]
        part = slice(joint.at_v, joint.at_v + joint.nv)
        result[place] = forces[place] @ _subspace(joint, q) + joint.armature * a[..., part]
        if joint.parent >= 0:
            back = (_inverse_adjoint(poses[place]).mT @ forces[place][..., None])[..., 0]
            forces[joint.parent] = forces[joint.parent] + back
    return torch.cat(result, -1)


def gravity(robot: Robot, q: torch.Tensor) -> torch.Tensor:
    """Generalised forces (..., nv) of a robot at rest."""
    still = torch.zeros(*q.shape[:-1], robot.nv, dtype=q.dtype)
    return inverse_dynamics(robot, q, still, still)


def mass_matrix(robot: Robot, q: torch.Tensor) -> torch.Tensor:
    """(..., nv, nv), a column for the acceleration of each joint alone."""
    still = torch.zeros(*q.shape[:-1], robot.nv, dtype=q.dtype)
    rest = inverse_dynamics(robot, q, still, still)
    units = torch.eye(robot.nv, dtype=q.dtype)
    return torch.stack([inverse_dynamics(robot, q, still, still + unit) - rest for unit in units], -1)


def forward_dynamics(robot: Robot, q: torch.Tensor, v: torch.Tensor, forces: torch.Tensor) -> torch.Tensor:
    """Accelerations (..., nv), as the solution of the mass matrix."""
    rest = inverse_dynamics(robot, q, v, torch.zeros_like(v))
    return torch.linalg.solve(mass_matrix(robot, q), (forces - rest)[..., None])[..., 0]


def jacobian(robot: Robot, q: torch.Tensor, frame: str, *, reference: str) -> torch.Tensor:
    """(..., 6, nv), by the spatial velocities of the frame for unit velocities of the joints."""
    poses = relative(robot, q)
    known = robot.frame(frame)
    own = homogeneous(known.placement, q)
    across = _inverse_adjoint(own).expand(*q.shape[:-1], 6, 6)
    columns = torch.zeros(*q.shape[:-1], 6, robot.nv, dtype=q.dtype)
    for place in reversed(robot.ancestors(known.joint)):
        joint = robot.joints[place]
        part = across @ _subspace(joint, q)
        pad = (joint.at_v, robot.nv - joint.at_v - joint.nv)
        columns = columns + torch.nn.functional.pad(part, pad)
        across = across @ _inverse_adjoint(poses[place])
    pose = forward_kinematics(robot, q, [frame])[..., 0, :, :]
    turn, shift = pose[..., :3, :3], pose[..., :3, 3]
    angular, linear = columns[..., :3, :], columns[..., 3:, :]
    if reference != "LOCAL":
        angular, linear = turn @ angular, turn @ linear
    if reference == "WORLD":
        linear = linear + hat(shift) @ angular
    return torch.cat((linear, angular), -2)


def centre_of_mass(robot: Robot, q: torch.Tensor) -> torch.Tensor:
    """(..., 3)."""
    total = torch.zeros(*q.shape[:-1], 3, dtype=q.dtype)
    for joint, pose in zip(robot.joints, bodies(robot, q), strict=True):
        total = total + pose[..., :3, :3] @ _constant(joint.inertia.moment, q)
        total = total + joint.inertia.mass * pose[..., :3, 3]
    return total / robot.mass


def integrate(robot: Robot, q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """q after moving with v, by exponentials of matrices."""
    q, v = (x.expand(*torch.broadcast_shapes(q.shape[:-1], v.shape[:-1]), x.shape[-1]) for x in (q, v))
    found = []
    for joint in robot.joints:
        own = q[..., joint.at_q : joint.at_q + joint.nq]
        move = v[..., joint.at_v : joint.at_v + joint.nv]
        if joint.kind in ("revolute", "prismatic"):
            found.append(own + move)
            continue
        if joint.kind == "continuous":
            turned = torch.matrix_exp(_plane(move[..., 0])) @ own[..., None]
            found.append(_unit(turned[..., 0]))
            continue
        parts = move @ _subspace(joint, q).mT
        step = torch.matrix_exp(
            torch.nn.functional.pad(torch.cat((hat(parts[..., :3]), parts[..., 3:, None]), -1), (0, 0, 0, 1))
        )
        after = motion(joint, q) @ step
        if joint.kind == "planar":
            turned = torch.matrix_exp(_plane(move[..., 2])) @ own[..., 2:, None]
            found.append(torch.cat((after[..., :2, 3], _unit(turned[..., 0])), -1))
            continue
        quaternion = (torch.matrix_exp(_left(parts[..., :3])) @ own[..., -4:, None])[..., 0]
        shift = [after[..., :3, 3]] if joint.kind == "free_flyer" else []
        found.append(torch.cat((*shift, _unit(quaternion)), -1))
    return torch.cat(found, -1)


def _plane(angle: torch.Tensor) -> torch.Tensor:
    o = torch.zeros_like(angle)
    return _stack([[o, -angle], [angle, o]])


def _left(w: torch.Tensor) -> torch.Tensor:
    """What a quaternion xyzw is multiplied by for a turn about the moving axes, before the exponential."""
    x, y, z = (0.5 * w).unbind(-1)
    o = torch.zeros_like(x)
    return _stack([[o, z, -y, x], [-z, o, x, y], [y, -x, o, z], [-x, -y, -z, o]])


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x * (0.5 * (3.0 - x.square().sum(-1, keepdim=True)))
