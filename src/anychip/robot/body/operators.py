"""Operators over whole robots, in batches: `anychip.robot.inverse_dynamics(r, q, v, a)` for a robot that
`anychip.robot.load` gave. Flows in: a robot, and q (..., nq), v, a, forces (..., nv) with batches that
broadcast. Flows out: tensors; gradients by q, v, a and forces in both modes. The first call for a robot
generates the kernel of its tree, which Triton's cache keeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.fused import Fused
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import DTYPES, Formula, GeneratedKernel, Shape
from ..model.description import Robot
from ..model.urdf import load_urdf
from ..registry import register
from . import dynamics, kinematics, plain
from .examples import ARM, BRANCHED

REFERENCES = ("LOCAL", "WORLD", "LOCAL_WORLD_ALIGNED")
"""In whose axes a Jacobian is, and of which point, as Pinocchio names it."""


def formula_of(
    robot: Robot,
    quantity: str,
    build: Callable[..., Any],
    inputs: Sequence[Shape],
    outputs: Sequence[Shape],
    *more: str,
) -> Formula:
    """The formula of a quantity of a robot, generated once; `more` tells those of one quantity apart."""
    key = (quantity, *more)
    found = robot.formulas.get(key)
    if found is None:
        words = "_".join([robot.name, quantity, *(word.lower() for word in more)])
        name = re.sub(r"\W+", "_", words if words[:1].isalpha() else f"robot_{words}")
        found = robot.formulas[key] = Formula(name, build, inputs, outputs)
    return found


def _formula(
    robot: Robot, quantity: str, build: Callable[..., Any], inputs: str, output: Shape, *more: str
) -> Formula:
    """The formula of one output, of inputs that are named by their letters."""
    sizes = {"q": robot.nq, "v": robot.nv}
    return formula_of(robot, quantity, build, [(sizes[word],) for word in inputs], [output], *more)


def forward_kinematics(robot: Robot, q: torch.Tensor, frames: Sequence[str] | None = None) -> torch.Tensor:
    """Poses (..., frames, 4, 4) of links and joints in the world, by name, for configurations (..., nq); of
    all moving joints, in their order, where none are named. Differentiable."""
    known = robot.joint_frames() if frames is None else [robot.frame(name) for name in frames]
    made = _formula(
        robot,
        "forward_kinematics",
        lambda q: [kinematics.poses(robot, known, q)],
        "q",
        (len(known), 4, 4),
        *(frames or ()),
    )
    return made(q)  # type: ignore[return-value]


def jacobian(robot: Robot, q: torch.Tensor, frame: str, *, reference: str) -> torch.Tensor:
    """Jacobians (..., 6, nv) of a frame, linear rows first: in the frame's axes ("LOCAL"), in the world's
    axes ("LOCAL_WORLD_ALIGNED"), or of the point at the world's origin ("WORLD"). Differentiable."""
    known = robot.frame(frame)
    _require_reference("jacobian", reference)
    made = _formula(
        robot,
        "jacobian",
        lambda q: [kinematics.jacobian(robot, known, reference, q)],
        "q",
        (6, robot.nv),
        frame,
        reference,
    )
    return made(q)  # type: ignore[return-value]


