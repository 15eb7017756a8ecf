"""Boxes that overlap: turned ones against polygons, and which ones stay; with the peers, OpenCV."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from anychip import robot
from anychip.ops.errors import ArgumentError

DRAW = np.random.default_rng(0)


def turned(count: int) -> np.ndarray:
    centre, size = DRAW.uniform(0, 6, (count, 2)), DRAW.uniform(0.5, 3, (count, 2))
    return np.concatenate((centre, size, DRAW.uniform(-4, 4, (count, 1))), 1)


def test_equal_touching_and_crossing_boxes() -> None:
    one = torch.tensor([[1.0, 2.0, 3.0, 1.5, 0.3]]).double()
    for angle in np.linspace(-4, 4, 40):
        box = one.clone()
        box[0, 4] = float(angle)
        np.testing.assert_allclose(robot.rotated_iou(box, box), 1.0, rtol=1e-13)
        half = box.clone()
        half[0, 4] += math.pi
        np.testing.assert_allclose(robot.rotated_iou(box, half), 1.0, rtol=1e-13)
        way = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        beside = box.clone()
        beside[0, :2] += 3.0 * way
        np.testing.assert_allclose(robot.rotated_iou(box, beside), 0.0, atol=1e-14)
        nested = box.clone()
        nested[0, :2] += 0.75 * way
        nested[0, 2] = 1.5
        np.testing.assert_allclose(robot.rotated_iou(box, nested), 0.5, rtol=1e-13)
    cross = torch.tensor([[0.0, 0, 4, 1, 0], [0.0, 0, 4, 1, math.pi / 2]], dtype=torch.float64)
    np.testing.assert_allclose(robot.rotated_iou(cross[:1], cross[1:]), 1 / 7, rtol=1e-13)
    nothing = torch.zeros(1, 5).double()
    assert robot.rotated_iou(nothing, nothing).item() == 0.0


def test_gradients_of_overlaps() -> None:
    a, b = (torch.tensor(turned(6)).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(robot.rotated_iou, (a, b))
    level = torch.tensor([[0.0, 0, 2, 1, 0], [0.5, 0.2, 1.7, 1.3, 0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        robot.rotated_iou, (level[:1].requires_grad_(), level[1:].requires_grad_())
    )


def test_boxes_in_space() -> None:
    a = torch.tensor([0.0, 0, 0, 2, 2, 2, 0], dtype=torch.float64)
    b = torch.tensor([0.0, 0, 1, 2, 2, 2, math.pi / 2], dtype=torch.float64)
    np.testing.assert_allclose(robot.box_iou_3d(a, b), 1 / 3, rtol=1e-14)
    b[2] = 3.0
    assert robot.box_iou_3d(a, b) == 0.0


def test_groups_do_not_touch_each_other() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2]]).repeat(4, 1)
    scores = torch.tensor([0.5, 0.9, 0.1, 0.8])
    assert robot.batched_nms(boxes, scores, torch.tensor([0, 0, 1, 1]), 0.5).tolist() == [1, 3]


@pytest.mark.peers
def test_opencv_finds_the_same_shared_areas() -> None:
    cv2 = pytest.importorskip("cv2")
    a, b = turned(60), turned(60)
    found = robot.rotated_iou(torch.tensor(a), torch.tensor(b)).numpy()
    for p, q, iou in zip(a, b, found, strict=True):
        rectangles = [((x[0], x[1]), (x[2], x[3]), math.degrees(x[4])) for x in (p, q)]
        _, corners = cv2.rotatedRectangleIntersection(*rectangles)
        shared = 0.0 if corners is None else cv2.contourArea(cv2.convexHull(corners))
        assert abs(shared / (p[2] * p[3] + q[2] * q[3] - shared) - iou) < 1e-5


@pytest.mark.peers
def test_opencv_keeps_the_same_boxes() -> None:
    cv2 = pytest.importorskip("cv2")
    corner, size = DRAW.uniform(0, 8, (80, 2)), DRAW.uniform(0.5, 4, (80, 2))
    scores, groups = DRAW.uniform(0.1, 1, 80).astype(np.float32), DRAW.integers(0, 3, 80)
    boxes = torch.tensor(np.concatenate((corner, corner + size), 1)).float()
    flat = np.concatenate((corner, size), 1).tolist()
    found = robot.batched_nms(boxes, torch.tensor(scores), torch.tensor(groups), 0.4)
    want = cv2.dnn.NMSBoxesBatched(flat, scores.tolist(), groups.tolist(), 0.0, 0.4)
    assert sorted(found.tolist()) == sorted(np.ravel(want).tolist())
    rotated = turned(80)
    # A box within another counts as all of it in OpenCV: boxes of one size are not.
    rotated[:, 2:4] = 2.0, 1.0
    tilted = [((x[0], x[1]), (x[2], x[3]), math.degrees(x[4])) for x in rotated]
    found = robot.rotated_nms(torch.tensor(rotated).float(), torch.tensor(scores), 0.3)
    assert found.tolist() == np.ravel(cv2.dnn.NMSBoxesRotated(tilted, scores.tolist(), 0.0, 0.3)).tolist()


@pytest.mark.peers
def test_opencv_drops_a_box_within_another() -> None:
    """docs/robot.md says so; here it stays."""
    cv2 = pytest.importorskip("cv2")
    boxes = torch.tensor([[5.0, 5, 10, 10, 0], [5.0, 5, 1, 1, 0]])
    scores = torch.tensor([0.9, 0.8])
    assert robot.rotated_nms(boxes, scores, 0.5).tolist() == [0, 1]
    tilted = [((x[0], x[1]), (x[2], x[3]), x[4]) for x in boxes.tolist()]
    assert np.ravel(cv2.dnn.NMSBoxesRotated(tilted, scores.tolist(), 0.0, 0.5)).tolist() == [0]


def test_what_is_refused() -> None:
    boxes, scores = torch.zeros(2, 4), torch.zeros(2)
    with pytest.raises(ArgumentError, match="decay is 'none'"):
        robot.soft_nms(boxes, scores, 0.5, decay="none")
    with pytest.raises(ArgumentError, match="groups are"):
        robot.batched_nms(boxes, scores, scores, 0.5)
    with pytest.raises(ArgumentError, match=r"give \(n, 5\)"):
        robot.rotated_nms(boxes, scores, 0.5)
