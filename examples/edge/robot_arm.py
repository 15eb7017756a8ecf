"""Forward kinematics and Jacobian of a robot arm as two Triton kernels, for a control loop without Python.

    anychip export examples/edge/robot_arm.py:kinematics --chip cortex-m55 -o build/arm --check

Poses follow the modified Denavit-Hartenberg convention (Craig, Introduction to Robotics) with the published
parameters of the Franka Emika Panda. Angles in radians, lengths in metres.
"""

import math

import torch
import triton
import triton.language as tl

import anychip

JOINTS = 7
# a, d, alpha of each joint
PANDA = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
)
TABLE = torch.tensor([(a, d, math.cos(alpha), math.sin(alpha)) for a, d, alpha in PANDA])


@triton.jit
def frames_kernel(angles, table, frames, JOINTS: tl.constexpr):
    """frames[c, j] is the pose of joint j as a 3 x 4 matrix: rotation, then position. One configuration a
    program, all in scalars: the smallest code."""
    c = tl.program_id(0)
    xx, xy, xz = 1.0, 0.0, 0.0
    yx, yy, yz = 0.0, 1.0, 0.0
    zx, zy, zz = 0.0, 0.0, 1.0
    px, py, pz = 0.0, 0.0, 0.0
    for j in range(JOINTS):
        angle = tl.load(angles + c * JOINTS + j)
        a = tl.load(table + 4 * j)
        d = tl.load(table + 4 * j + 1)
        ca = tl.load(table + 4 * j + 2)
        sa = tl.load(table + 4 * j + 3)
        cos, sin = tl.cos(angle), tl.sin(angle)
        px, py, pz = (
            px + a * xx + d * (ca * zx - sa * yx),
            py + a * xy + d * (ca * zy - sa * yy),
            pz + a * xz + d * (ca * zz - sa * yz),
        )
        ux, uy, uz = ca * yx + sa * zx, ca * yy + sa * zy, ca * yz + sa * zz
        zx, zy, zz = ca * zx - sa * yx, ca * zy - sa * yy, ca * zz - sa * yz
        yx, yy, yz = cos * ux - sin * xx, cos * uy - sin * xy, cos * uz - sin * xz
        xx, xy, xz = cos * xx + sin * ux, cos * xy + sin * uy, cos * xz + sin * uz
        at = frames + (c * JOINTS + j) * 12
        tl.store(at, xx)
        tl.store(at + 1, yx)
        tl.store(at + 2, zx)
        tl.store(at + 3, px)
        tl.store(at + 4, xy)
        tl.store(at + 5, yy)
        tl.store(at + 6, zy)
        tl.store(at + 7, py)
        tl.store(at + 8, xz)
        tl.store(at + 9, yz)
        tl.store(at + 10, zz)
        tl.store(at + 11, pz)


@triton.jit
def jacobian_kernel(frames, jacobian, JOINTS: tl.constexpr):
    """jacobian[c, :, j]: how the hand moves (rows 0 to 2) and turns (rows 3 to 5) with joint j."""
    j = tl.program_id(0)
    c = tl.program_id(1)
    at = frames + (c * JOINTS + j) * 12
    hand = frames + (c * JOINTS + JOINTS - 1) * 12
    zx = tl.load(at + 2)
    zy = tl.load(at + 6)
    zz = tl.load(at + 10)
    x = tl.load(hand + 3) - tl.load(at + 3)
    y = tl.load(hand + 7) - tl.load(at + 7)
    z = tl.load(hand + 11) - tl.load(at + 11)
    to = jacobian + c * 6 * JOINTS + j
    tl.store(to, zy * z - zz * y)
    tl.store(to + JOINTS, zz * x - zx * z)
    tl.store(to + 2 * JOINTS, zx * y - zy * x)
    tl.store(to + 3 * JOINTS, zx)
    tl.store(to + 4 * JOINTS, zy)
    tl.store(to + 5 * JOINTS, zz)


def kinematics(angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (configurations, 7, 3, 4) and Jacobians (configurations, 6, 7) of angles (configurations, 7)."""
    count = angles.shape[0]
    frames = torch.empty(count, JOINTS, 3, 4)
    jacobian = torch.empty(count, 6, JOINTS)
    frames_kernel[(count,)](angles, TABLE, frames, JOINTS)
    jacobian_kernel[(JOINTS, count)](frames, jacobian, JOINTS)
    return frames, jacobian


def reference(angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from products of 4 x 4 matrices, in the angles' precision."""
    pose = torch.eye(4, dtype=angles.dtype).repeat(angles.shape[0], 1, 1)
    poses = []
    for j, (a, d, alpha) in enumerate(PANDA):
        ca, sa = math.cos(alpha), math.sin(alpha)
        cos, sin = angles[:, j].cos(), angles[:, j].sin()
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rows = (
            (cos, -sin, zero, a * one),
            (sin * ca, cos * ca, -sa * one, -d * sa * one),
            (sin * sa, cos * sa, ca * one, d * ca * one),
            (zero, zero, zero, one),
        )
        pose = pose @ torch.stack([torch.stack(row, -1) for row in rows], -2)
        poses.append(pose)
    frames = torch.stack(poses, 1)[:, :, :3]
    axis, place = frames[..., 2], frames[..., 3]
    arm = place[:, -1:] - place
    jacobian = torch.cat([torch.linalg.cross(axis, arm), axis], -1).transpose(1, 2)
    return frames, jacobian


def example_inputs() -> tuple[torch.Tensor]:
    """Angles of four configurations, one for each millisecond of a control step."""
    return (torch.rand(4, JOINTS, generator=torch.Generator().manual_seed(1)) * 4 - 2,)


def main() -> None:
    (angles,) = example_inputs()
    program = anychip.capture(kinematics, angles)
    for ours, exact in zip(program(angles), reference(angles.double())):
        error = (ours.double() - exact).abs().max().item()
        print(f"largest difference from float64: {error:.1e}")
        assert error < 1e-5


if __name__ == "__main__":
    main()