def pose_and_jacobian(
    robot: Robot, q: torch.Tensor, frame: str, *, reference: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pose (..., 4, 4) of a frame in the world and its Jacobian (..., 6, nv), as `forward_kinematics` and
    `jacobian` give them, from one kernel that turns each joint once. Differentiable."""
    known = robot.frame(frame)
    _require_reference("pose_and_jacobian", reference)
    made = formula_of(
        robot,
        "pose_and_jacobian",
        lambda q: [kinematics.poses(robot, [known], q)[0], kinematics.jacobian(robot, known, reference, q)],
        [(robot.nq,)],
        [(4, 4), (6, robot.nv)],
        frame,
        reference,
    )
    return made(q)  # type: ignore[no-any-return]


def _require_reference(name: str, reference: str) -> None:
    if reference not in REFERENCES:
        raise ArgumentError(f"{name}: reference is {reference!r}; say {', '.join(map(repr, REFERENCES))}")


def inverse_dynamics(robot: Robot, q: torch.Tensor, v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Generalised forces (..., nv) in N and N m that cause accelerations (..., nv), gravity with them.
    Differentiable."""
    made = _formula(
        robot,
        "inverse_dynamics",
        lambda q, v, a: [dynamics.inverse_dynamics(robot, q, v, a)],
        "qvv",
        (robot.nv,),
    )
    return made(q, v, a)  # type: ignore[return-value]


def gravity(robot: Robot, q: torch.Tensor) -> torch.Tensor:
    """Generalised forces (..., nv) that hold the robot still. Differentiable."""
    made = _formula(robot, "gravity", lambda q: [dynamics.gravity(robot, q)], "q", (robot.nv,))
    return made(q)  # type: ignore[return-value]


def mass_matrix(robot: Robot, q: torch.Tensor) -> torch.Tensor:
    """Mass matrices (..., nv, nv), both halves. Differentiable."""
    made = _formula(
        robot, "mass_matrix", lambda q: [dynamics.mass_matrix(robot, q)], "q", (robot.nv, robot.nv)
    )
    return made(q)  # type: ignore[return-value]


def forward_dynamics(robot: Robot, q: torch.Tensor, v: torch.Tensor, forces: torch.Tensor) -> torch.Tensor:
    """Accelerations (..., nv) that generalised forces (..., nv) cause. Differentiable."""
    made = _formula(
        robot,
        "forward_dynamics",
        lambda q, v, f: [dynamics.forward_dynamics(robot, q, v, f)],
        "qvv",
        (robot.nv,),
    )
    return made(q, v, forces)  # type: ignore[return-value]


def centre_of_mass(robot: Robot, q: torch.Tensor) -> torch.Tensor:
    """The centre of mass (..., 3) of all that moves, in the world. Differentiable."""
    if not robot.mass:
        raise ArgumentError(f"centre_of_mass: {robot.name} has no mass")
    made = _formula(robot, "centre_of_mass", lambda q: [kinematics.centre_of_mass(robot, q)], "q", (3,))
    return made(q)  # type: ignore[return-value]


def integrate(robot: Robot, q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The configuration (..., nq) after moving from q for one second with v (..., nv): screw motions of a
    free-flyer, as Pinocchio integrates. Differentiable."""
    made = _formula(robot, "integrate", lambda q, v: [kinematics.integrated(robot, q, v)], "qv", (robot.nq,))
    return made(q, v)  # type: ignore[return-value]


# ---- records -----------------------------------------------------------------------------------------

ARM_ROBOT, WALKER_ROBOT = load_urdf(ARM), load_urdf(BRANCHED, "free_flyer")


def configurations(robot: Robot, rows: int, dtype: torch.dtype) -> torch.Tensor:
    """Configurations some way from the neutral one."""
    neutral = torch.as_tensor(robot.neutral())
    return plain.integrate(robot, neutral, tensor((rows, robot.nv), torch.float64, -1.0, 1.0)).to(dtype)


def _samples(names: str, *more: Any, **keywords: Any) -> Callable[[torch.dtype], Iterable[Sample]]:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for robot, rows in ((ARM_ROBOT, 6), (WALKER_ROBOT, 3)):
            q = configurations(robot, rows, dtype)
            rest = [tensor((rows, robot.nv), dtype, -1.0, 1.0, seed) for seed in range(len(names) - 1)]
            yield Sample((robot, q, *rest, *more), keywords)

    return draw


def kernels_of(robots: Sequence[Robot], *words: str) -> tuple[GeneratedKernel, ...]:
    """The kernels of the samples' robots, by names that are known before they are generated."""
    found: list[GeneratedKernel] = []
    for robot in robots:
        name = "_".join([robot.name, *(word.lower() for word in words)])
        found += Formula(name, list, [], []).kernels
    return tuple(found)


def _register(
    name: str,
    function: Callable[..., Any],
    reference: Callable[..., Any],
    samples: Any,
    *more: str,
    tolerance: float = 1.0,
) -> None:
    register(
        Fused(
            name,
            "robot",
            function,
            reference,
            samples,
            kernels_of([ARM_ROBOT, WALKER_ROBOT], name, *more),
            DTYPES,
            differentiable=True,
            tolerance=tolerance,
            transforms=True,
        )
    )


_register(
    "forward_kinematics",
    forward_kinematics,
    plain.forward_kinematics,
    _samples("q"),
    tolerance=4.0,  # gradients a thousandth of the terms that they are sums of
)
_register(
    "jacobian",
    jacobian,
    plain.jacobian,
    _samples("q", "tool", reference="WORLD"),
    "tool",
    "WORLD",
    tolerance=64.0,  # elements that are 0 but for rounding, of sums of larger ones
)
_register(
    "pose_and_jacobian",
    pose_and_jacobian,
    lambda robot, q, frame, reference: (
        plain.forward_kinematics(robot, q, [frame])[..., 0, :, :],
        plain.jacobian(robot, q, frame, reference=reference),
    ),
    _samples("q", "tool", reference="LOCAL"),
    "tool",
    "LOCAL",
    tolerance=64.0,  # as of the Jacobian alone
)
_register("inverse_dynamics", inverse_dynamics, plain.inverse_dynamics, _samples("qvv"))
_register("gravity", gravity, plain.gravity, _samples("q"))
_register("mass_matrix", mass_matrix, plain.mass_matrix, _samples("q"))
# Accelerations are a solution with the mass matrix, whose condition number is 430 to 506 in the arm's
# samples and 16,000 in the walker's (docs/robot-peers.md has the bound that robots keep). Twice that of the
# arm is what single gradients by v need: they are a ten-thousandth of the terms that they are sums of.
_register("forward_dynamics", forward_dynamics, plain.forward_dynamics, _samples("qvv"), tolerance=1024.0)
_register("centre_of_mass", centre_of_mass, plain.centre_of_mass, _samples("q"))
_register("integrate", integrate, plain.integrate, _samples("qv"))
