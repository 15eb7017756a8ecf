"""Rotations and rigid motions against SciPy, at special places, and their derivatives in both modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from anychip import robot
from anychip.ops.errors import ArgumentError, UnsupportedDtype
from anychip.robot.registry import unit
from anychip.robot.rotation.matrices import SEQUENCES


def vectors() -> torch.Tensor:
    """Rotation vectors: none, tiny, of every size up to half a turn, and just below it."""
    directions = unit((40, 3), torch.float64)
    sizes = torch.tensor(
        [0.0, 1e-12, 1e-7, 1e-3, 0.5, 1.0, 2.0, 3.0, 3.14159, np.pi - 1e-9], dtype=torch.float64
    )
    return directions * sizes.repeat(4)[:, None]


def test_rotation_vectors_are_scipys() -> None:
    v = vectors()
    want = Rotation.from_rotvec(v.numpy())
    matrix = robot.axis_angle_to_matrix(v)
    np.testing.assert_allclose(matrix, want.as_matrix(), atol=1e-15)
    np.testing.assert_allclose(robot.so3_exp(v, order="xyzw"), want.as_quat(), atol=1e-15)
    np.testing.assert_allclose(robot.so3_exp(v, order="wxyz"), np.roll(want.as_quat(), 1, -1), atol=1e-15)
    back = robot.so3_log(robot.so3_exp(v, order="wxyz"), order="wxyz")
    np.testing.assert_allclose(back, v, atol=1e-14)
    again = Rotation.from_rotvec(robot.matrix_to_axis_angle(matrix).numpy())
    assert (again * want.inv()).magnitude().max() < 1e-14


@pytest.mark.parametrize("sequence", [SEQUENCES[k] for k in (0, 5, 10, 13, 18, 23)])
def test_euler_angles_are_scipys(sequence: str) -> None:
    angles = np.random.default_rng(0).uniform(-3, 3, (30, 3))
    angles[:6, 1] = [np.pi / 2, -np.pi / 2, 0.0, np.pi, 0.3, 1.0]
    want = Rotation.from_euler(sequence, angles)
    matrix = robot.euler_to_matrix(torch.tensor(angles), sequence)
    np.testing.assert_allclose(matrix, want.as_matrix(), atol=2e-15)
    found = robot.matrix_to_euler(matrix, sequence).numpy()
    turns = Rotation.from_euler(sequence, found)
    assert (turns * want.inv()).magnitude().max() < 1e-7  # gimbal lock is told at 1e-7
    assert abs(turns.as_matrix() - want.as_matrix())[6:].max() < 1e-13


def test_a_matrix_of_every_quarter_turn_has_its_quaternion() -> None:
    turns = Rotation.create_group("O")
    q = robot.matrix_to_quat(torch.tensor(turns.as_matrix()), order="xyzw").numpy()
    assert (Rotation.from_quat(q) * turns.inv()).magnitude().max() < 1e-15
    assert (q[:, 3] >= 0).all()


def test_derivatives_of_both_modes() -> None:
    v = vectors()[:8].requires_grad_()
    assert torch.autograd.gradcheck(robot.axis_angle_to_matrix, (v,), check_forward_ad=True)
    twist = torch.cat((v, unit((8, 3), torch.float64)), -1).detach().flip(-1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: robot.se3_log(robot.se3_exp(x, order="wxyz"), order="wxyz"), (twist,), check_forward_ad=True
    )


def test_transforms_of_torch_func() -> None:
    q, x = unit((5, 4), torch.float64), torch.randn(5, 3, dtype=torch.float64)

    def turn(q: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return robot.quat_apply(q, x, order="wxyz")

    forward = torch.func.vmap(torch.func.jacfwd(turn, (0, 1)))(q, x)
    backward = torch.func.vmap(torch.func.jacrev(turn, (0, 1)))(q, x)
    for one, other in zip(forward, backward, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(forward[1], robot.quat_to_matrix(q, order="wxyz"))
    torch.testing.assert_close(torch.func.vmap(turn, (None, 0))(q[0], x), turn(q[0], x))
    with pytest.raises(ArgumentError, match="no second derivative"):
        torch.func.hessian(lambda q: turn(q, x[0]).sum())(q[0])


def test_exponential_and_jacobian_of_motions() -> None:
    twist = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    move = 1e-6 * torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    moved = robot.se3_exp(twist + move, order="xyzw")
    right = (robot.se3_right_jacobian(twist) @ move[..., None])[..., 0]
    other = robot.se3_compose(
        robot.se3_exp(twist, order="xyzw"), robot.se3_exp(right, order="xyzw"), order="xyzw"
    )
    assert (moved - other).abs().max() < 1e-11


def test_what_is_refused() -> None:
    q = unit((2, 4), torch.float32)
    with pytest.raises(ArgumentError, match="order is 'xyz'"):
        robot.quat_inverse(q, order="xyz")
    with pytest.raises(ArgumentError, match="last 1 dimensions must be"):
        robot.quat_inverse(q[:, :3], order="wxyz")
    with pytest.raises(ArgumentError, match="float64"):
        robot.quat_multiply(q, q.double(), order="wxyz")
    with pytest.raises(UnsupportedDtype):
        robot.quat_inverse(q.half(), order="wxyz")
    with pytest.raises(ArgumentError, match="sequence is 'xxz'"):
        robot.euler_to_matrix(q[:, :3], "xxz")
    assert robot.quat_inverse(q[:0], order="wxyz").shape == (0, 4)
