"""Whole robots against what Pinocchio computed for them, their derivatives, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.robot.record_pinocchio import CASES, FILE

from anychip import robot
from anychip.ops.errors import ArgumentError
from anychip.ops.launching import launch_counts
from anychip.robot.body.examples import ARM, BRANCHED
from anychip.robot.errors import RobotError

RECORD = json.loads(FILE.read_text(encoding="utf-8"))
ROBOTS = {name: robot.load(text, root) for name, (text, root) in CASES.items()}


def of(name: str, word: str) -> torch.Tensor:
    """What the record has of a robot's states, in a batch."""
    return torch.tensor([state[word] for state in RECORD["states"][name]], dtype=torch.float64)


@pytest.mark.parametrize("name", CASES)
def test_quantities_are_pinocchios(name: str) -> None:
    r = ROBOTS[name]
    q, v, a = (of(name, word) for word in "qva")
    found = {
        "pose": robot.forward_kinematics(r, q, ["tool"])[:, 0],
        "inverse_dynamics": robot.inverse_dynamics(r, q, v, a),
        "gravity": robot.gravity(r, q),
        "mass_matrix": robot.mass_matrix(r, q),
        "forward_dynamics": robot.forward_dynamics(r, q, v, a),
        "centre_of_mass": robot.centre_of_mass(r, q),
        "integrate": robot.integrate(r, q, v),
        "LOCAL": robot.jacobian(r, q, "tool", reference="LOCAL"),
    }
    for word, ours in found.items():
        want = of(name, word)
        scale = max(1.0, float(want.abs().max()))
        assert float((ours - want).abs().max()) < 1e-13 * scale, word


@pytest.mark.parametrize("reference", ["WORLD", "LOCAL_WORLD_ALIGNED"])
def test_jacobians_are_named_as_pinocchio_does(reference: str) -> None:
    found = robot.jacobian(ROBOTS["arm"], of("arm", "q"), "tool", reference=reference)
    torch.testing.assert_close(found, of("arm", reference), rtol=0, atol=1e-14)


def test_layout_is_pinocchios() -> None:
    walker = ROBOTS["walker"]
    assert [joint.name for joint in walker.joints] == ["root_joint", "hip", "mount"]
    assert (walker.nq, walker.nv) == (10, 8)
    np.testing.assert_array_equal(walker.neutral(), [0, 0, 0, 0, 0, 0, 1, 0, 1, 0])
    lower, upper = ROBOTS["arm"].limits
    np.testing.assert_array_equal(lower, [-2, 0, -np.inf, -np.inf])
    np.testing.assert_array_equal(upper, [2.5, 0.4, np.inf, np.inf])


def test_derivatives_along_the_manifold() -> None:
    r = ROBOTS["walker"]
    q, v, a = (of("walker", word)[1:2] for word in "qva")
    still = torch.zeros(1, r.nv, dtype=torch.float64, requires_grad=True)

    def forces(step: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return robot.inverse_dynamics(r, robot.integrate(r, q, step), v, a)

    assert torch.autograd.gradcheck(forces, (still, v.clone().requires_grad_()), check_forward_ad=True)


def test_a_jacobian_is_the_derivative_of_the_pose() -> None:
    r, q = ROBOTS["arm"], of("arm", "q")[1]

    def position(step: torch.Tensor) -> torch.Tensor:
        return robot.forward_kinematics(r, robot.integrate(r, q, step), ["tool"])[0, :3, 3]

    still = torch.zeros(r.nv, dtype=torch.float64)
    linear = robot.jacobian(r, q, "tool", reference="LOCAL_WORLD_ALIGNED")[:3]
    for transform in (torch.func.jacfwd, torch.func.jacrev):
        torch.testing.assert_close(transform(position)(still), linear)


def test_batches_of_any_size_are_one_launch() -> None:
    r = ROBOTS["arm"]
    q = of("arm", "q")[1].expand(2, 7, r.nq)
    want = robot.inverse_dynamics(r, q[0, 0], torch.zeros(r.nv).double(), torch.ones(r.nv).double())
    before = sum(launch_counts.values())
    found = robot.inverse_dynamics(r, q, torch.zeros(r.nv).double(), torch.ones(7, r.nv).double())
    assert sum(launch_counts.values()) == before + 1
    torch.testing.assert_close(found, want.expand(2, 7, r.nv), rtol=0, atol=1e-14)
    assert robot.gravity(r, q[:0]).shape == (0, 7, r.nv)


def test_what_is_refused() -> None:
    r = ROBOTS["arm"]
    with pytest.raises(RobotError, match=r"no frame 'tol'.*tool"):
        robot.forward_kinematics(r, torch.zeros(r.nq), ["tol"])
    with pytest.raises(RobotError, match="root is 'floating'"):
        robot.load(ARM, "floating")
    with pytest.raises(RobotError, match="does not parse"):
        robot.load("<robot><link>")
    with pytest.raises(RobotError, match="there is no file"):
        robot.load("nowhere.urdf")
    with pytest.raises(RobotError, match="which is no link"):
        robot.load(BRANCHED.replace('<child link="mast"/>', '<child link="mst"/>'))
    with pytest.raises(RobotError, match="axis 0 0 0"):
        robot.load(ARM.replace("1 1 0", "0 0 0"))
    with pytest.raises(ArgumentError, match="reference is 'BODY'"):
        robot.jacobian(r, torch.zeros(r.nq), "tool", reference="BODY")
