"""Pinhole cameras: points to pixels and back, and lenses after Brown. Flows in: points in the camera's
frame (x right, y down, z ahead, in metres), pixels, intrinsics (fx, fy, cx, cy) in pixels. Flows out:
pixels or points; an undistorted point is found by Newton's method, with the derivatives of its last step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.derivatives import tangents
from ..formulas.formula import Formula
from ..formulas.graph import Number, Scalar, add, detached, div, iterated, mul, sub
from ..registry import register_formulas

NEWTON_STEPS = 12

Point = Sequence[Number]


def _pixel(point: Point, intrinsics: Sequence[Number]) -> list[list[Number]]:
    fx, fy, cx, cy = intrinsics
    x, y, z = point
    return [[add(mul(fx, div(x, z)), cx), add(mul(fy, div(y, z)), cy)]]


def _point(pixel: Point, depth: Number, intrinsics: Sequence[Number]) -> list[list[Number]]:
    fx, fy, cx, cy = intrinsics
    u, v = pixel
    return [[mul(div(sub(u, cx), fx), depth), mul(div(sub(v, cy), fy), depth), depth]]


def distorted(point: Point, coefficients: Sequence[Number]) -> list[Number]:
    """Brown's lens, with coefficients k1, k2, p1, p2, k3."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = point
    xx, yy, xy = mul(x, x), mul(y, y), mul(x, y)
    r = add(xx, yy)
    radial = add(1.0, mul(r, add(k1, mul(r, add(k2, mul(r, k3))))))
    return [
        add(mul(x, radial), add(mul(2.0, mul(p1, xy)), mul(p2, add(r, mul(2.0, xx))))),
        add(mul(y, radial), add(mul(p1, add(r, mul(2.0, yy))), mul(2.0, mul(p2, xy)))),
    ]


def _undistorted(point: Point, coefficients: Sequence[Number]) -> list[list[Number]]:
    def step(at: Sequence[Number], constant: bool) -> list[Number]:
        """One of Newton's; with `constant`, derivatives see its matrix as a constant."""
        x, y = at
        assert isinstance(x, Scalar)
        assert isinstance(y, Scalar)
        found = distorted(at, coefficients)
        a, c = tangents(found, {x.number: 1.0})
        b, d = tangents(found, {y.number: 1.0})
        if constant:
            a, b, c, d = (detached(z) for z in (a, b, c, d))
        u, v = sub(found[0], point[0]), sub(found[1], point[1])
        inverse = div(1.0, sub(mul(a, d), mul(b, c)))
        return [
            sub(x, mul(inverse, sub(mul(d, u), mul(b, v)))),
            sub(y, mul(inverse, sub(mul(a, v), mul(c, u)))),
        ]

    near = iterated(lambda at: step(at, False), point, NEWTON_STEPS, point[0])
    return [step(near, True)]


_PROJECT = Formula("project_points", _pixel, [(3,), (4,)], [(2,)])
_UNPROJECT = Formula("unproject_pixels", _point, [(2,), (), (4,)], [(3,)])
_DISTORT = Formula("distort_points", lambda p, k: [distorted(p, k)], [(2,), (5,)], [(2,)])
_UNDISTORT = Formula("undistort_points", _undistorted, [(2,), (5,)], [(2,)])


