"""Volumes: distances fused from depth, surfaces of levels, convolutions of voxels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from anychip import robot
from anychip.ops.errors import ArgumentError


def ball(count: int, radius: float) -> torch.Tensor:
    line = torch.linspace(-1, 1, count, dtype=torch.float64)
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    return (x**2 + y**2 + z**2).sqrt() - radius


def edges(faces: torch.Tensor) -> Counter[tuple[int, int]]:
    return Counter((a, b) for face in faces.tolist() for a, b in zip(face, face[1:] + face[:1], strict=True))


def test_a_ball_has_its_surface_and_volume() -> None:
    vertices, faces = robot.marching_cubes(ball(33, 0.7), torch.zeros(()).double())
    a, b, c = (vertices[faces[:, k]] / 16 - 1 for k in range(3))
    turn = torch.linalg.cross(b - a, c - a)
    assert abs(float(turn.norm(dim=-1).sum() / 2) / (4 * np.pi * 0.49) - 1) < 0.005
    # Triangles look outwards, where values are larger.
    assert abs(float((a * turn).sum() / 6) / (4 / 3 * np.pi * 0.343) - 1) < 0.005
    np.testing.assert_allclose((vertices / 16 - 1).norm(dim=-1), 0.7, atol=2e-3)


def test_surfaces_have_no_holes() -> None:
    """Random values draw every case; within a margin the surface is closed: each edge is passed as often in
    one direction as in the other."""
    volume = torch.full((14, 14, 14), 1.0).double()
    volume[1:-1, 1:-1, 1:-1] = torch.tensor(np.random.default_rng(0).uniform(-1, 1, (12, 12, 12)))
    vertices, faces = robot.marching_cubes(volume, torch.zeros(()).double())
    passed = edges(faces)
    assert all(passed[b, a] == count for (a, b), count in list(passed.items()))
    below = (volume < 0).numpy()
    cut = sum(int((np.diff(below.astype(int), axis=axis) != 0).sum()) for axis in range(3))
    assert len(vertices) == cut
    assert len(faces.unique()) == len(vertices)


def test_gradients_of_vertices() -> None:
    volume = torch.tensor(np.random.default_rng(1).uniform(-1, 1, (3, 3, 3))).requires_grad_()
    level = torch.tensor(0.05).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, at: robot.marching_cubes(x, at)[0], (volume, level))


def test_no_surface_and_no_number() -> None:
    vertices, faces = robot.marching_cubes(torch.ones(3, 3, 3), torch.zeros(()))
    assert vertices.shape == (0, 3)
    assert faces.shape == (0, 3)
    with pytest.raises(ArgumentError, match="of 2 or more each"):
        robot.marching_cubes(torch.ones(3, 3, 1), torch.zeros(()))


def test_a_wall_is_found_in_depth() -> None:
    """A camera at the origin looks along z at a wall at 2 m: distances are those to it."""
    one = torch.ones(()).double()
    depth = torch.full((40, 40), 2.0).double()
    depth[3, 5] = float("nan")
    grid = torch.zeros(6, 6, 20).double()
    origin = torch.tensor([-0.3, -0.3, 1.5]).double()
    pose = torch.eye(4).double()
    intrinsics = torch.tensor([40.0, 40, 19.5, 19.5]).double()
    distances, weights = grid + 1, grid
    for _ in range(3):
        distances, weights = robot.tsdf_integrate(
            distances, weights, depth, intrinsics, pose, origin, 0.05 * one, 0.2 * one
        )
    z = 1.5 + 0.05 * (torch.arange(20).double() + 0.5)
    want = ((2.0 - z) / 0.2).clamp(max=1.0)
    hidden = want < -1
    torch.testing.assert_close(distances[2, 3][~hidden], want[~hidden])
    assert (weights[2, 3][~hidden] == 3).all()
    assert (weights[2, 3][hidden] == 0).all()
    assert not distances.isnan().any()


def test_voxels_are_convolved_like_dense_ones() -> None:
    draw = np.random.default_rng(0)
    places = torch.tensor(np.unique(draw.integers(-4, 4, (200, 3)), axis=0))
    places = torch.cat((torch.zeros(len(places), 1, dtype=torch.int64), places), 1)
    features = torch.tensor(draw.normal(size=(len(places), 4))).requires_grad_()
    weight = torch.tensor(draw.normal(size=(3, 3, 3, 4, 5))).requires_grad_()
    dense = torch.zeros(4, 10, 10, 10).double()
    x, y, z = (places[:, 1:] + 5).T
    dense[:, x, y, z] = features.detach().T
    want = torch.nn.functional.conv3d(dense[None], weight.detach().permute(4, 3, 0, 1, 2), padding=1)[0]
    found = robot.sparse_convolution(features, places, weight)
    torch.testing.assert_close(found, want[:, x, y, z].T)
    few = places[:9]
    assert torch.autograd.gradcheck(
        lambda f, w: robot.sparse_convolution(f, few, w), (features[:9].detach().requires_grad_(), weight)
    )


def test_voxels_that_are_refused() -> None:
    places = torch.zeros(2, 4, dtype=torch.int64)
    with pytest.raises(ArgumentError, match="two voxels are at one place"):
        robot.voxel_neighbours(places, 3)
    places[1, 1] = 1 << 17
    with pytest.raises(ArgumentError, match="move them nearer to 0"):
        robot.voxel_neighbours(places, 3)
    assert robot.voxel_neighbours(places[:0], 3).shape == (0, 27)
