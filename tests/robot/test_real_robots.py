"""The formulas of real robots, of the package `example-robot-data`, against Pinocchio in random states: every
quantity, evaluated on plain numbers, as the formulas fold them, and the kernel of an arm. Needs the extra
`robot-peers`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anychip import robot
from anychip.robot.body import dynamics, kinematics
from anychip.robot.model.description import Robot

pytestmark = pytest.mark.peers


def files() -> Iterator[Path]:
    """The URDF files of the installed package."""
    try:
        found = importlib.metadata.distribution("example-robot-data").files or []
    except importlib.metadata.PackageNotFoundError:
        return
    yield from sorted(Path(str(file.locate())) for file in found if file.suffix == ".urdf")


def quantities(r: Robot, model: Any, pin: Any, generator: np.random.Generator) -> dict[str, float]:
    """The largest error of each quantity in a random state, relative to its largest number."""
    data = model.createData()
    q = pin.integrate(model, pin.neutral(model), generator.uniform(-3, 3, model.nv))
    v, a = generator.uniform(-1, 1, (2, model.nv))
    upper = np.triu(pin.crba(model, data, q))
    torques = pin.rnea(model, data, q, v, a).copy()
    pin.computeJointJacobians(model, data, q)
    jacobian = pin.getJointJacobian(model, data, model.njoints - 1, pin.LOCAL)
    plain_q, plain_v, plain_a = (list(map(float, x)) for x in (q, v, a))
    pairs = {
        "inverse_dynamics": (dynamics.inverse_dynamics(r, plain_q, plain_v, plain_a), torques),
        "mass_matrix": (dynamics.mass_matrix(r, plain_q), upper + np.triu(upper, 1).T),
        "gravity": (dynamics.gravity(r, plain_q), pin.computeGeneralizedGravity(model, data, q)),
        "integrate": (kinematics.integrated(r, plain_q, plain_v), pin.integrate(model, q, v)),
        "jacobian": (kinematics.jacobian(r, r.joint_frames()[-1], "LOCAL", plain_q), jacobian),
    }
    # Forces of a motion give that motion back, as far as the mass matrix lets them be told.
    if np.linalg.cond(upper + np.triu(upper, 1).T) < 1e8:
        forces = list(map(float, torques))
        pairs["forward_dynamics"] = (dynamics.forward_dynamics(r, plain_q, plain_v, forces), a)
    if r.mass:
        pairs["centre_of_mass"] = (kinematics.centre_of_mass(r, plain_q), pin.centerOfMass(model, data, q))
    return {
        name: float(np.abs(np.array(ours) - theirs).max() / max(1.0, np.abs(theirs).max()))
        for name, (ours, theirs) in pairs.items()
    }


@pytest.mark.parametrize("file", list(files()), ids=lambda file: file.stem)
@pytest.mark.parametrize("root", ["fixed", "free_flyer"])
def test_formulas_are_pinocchios(file: Path, root: str) -> None:
    pin = pytest.importorskip("pinocchio")
    free = root == "free_flyer"
    name = str(file)
    model = pin.buildModelFromUrdf(name, pin.JointModelFreeFlyer()) if free else pin.buildModelFromUrdf(name)
    r = robot.load(file, root)
    assert [joint.name for joint in r.joints] == list(model.names)[1:]
    assert (r.nq, r.nv) == (model.nq, model.nv)
    if not r.nv:
        return
    generator = np.random.default_rng(0)
    for _ in range(2):
        for quantity, error in quantities(r, model, pin, generator).items():
            assert error < (1e-6 if quantity == "forward_dynamics" else 1e-12), quantity


def test_kernels_of_an_arm() -> None:
    pin = pytest.importorskip("pinocchio")
    file = next((file for file in files() if file.name == "panda.urdf"), None)
    if file is None:
        pytest.skip("example-robot-data is not installed")
    model = pin.buildModelFromUrdf(str(file))
    data, r = model.createData(), robot.load(file)
    generator = np.random.default_rng(0)
    q, v, a = generator.uniform(-1, 1, (3, 9, r.nv))
    found = robot.inverse_dynamics(r, *(torch.tensor(x) for x in (q, v, a)))
    want = [pin.rnea(model, data, *state).copy() for state in zip(q, v, a, strict=True)]
    np.testing.assert_allclose(found, want, atol=1e-13)