def project_points(points: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Pixels (..., 2) of points (..., 3) in the camera's frame, z ahead and not 0; intrinsics (..., 4) are
    fx, fy, cx, cy. Differentiable."""
    return _PROJECT(points, intrinsics)  # type: ignore[no-any-return]


def unproject_pixels(pixels: torch.Tensor, depth: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Points (..., 3) in the camera's frame of pixels (..., 2) whose z is `depth` (...) in metres; intrinsics
    (..., 4) are fx, fy, cx, cy. Differentiable."""
    return _UNPROJECT(pixels, depth, intrinsics)  # type: ignore[no-any-return]


def depth_to_points(depth: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Points (..., h, w, 3) in the camera's frame of images (..., h, w) of z in metres; the centre of the
    first pixel is (0, 0); intrinsics (..., 4) are fx, fy, cx, cy. Differentiable."""
    if depth.dim() < 2:
        raise ArgumentError(f"depth_to_points: depth is {tuple(depth.shape)}; it must be (..., h, w)")
    rows, columns = (torch.arange(size, dtype=depth.dtype, device=depth.device) for size in depth.shape[-2:])
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    return unproject_pixels(pixels, depth, intrinsics[..., None, None, :])


def distort_points(points: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    """Where a lens after Brown shows points (..., 2) of x / z and y / z; coefficients (..., 5) are k1, k2,
    p1, p2, k3, in OpenCV's order. Differentiable."""
    return _DISTORT(points, coefficients)  # type: ignore[no-any-return]


def undistort_points(points: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    """x / z and y / z (..., 2) of what a lens after Brown shows at (..., 2); coefficients (..., 5) are k1,
    k2, p1, p2, k3, in OpenCV's order. Points beyond where the lens folds have none. Differentiable."""
    return _UNDISTORT(points, coefficients)  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _project_plain(points: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return k[..., :2] * points[..., :2] / points[..., 2:] + k[..., 2:]


def _unproject_plain(pixels: torch.Tensor, depth: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    rays = (pixels - k[..., 2:]) / k[..., :2]
    return torch.cat((rays * depth[..., None], depth[..., None] + 0 * rays[..., :1]), -1)


def _depth_plain(depth: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    v, u = torch.meshgrid(*(torch.arange(n, dtype=depth.dtype) for n in depth.shape[-2:]), indexing="ij")
    return _unproject_plain(torch.stack((u, v), -1), depth, k[..., None, None, :])


def _distort_plain(points: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    k1, k2, p1, p2, k3 = coefficients.unbind(-1)
    x, y = points.unbind(-1)
    r = x**2 + y**2
    radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
    return torch.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r + 2 * x**2),
            y * radial + p1 * (r + 2 * y**2) + 2 * p2 * x * y,
        ),
        -1,
    )


def _undistort_plain(points: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    """By a fixed point, and one of Newton's steps with numerical slopes."""
    with torch.no_grad():
        at = points.clone()
        for _ in range(200):
            at = at - (_distort_plain(at, coefficients) - points)
        axes = torch.eye(2, dtype=at.dtype) * 1e-5
        columns = [
            (_distort_plain(at + e, coefficients) - _distort_plain(at - e, coefficients)) / 2e-5 for e in axes
        ]
        slope = torch.stack(columns, -1)
    return at - torch.linalg.solve(slope, _distort_plain(at, coefficients) - points)


def _cameras(dtype: torch.dtype, shape: Sequence[int] = ()) -> torch.Tensor:
    return tensor((*shape, 4), dtype, -20.0, 20.0, seed=3) + torch.tensor([300.0, 320, 160, 120], dtype=dtype)


def _narrow(dtype: torch.dtype, *centre: float) -> torch.Tensor:
    """A camera [4] of a long focal length: what is rounded of pixels near its centre moves points by less
    than what is rounded of their depth."""
    return torch.tensor([256.0, 256.0, *centre], dtype=dtype)


def _points(dtype: torch.dtype) -> Iterable[Sample]:
    ahead = tensor((70, 3), dtype, -1.0, 1.0) + torch.tensor([0.0, 0.0, 2.5], dtype=dtype)
    yield Sample((ahead, _cameras(dtype)))


def _pixels(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 40, 2), dtype, 0, 300), tensor((40,), dtype, 0.3, 5.0), _cameras(dtype, (2, 1))))
    near = torch.tensor([[15.0, 8.0], [16.0, 8.0], [17.0, 9.0]], dtype=dtype)
    yield Sample((near, torch.ones(3, dtype=dtype), _narrow(dtype, 16.0, 8.0)))


def _images(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 7, 9), dtype, 0.3, 5.0), _cameras(dtype, (2,))))
    yield Sample((torch.ones(3, 3, dtype=dtype), _narrow(dtype, 1.0, 1.0)))


def _lenses(dtype: torch.dtype) -> Iterable[Sample]:
    lens = torch.tensor([-0.12, 0.03, 1e-3, -8e-4, -4e-3], dtype=dtype)
    yield Sample((tensor((70, 2), dtype, -0.6, 0.6), lens))


for _name, _function, _plain, _samples, _formulas in (
    ("project_points", project_points, _project_plain, _points, [_PROJECT]),
    ("unproject_pixels", unproject_pixels, _unproject_plain, _pixels, [_UNPROJECT]),
    ("depth_to_points", depth_to_points, _depth_plain, _images, [_UNPROJECT]),
    ("distort_points", distort_points, _distort_plain, _lenses, [_DISTORT]),
    ("undistort_points", undistort_points, _undistort_plain, _lenses, [_UNDISTORT]),
):
    register_formulas(_name, "camera", _function, _plain, _samples, _formulas)
