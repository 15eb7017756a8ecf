"""What docs/robot.md says of other libraries, each row shown by the library: it fails if the library
changes. Needs the extra `robot-peers`; what is missing is skipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from anychip import robot
from anychip.robot.registry import unit

pytestmark = pytest.mark.peers

Q = unit((1, 4), torch.float64)
V = torch.tensor([0.3, -0.5, 0.7]).double()
TWIST = torch.tensor([0.3, -0.5, 0.7, 0.2, -0.1, 0.4]).double()


def test_scipy_has_the_real_part_last_and_keeps_the_sign() -> None:
    np.testing.assert_allclose(
        robot.quat_to_matrix(Q, order="xyzw"), Rotation.from_quat(Q.numpy()).as_matrix(), atol=1e-15
    )
    for sign in (1, -1):
        np.testing.assert_allclose(Rotation.from_quat(sign * Q.numpy()).as_quat(), sign * Q, atol=1e-15)


def test_pinocchio_has_the_real_part_last_and_linear_twists_first() -> None:
    pin = pytest.importorskip("pinocchio")
    want = pin.SE3ToXYZQUAT(pin.exp6(TWIST.numpy()))
    found = robot.se3_exp(TWIST, order="xyzw")
    np.testing.assert_allclose(found[:3], want[:3], atol=1e-15)
    np.testing.assert_allclose(found[3:] * float(np.sign(want[6] * float(found[6]))), want[3:], atol=1e-15)


def test_roma_has_the_real_part_last() -> None:
    roma = pytest.importorskip("roma")
    np.testing.assert_allclose(robot.quat_to_matrix(Q, order="xyzw"), roma.unitquat_to_rotmat(Q), atol=1e-15)
    matrix = torch.randn(9, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(robot.nearest_rotation(matrix), roma.special_procrustes(matrix), atol=1e-11)


def test_pypose_has_the_translation_first() -> None:
    pypose = pytest.importorskip("pypose")
    want = pypose.se3(TWIST).Exp().tensor()
    found = robot.se3_exp(TWIST, order="xyzw")
    np.testing.assert_allclose(found * torch.sign(found[6] * want[6]), want, atol=1e-14)


def test_mujoco_has_the_real_part_first_and_moves_free_bodies_in_the_world() -> None:
    mujoco = pytest.importorskip("mujoco")
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, Q[0].numpy())
    np.testing.assert_allclose(robot.quat_to_matrix(Q[0], order="wxyz"), matrix.reshape(3, 3), atol=1e-15)
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='0.1'/></body></worldbody></mujoco>"
    )
    q = np.concatenate((np.zeros(3), Q[0].numpy()))
    mujoco.mj_integratePos(model, q, np.concatenate((V.numpy(), np.zeros(3))), 1.0)
    np.testing.assert_allclose(q[:3], V, atol=1e-15)
    # Here, as in Pinocchio, the same numbers are of the body's axes.
    turned = robot.quat_apply(robot.quat_conjugate(Q[0], order="wxyz"), V, order="wxyz")
    moved = robot.se3_compose(
        torch.cat((torch.zeros(3).double(), Q[0])),
        torch.cat((turned, torch.tensor([1.0, 0, 0, 0]).double())),
        order="wxyz",
    )
    np.testing.assert_allclose(moved[:3], V, atol=1e-15)


def test_opencv_has_rotation_vectors_and_its_order_of_a_lens() -> None:
    cv2 = pytest.importorskip("cv2")
    np.testing.assert_allclose(robot.axis_angle_to_matrix(V), cv2.Rodrigues(V.numpy())[0], atol=1e-15)
    lens = torch.tensor([-0.12, 0.03, 1e-3, -8e-4, -4e-3]).double()
    point = torch.tensor([[0.4, -0.3, 1.0]]).double()
    want = cv2.projectPoints(point.numpy(), np.zeros(3), np.zeros(3), np.eye(3), lens.numpy())[0]
    np.testing.assert_allclose(robot.distort_points(point[:, :2], lens), want[:, 0], atol=1e-15)


def test_ruckig_goes_on_before_the_start() -> None:
    ruckig = pytest.importorskip("ruckig")
    given, trajectory = ruckig.InputParameter(1), ruckig.Trajectory(1)
    given.current_position, given.current_velocity, given.current_acceleration = [0.0], [0.5], [0.0]
    given.target_position, given.target_velocity, given.target_acceleration = [1.0], [0.0], [0.0]
    given.max_velocity, given.max_acceleration, given.max_jerk = [1.0], [2.0], [10.0]
    ruckig.Ruckig(1).calculate(given, trajectory)
    assert trajectory.at_time(-1.0)[0][0] != 0.0
    numbers = [torch.tensor(x).double() for x in (1.0, 0.5, 0.0, 0.0, 1.0, 2.0, 10.0)]
    phases = robot.jerk_limited_motion(*numbers)
    zero = torch.zeros(()).double()
    p, v, _ = robot.phase_state(zero, numbers[1], zero, *phases, zero - 1.0)
    assert (float(p), float(v)) == (0.0, 0.5)
    middle = robot.phase_state(zero, numbers[1], zero, *phases, zero + 0.4)
    np.testing.assert_allclose([float(x) for x in middle], np.ravel(trajectory.at_time(0.4)), atol=1e-12)
