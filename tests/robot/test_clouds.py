"""Neighbours, normals and registration of clouds of points, and boxes, against SciPy and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from anychip import robot
from anychip.ops.errors import ArgumentError, UnsupportedDtype


def cloud(count: int, seed: int = 0) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).uniform(-1, 1, (count, 3)))


def test_nearest_neighbours_are_scipys() -> None:
    points, queries = cloud(700), cloud(50, 1)
    squares, which = robot.nearest_neighbours(queries, points, 5)
    distances, indices = KDTree(points).query(queries, 5)
    np.testing.assert_array_equal(which, indices)
    np.testing.assert_allclose(squares.sqrt(), distances, rtol=1e-13)


def test_equal_points_are_found_once_each() -> None:
    points = torch.zeros(300, 3)
    squares, which = robot.nearest_neighbours(torch.zeros(1, 3), points, 5)
    assert sorted(set(which[0].tolist())) == sorted(which[0].tolist())
    assert not squares.any()


def shaped(kind: str) -> torch.Tensor:
    """2,000 points that are sorted into cells, of shapes that grids are bad at."""
    points = cloud(2000)
    if kind in ("plane", "line"):
        points[:, 1 if kind == "line" else 2 :] = 0.0
    elif kind == "outliers":
        points[:3] *= 1e12
    elif kind == "far away":
        points += 1e7
    elif kind == "clusters":
        points[:1000] *= 1e-4
    return points


@pytest.mark.parametrize("kind", ["cube", "plane", "line", "outliers", "far away", "clusters"])
def test_neighbours_in_cells_are_scipys(kind: str) -> None:
    points = shaped(kind)
    queries = torch.cat((points[:100], 1.5 * points[100:130]))
    squares, _ = robot.nearest_neighbours(queries, points, 5)
    np.testing.assert_allclose(squares.sqrt(), KDTree(points).query(queries, 5)[0], rtol=1e-12)


def test_what_is_no_number_is_nobodys_neighbour() -> None:
    points = cloud(2000)
    points[::3] = float("nan")
    points[1] = float("inf")
    queries = torch.cat((points[:9], points.new_full((1, 3), float("-inf"))))
    known = points.isfinite().all(-1)
    squares, which = robot.nearest_neighbours(queries, points, 5)
    asked = queries.isfinite().all(-1)
    assert (which[~asked] == -1).all()
    assert known[which[asked]].all()
    want = KDTree(points[known]).query(queries[asked], 5)[0]
    np.testing.assert_allclose(squares[asked].sqrt(), want, rtol=1e-12)
    points[4:] = float("nan")
    assert ((robot.nearest_neighbours(points[2:3], points, 5)[1] >= 0).sum(-1) == 1).all()


def test_balls_in_cells_are_scipys() -> None:
    points = shaped("clusters")
    which, found = robot.ball_query(points[900:1100], points, 0.2, 6)
    for row, count, want in zip(which, found, KDTree(points).query_ball_point(points[900:1100], 0.2)):
        first = sorted(want)[:6]
        assert row.tolist() == first + [-1] * (6 - len(first))
        assert count == len(want)


def test_points_in_a_ball_are_scipys() -> None:
    points, queries = cloud(700), cloud(50, 1)
    which, found = robot.ball_query(queries, points, 0.3, 6)
    for row, count, want in zip(which, found, KDTree(points).query_ball_point(queries, 0.3), strict=True):
        first = sorted(want)[:6]
        assert row.tolist() == first + [-1] * (6 - len(first))
        assert count == len(want)


def test_farthest_points_are_far_apart() -> None:
    points = cloud(400)
    which = robot.farthest_points(points, 9).tolist()
    assert which[0] == 0
    for k in range(1, 9):
        nearest = KDTree(points[which[:k]]).query(points)[0]
        assert nearest[which[k]] == nearest.max()


def test_normals_of_a_sphere_point_outwards() -> None:
    points = cloud(500)
    points = points / points.norm(dim=-1, keepdim=True)
    normals = robot.point_normals(points, 12, torch.zeros(3).double())
    assert float((normals * points).sum(-1).max()) < -0.98


def test_rotations_are_those_of_a_singular_value_decomposition() -> None:
    matrix = torch.tensor(np.random.default_rng(2).normal(size=(60, 3, 3)))
    u, _, v = np.linalg.svd(matrix.numpy())
    u[:, :, 2] *= np.linalg.det(u @ v)[:, None]
    np.testing.assert_allclose(robot.nearest_rotation(matrix), u @ v, atol=1e-11)


def test_clouds_are_brought_together() -> None:
    target = cloud(200)
    turn, shift = Rotation.from_rotvec([0.02, -0.03, 0.01]).as_matrix(), np.array([0.01, 0.0, -0.02])
    source = (target - torch.tensor(shift)) @ torch.tensor(turn)
    moved = source
    for _ in range(6):
        moved = robot.transform_points(robot.icp_step(moved, target), moved)
    np.testing.assert_allclose(moved, target, atol=1e-12)


def test_boxes_that_stay() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [3, 3, 4, 4], [0, 0, 1, 1]])
    scores = torch.tensor([0.5, 0.9, 0.1, 0.9])
    assert robot.nms(boxes, scores, 0.6).tolist() == [1, 3, 2]
    assert robot.nms(boxes, scores, 0.99).tolist() == [1, 3, 0, 2]
    assert robot.nms(boxes[:0], scores[:0], 0.5).tolist() == []


def test_what_is_refused() -> None:
    points = cloud(9)
    with pytest.raises(ArgumentError, match="k is 10"):
        robot.nearest_neighbours(points, points, 10)
    with pytest.raises(ArgumentError, match="of one batch and element type"):
        robot.nearest_neighbours(points, points.float(), 3)
    with pytest.raises(ArgumentError, match="radius not below 0"):
        robot.ball_query(points, points, -1.0, 3)
    with pytest.raises(ArgumentError, match="k is 0"):
        robot.farthest_points(points, 0)
    with pytest.raises(ArgumentError, match="lie in many planes"):
        robot.point_normals(points, 2, points[0])
    with pytest.raises(ArgumentError, match=r"give \(n, 4\) and \(n\)"):
        robot.nms(points, points[:, 0], 0.5)
    with pytest.raises(UnsupportedDtype):
        robot.farthest_points(points.half(), 2)


def test_cells_are_numpys() -> None:
    points = cloud(300)
    means, counts, cell = robot.voxel_downsample(points, 0.5)
    cells, index, number = np.unique(
        np.floor(points.numpy() / 0.5), axis=0, return_inverse=True, return_counts=True
    )
    np.testing.assert_array_equal(cell, index.ravel())
    np.testing.assert_array_equal(counts, number)
    np.testing.assert_array_equal(torch.floor(means / 0.5), cells)
    with pytest.raises(ArgumentError, match="make them larger"):
        robot.voxel_downsample(points, 1e-9)


def test_a_table_is_found_among_other_things() -> None:
    points = cloud(300)
    points[:200, 2] = 0.1 * points[:200, 0] + 0.4
    plane, near = robot.ransac_plane(points, 1e-6, 40)
    want = np.array([-0.1, 0.0, 1.0, -0.4]) / np.sqrt(1.01)
    np.testing.assert_allclose(plane * torch.sign(plane[2]), want, atol=1e-9)
    assert near[:200].all()
    with pytest.raises(ArgumentError, match="of 3 or more"):
        robot.ransac_plane(points[:2], 0.1, 4)


def test_a_camera_finds_its_place() -> None:
    points = cloud(20)
    truth = torch.cat((torch.tensor([0.1, -0.2, 5.0]), torch.tensor([0.1, 0.2, -0.1, 0.97]))).double()
    truth[3:] /= truth[3:].norm()
    seen = Rotation.from_quat(truth[3:].numpy()).apply(points.numpy()) + truth[:3].numpy()
    rays = torch.tensor(seen[:, :2] / seen[:, 2:])
    pose = torch.tensor([0.0, 0, 4, 0, 0, 0, 1]).double()
    for _ in range(8):
        twist = robot.pnp_step(pose, points, rays, torch.zeros(()).double(), order="xyzw")
        pose = robot.se3_compose(robot.se3_exp(twist, order="xyzw"), pose, order="xyzw")
    np.testing.assert_allclose(pose, truth, atol=1e-12)
