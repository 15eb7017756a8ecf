"""Cameras, filters and steps of action heads: against OpenCV where it is there, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are

from anychip import robot
from anychip.ops.errors import ArgumentError

LENS = torch.tensor([-0.12, 0.03, 1e-3, -8e-4, -4e-3]).double()


def test_a_lens_is_undone() -> None:
    points = torch.tensor(np.random.default_rng(0).uniform(-0.7, 0.7, (90, 2)))
    shown = robot.distort_points(points, LENS)
    assert float((shown - points).abs().max()) > 0.01
    np.testing.assert_allclose(robot.undistort_points(shown, LENS), points, atol=1e-15)


def test_pixels_and_points_are_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    points = torch.tensor(np.random.default_rng(0).uniform(-0.7, 0.7, (90, 3))) + torch.tensor([0.0, 0, 2])
    intrinsics = torch.tensor([310.0, 305, 160, 120]).double()
    fx, fy, cx, cy = intrinsics.tolist()
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    shown = robot.distort_points(points[:, :2] / points[:, 2:], LENS)
    pixels = robot.project_points(torch.cat((shown, torch.ones(90, 1)), -1).double(), intrinsics)
    want = cv2.projectPoints(points.numpy(), np.zeros(3), np.zeros(3), matrix, LENS.numpy())[0]
    np.testing.assert_allclose(pixels, want[:, 0], rtol=1e-12)
    back = robot.unproject_pixels(pixels, torch.ones(90).double(), intrinsics)
    rays = robot.undistort_points(back[:, :2], LENS)
    np.testing.assert_allclose(rays, points[:, :2] / points[:, 2:], atol=1e-13)


def test_pixels_of_an_image_of_depth() -> None:
    depth = torch.full((2, 3), 2.0)
    points = robot.depth_to_points(depth, torch.tensor([100.0, 50.0, 1.0, 0.0]))
    assert points.shape == (2, 3, 3)
    np.testing.assert_allclose(points[1, 2], [0.02, 0.04, 2.0], rtol=1e-6)


def test_the_filters_covariance_settles_at_riccatis() -> None:
    transition = torch.tensor([[1.0, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.1], [0, 0, 0, 1]]).double()
    observation = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]]).double()
    process, noise = 0.01 * torch.eye(4).double(), 0.2 * torch.eye(2).double()
    state, spread = torch.zeros(4).double(), torch.eye(4).double()
    for _ in range(300):
        state, spread = robot.kalman_step(
            state, spread, transition, process, torch.ones(2).double(), observation, noise
        )
    ahead = solve_discrete_are(transition.T.numpy(), observation.T.numpy(), process.numpy(), noise.numpy())
    gain = (
        ahead
        @ observation.T.numpy()
        @ np.linalg.inv(observation.numpy() @ ahead @ observation.T.numpy() + noise.numpy())
    )
    np.testing.assert_allclose(spread, ahead - gain @ observation.numpy() @ ahead, atol=1e-12)
    np.testing.assert_allclose(state[::2], 1.0, atol=1e-6)


def test_cheap_trials_lead() -> None:
    controls, noise = torch.zeros(5, 3), torch.randn(16, 5, 3, generator=torch.Generator().manual_seed(0))
    costs = torch.full((16,), 100.0)
    costs[7] = 0.0
    found = robot.mppi_update(controls, noise, costs, torch.tensor(0.1))
    torch.testing.assert_close(found, noise[7])


def test_denoising_to_the_end_gives_the_clean_sample() -> None:
    clean, noise = torch.randn(2, 3, 30, generator=torch.Generator().manual_seed(0)).double()
    now, one, zero = (torch.tensor(x).double() for x in (0.3, 1.0, 0.0))
    noisy = now.sqrt() * clean + (1 - now).sqrt() * noise
    torch.testing.assert_close(robot.ddim_step(noisy, noise, now, one, zero, noise), clean)
    torch.testing.assert_close(robot.ddim_step(noisy, noise, now, one, one, noise), clean)


def test_chunks_that_are_missing_do_not_count() -> None:
    chunks = torch.tensor([[5.0], [1.0], [3.0]])
    found = robot.temporal_ensemble(chunks, torch.tensor([0.0, 1.0, 1.0]), torch.tensor(0.0))
    assert found.tolist() == [2.0]


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match="must be 1 to 12"):
        robot.kalman_step(*[torch.zeros(13)] * 7)
    with pytest.raises(ArgumentError, match="with up to 256 samples"):
        robot.mppi_update(torch.zeros(5, 3), torch.zeros(4, 5, 3), torch.zeros(3), torch.ones(()))
    with pytest.raises(ArgumentError, match="of up to 128 chunks"):
        robot.temporal_ensemble(torch.zeros(3, 1), torch.ones(2), torch.ones(()))
    with pytest.raises(ArgumentError, match=r"it must be \(..., h, w\)"):
        robot.depth_to_points(torch.zeros(3), torch.ones(4))
