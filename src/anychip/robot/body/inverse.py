"""Inverse kinematics: configurations that bring a frame to a pose. Flows in: a robot, a frame, target poses,
seeds. Flows out: a step of damped least squares as one kernel, which keeps to the limits of joints; and a
solver of many seeds, which keeps the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from ...ops.errors import ArgumentError
from ...ops.fused import Fused
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES
from ..formulas.graph import Number, maximum, minimum
from ..formulas.linear import solved
from ..formulas.small import apply, apply_transposed, dot, minus, product, transpose
from ..model.description import Robot
from ..registry import register
from ..rotation.algebra import left_jacobian_inverse, matrix_quat, quat_vector
from ..rotation.matrices import left_jacobian_plain
from ..rotation.quaternions import log_plain, quat_plain
from . import kinematics, plain
from .motion import in_base, relative
from .operators import ARM_ROBOT, configurations, formula_of, kernels_of


def _step(robot: Robot, frame: str, q: Sequence[Number], target: Any, damping: Number) -> list[Any]:
    """The next configuration, and the twist that was left before it, in the frame's axes."""
    at = robot.frame(frame)
    jacobian = kinematics.jacobian(robot, at, "LOCAL", q)
    bodies = in_base(robot, relative(robot, q), robot.ancestors(at.joint))
    pose = kinematics.frame_pose(at, bodies)
    turn = product(transpose(pose.rotation), [row[:3] for row in target[:3]])
    shift = apply_transposed(pose.rotation, minus([row[3] for row in target[:3]], pose.translation))
    angular = quat_vector(matrix_quat(turn))
    left = [*apply(left_jacobian_inverse(angular), shift), *angular]
    square = [[dot(a, b) for b in jacobian] for a in jacobian]
    for k in range(6):
        square[k][k] = square[k][k] + damping * damping
    move = apply_transposed(jacobian, solved(square, left))
    moved = kinematics.integrated(robot, q, move)
    for low, high, place in zip(*robot.limits, range(robot.nq), strict=True):
        if math.isfinite(low):
            moved[place] = maximum(moved[place], float(low))
        if math.isfinite(high):
            moved[place] = minimum(moved[place], float(high))
    return [moved, left]


def inverse_kinematics_step(
    robot: Robot, q: torch.Tensor, target: torch.Tensor, damping: torch.Tensor, frame: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """A step of damped least squares from q (..., nq) that brings a frame nearer to a pose `target` (..., 4,
    4), within the limits of joints; `damping` (...) is added to singular values, in the units of twists.
    Returns the next configuration, and the twist (..., 6) that was left before, in the frame's axes.
    Differentiable."""
    made = formula_of(
        robot,
        "inverse_kinematics_step",
        lambda q, target, damping: _step(robot, frame, q, target, damping),
        [(robot.nq,), (4, 4), ()],
        [(robot.nq,), (6,)],
        frame,
    )
    return made(q, target, damping)  # type: ignore[return-value]


class Solution(NamedTuple):
    """Configurations (..., nq), and what is left: metres and radians (...)."""

    q: torch.Tensor
    distance: torch.Tensor
    angle: torch.Tensor


def inverse_kinematics(
    robot: Robot,
    frame: str,
    target: torch.Tensor,
    *,
    seeds: int = 8,
    steps: int = 64,
    damping: float = 0.02,
    generator: torch.Generator | None = None,
) -> Solution:
    """Configurations that bring a frame to poses `target` (..., 4, 4): the best of `seeds` random beginnings
    within limits (within half a turn where there are none), each improved by `steps` steps of damped least
    squares. Raises ArgumentError for targets of another shape. Self-collision is not looked at."""
    if target.shape[-2:] != (4, 4):
        raise ArgumentError(f"inverse_kinematics: target is {tuple(target.shape)}; it must be (..., 4, 4)")
    batch = target.shape[:-2]
    q = _beginnings(robot, (seeds, *batch), target, generator)
    weight = torch.full((), damping, dtype=target.dtype, device=target.device)
    for _ in range(steps):
        q, _ = inverse_kinematics_step(robot, q, target, weight, frame)
    _, left = inverse_kinematics_step(robot, q, target, weight, frame)
    distance, angle = left[..., :3].norm(dim=-1), left[..., 3:].norm(dim=-1)
    best = (distance + 0.1 * angle).argmin(0, keepdim=True)

    def chosen(x: torch.Tensor) -> torch.Tensor:
        return torch.take_along_dim(x, best, 0)[0]

    places = best[..., None].expand(1, *batch, robot.nq)
    return Solution(torch.take_along_dim(q, places, 0)[0], chosen(distance), chosen(angle))


def _beginnings(
    robot: Robot, shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator | None
) -> torch.Tensor:
    """Random configurations: of velocities up to half a turn, or within limits."""
    drawn = torch.rand((*shape, robot.nv), generator=generator, dtype=torch.float64)
    neutral = torch.as_tensor(robot.neutral())
    q = plain.integrate(robot, neutral, (2.0 * drawn - 1.0) * math.pi)
    for joint in robot.joints:
        low, high = joint.lower[0], joint.upper[0]
        if joint.nq == 1 and math.isfinite(low) and math.isfinite(high):
            q[..., joint.at_q] = low + (high - low) * drawn[..., joint.at_v]
    return q.to(like.dtype).to(like.device)


# ---- records -----------------------------------------------------------------------------------------


def _plain(
    robot: Robot, q: torch.Tensor, target: torch.Tensor, damping: torch.Tensor, frame: str
) -> tuple[torch.Tensor, torch.Tensor]:
    jacobian = plain.jacobian(robot, q, frame, reference="LOCAL")
    pose = plain.forward_kinematics(robot, q, [frame])[..., 0, :, :]
    turn = pose[..., :3, :3].mT @ target[..., :3, :3]
    shift = (pose[..., :3, :3].mT @ (target[..., :3, 3] - pose[..., :3, 3])[..., None])[..., 0]
    angular = log_plain(quat_plain(turn, order="wxyz"), order="wxyz")
    left = torch.cat((torch.linalg.solve(left_jacobian_plain(angular), shift), angular), -1)
    square = jacobian @ jacobian.mT + damping[..., None, None].square() * torch.eye(6, dtype=q.dtype)
    move = (jacobian.mT @ torch.linalg.solve(square, left)[..., None])[..., 0]
    moved = plain.integrate(robot, q, move)
    low, high = (torch.as_tensor(x).to(q.dtype) for x in robot.limits)
    return torch.minimum(torch.maximum(moved, low), high), left


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    q = configurations(ARM_ROBOT, 6, torch.float64)
    near = plain.integrate(ARM_ROBOT, q, tensor((6, ARM_ROBOT.nv), torch.float64, -0.3, 0.3))
    target = plain.forward_kinematics(ARM_ROBOT, near, ["tool"])[:, 0]
    yield Sample((ARM_ROBOT, q.to(dtype), target.to(dtype), torch.full((6,), 0.3, dtype=dtype), "tool"))


register(
    Fused(
        "inverse_kinematics_step",
        "robot",
        inverse_kinematics_step,
        _plain,
        _samples,
        kernels_of([ARM_ROBOT], "inverse_kinematics_step", "tool"),
        DTYPES,
        differentiable=True,
        tolerance=64.0,  # the system of an arm of three joints is damped, and loses digits
        transforms=True,
    )
)
