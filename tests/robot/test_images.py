"""Images read between pixels, and regions of them, against SciPy and NumPy; with the peers, OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from anychip import robot
from anychip.ops.errors import ArgumentError, UnsupportedDtype

DRAW = np.random.default_rng(0)
IMAGE = torch.tensor(DRAW.uniform(0, 1, (2, 3, 20, 30)))
PLACES = torch.tensor(DRAW.uniform((-3, -3), (33, 23), (2, 9, 7, 2)))


@pytest.mark.parametrize(("outside", "mode"), [("zeros", "constant"), ("edge", "nearest")])
def test_places_are_read_as_scipy_reads_them(outside: str, mode: str) -> None:
    found = robot.remap(IMAGE, PLACES, outside)
    inside = ((PLACES > 0) & (torch.tensor([29, 19]) > PLACES)).all(-1)
    for batch in range(2):
        at = PLACES[batch].numpy()[..., ::-1].transpose(2, 0, 1)
        for channel in range(3):
            want = map_coordinates(IMAGE[batch, channel].numpy(), at, order=1, mode=mode)
            kept = np.ones_like(want, dtype=bool) if outside == "edge" else inside[batch].numpy()
            np.testing.assert_allclose(found[batch, channel].numpy()[kept], want[kept], atol=1e-14)


def test_a_place_that_is_no_number_gives_none() -> None:
    places = torch.tensor([[[float("nan"), 1.0], [1.0, 1.0], [1e30, 2.0], [-float("inf"), 0.0]]]).double()
    found = robot.remap(IMAGE, places)[:, :, 0]
    assert found[..., 0].isnan().all()
    torch.testing.assert_close(found[..., 1], IMAGE[:, :, 1, 1])


def test_gradients_of_a_homography() -> None:
    matrix = torch.tensor([[0.91, 0.12, 0.4], [-0.05, 1.1, -0.3], [0.011, -0.02, 1.0]]).double()
    image = IMAGE[:1, :1, :5, :6].clone().requires_grad_()
    torch.autograd.gradcheck(
        lambda a, m: robot.warp_perspective(a, m, (4, 5), "edge"), (image, matrix.requires_grad_())
    )


@pytest.mark.peers
def test_opencv_warps_alike() -> None:
    cv2 = pytest.importorskip("cv2")
    matrix = np.array([[0.9, 0.1, 2.0], [-0.05, 1.1, -1.0], [1e-3, -2e-3, 1.0]])
    found = robot.warp_perspective(IMAGE[0].float(), torch.tensor(matrix).float(), (20, 30), "edge")
    planes = np.ascontiguousarray(IMAGE[0].float().numpy().transpose(1, 2, 0))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    want = cv2.warpPerspective(planes, matrix, (30, 20), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    # OpenCV rounds places to a 32nd of a pixel.
    np.testing.assert_allclose(found.numpy().transpose(1, 2, 0), want, atol=1 / 32)


@pytest.mark.peers
def test_opencv_undistorts_alike() -> None:
    cv2 = pytest.importorskip("cv2")
    intrinsics, lens = torch.tensor([25.0, 26.0, 14.5, 9.2]), torch.tensor([-0.2, 0.05, 1e-3, -2e-3, 0.01])
    matrix = np.array([[25.0, 0, 14.5], [0, 26.0, 9.2], [0, 0, 1]])
    planes = np.ascontiguousarray(IMAGE[0].float().numpy().transpose(1, 2, 0))
    found = robot.undistort_image(IMAGE[0].float(), intrinsics, lens)
    np.testing.assert_allclose(
        found.numpy().transpose(1, 2, 0)[2:-2, 2:-2],
        cv2.undistort(planes, matrix, lens.numpy())[2:-2, 2:-2],
        atol=1 / 32,
    )


def test_regions_of_a_ramp_are_its_means() -> None:
    """A linear image has, in the middle of a bin, the bin's mean."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    ramp = (2 * x + 3 * y)[None, None].double()
    box = torch.tensor([[4.0, 3.0, 16.0, 15.0]]).double()
    found = robot.roi_align(ramp, box, torch.tensor([0]), (2, 3))
    centres_x, centres_y = 4 + 12 * (np.arange(3) + 0.5) / 3 - 0.5, 3 + 12 * (np.arange(2) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(found[0, 0], 2 * centres_x[None] + 3 * centres_y[:, None], rtol=1e-14)


def test_gradients_of_regions() -> None:
    images = IMAGE[:, :2, :6, :7].clone().requires_grad_()
    boxes = torch.tensor([[0.7, 1.2, 5.1, 4.9], [-3.0, 2.0, 2.2, 9.1]]).double().requires_grad_()
    owners = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(lambda a, b: robot.roi_align(a, b, owners, (2, 2), 0.9), (images, boxes))
    assert torch.autograd.gradcheck(
        lambda a: robot.roi_pool(a, boxes.detach(), owners, (2, 2), 0.9), (images,)
    )


def test_what_is_refused() -> None:
    box, owner = torch.tensor([[0.0, 0, 2, 2]]).double(), torch.tensor([0])
    with pytest.raises(ArgumentError, match="owners name images from 0 to 1"):
        robot.roi_align(IMAGE, box, owner + 2, (2, 2))
    with pytest.raises(ArgumentError, match="outside is 'wrap'"):
        robot.remap(IMAGE, PLACES, "wrap")
    with pytest.raises(ArgumentError, match="batches are"):
        robot.remap(IMAGE, PLACES[[0, 0, 0]])
    with pytest.raises(UnsupportedDtype):
        robot.remap(IMAGE.half(), PLACES.half())
    with pytest.raises(UnsupportedDtype):
        robot.roi_pool(IMAGE, box, owner.int(), (2, 2))
