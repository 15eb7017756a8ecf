"""Normals of clouds of points, and the rigid motion between two clouds. Flows in: points (..., n, 3). Flows
out: normals by the smallest axis of each point's neighbours; rotations by the quaternion that is the largest
axis of a matrix of 4 rows (B. Horn, Closed-form solution of absolute orientation, 1987)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch

from ...ops.errors import ArgumentError
from ...ops.fused import Fused
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.eigen import eigen
from ..formulas.formula import DTYPES, Formula
from ..formulas.graph import Number, Scalar, div, neg, select, sub
from ..formulas.small import Matrix, dot, minus, total
from ..registry import register, register_formulas
from ..rotation.algebra import quat_matrix
from .neighbours import at_indices, nearest_kernel, nearest_neighbours


def _normal(neighbours: Matrix, ray: Sequence[Number]) -> list[list[Number]]:
    """The smallest axis of neighbours, along a ray."""
    count = float(len(neighbours))
    mean = [div(total(axis), count) for axis in zip(*neighbours, strict=True)]
    moved = [minus(x, mean) for x in neighbours]
    axes = list(zip(*moved, strict=True))
    _, vectors = eigen([[dot(a, b) for b in axes] for a in axes])
    along = dot(vectors[0], ray)
    assert isinstance(along, Scalar)
    against = along < 0.0
    return [[select(against, neg(x), x) for x in vectors[0]]]


@functools.cache
def _normals(count: int) -> Formula:
    return Formula(f"point_normals_{count}", _normal, [(count, 3), (3,)], [(3,)])


def _rotation(matrix: Matrix) -> list[Matrix]:
    """The rotation nearest to a matrix, by Horn's matrix of the transposed one."""
    (xx, yx, zx), (xy, yy, zy), (xz, yz, zz) = matrix
    horn = [
        [xx + yy + zz, sub(yz, zy), sub(zx, xz), sub(xy, yx)],
        [sub(yz, zy), xx - yy - zz, xy + yx, zx + xz],
        [sub(zx, xz), xy + yx, yy - xx - zz, yz + zy],
        [sub(xy, yx), zx + xz, yz + zy, zz - xx - yy],
    ]
    _, vectors = eigen(horn)
    q = vectors[-1]
    return [quat_matrix(q, div(2.0, dot(q, q)))]


_ROTATION = Formula("nearest_rotation", _rotation, [(3, 3)], [(3, 3)])


def nearest_rotation(matrix: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) nearest to matrices (..., 3, 3): U diag(1, 1, det U V^T) V^T of U S
    V^T. Of the sum of q p^T it is the turn that brings points p nearest to points q. Differentiable where
    it is unique."""
    return _ROTATION(matrix)  # type: ignore[no-any-return]


def point_normals(points: torch.Tensor, neighbours: int, viewpoint: torch.Tensor) -> torch.Tensor:
    """Unit normals (..., n, 3) of clouds of points (..., n, 3), of the plane through the nearest `neighbours`
    (each point itself counts), on the side of `viewpoint` (..., 3). Differentiable but for which points are
    neighbours."""
    if neighbours < 3:
        raise ArgumentError(f"point_normals: {neighbours} neighbours lie in many planes; give 3 or more")
    _, found = nearest_neighbours(points.detach(), points.detach(), neighbours)
    ray = (viewpoint[..., None, :] - points).detach()
    return _normals(neighbours)(at_indices(points, found), ray)  # type: ignore[no-any-return]


def icp_step(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The rigid motions (..., 4, 4) that bring points (..., n, 3) nearest, by squares of distances, to the
    points of a cloud (..., m, 3) that are nearest to them now: a step of the iterative closest point,
    point to point. Differentiable but for which points are nearest."""
    _, found = nearest_neighbours(source.detach(), target.detach(), 1)
    goal = at_indices(target, found)[..., 0, :]
    centre, middle = goal.mean(-2, keepdim=True), source.mean(-2, keepdim=True)
    turn = nearest_rotation((goal - centre).mT @ (source - middle))
    shift = centre.mT - turn @ middle.mT
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=turn.dtype, device=turn.device)
    upper = torch.cat((turn, shift), -1)
    return torch.cat((upper, last.expand(*upper.shape[:-2], 1, 4)), -2)


# ---- records -----------------------------------------------------------------------------------------


def _rotation_plain(matrix: torch.Tensor) -> torch.Tensor:
    u, _, v = torch.linalg.svd(matrix)
    sign = torch.linalg.det(u.detach() @ v.detach()).sign()
    ones = torch.ones_like(sign)
    return u @ (torch.stack((ones, ones, sign), -1)[..., None] * v)


def _normals_plain(points: torch.Tensor, neighbours: int, viewpoint: torch.Tensor) -> torch.Tensor:
    found = torch.cdist(points.detach(), points.detach()).topk(neighbours, largest=False).indices
    near = torch.stack([cloud[index] for cloud, index in zip(points, found)])
    moved = near - near.mean(-2, keepdim=True)
    normal = torch.linalg.eigh(moved.mT @ moved).eigenvectors[..., 0]
    ray = viewpoint[..., None, :] - points
    return torch.where(((normal * ray).sum(-1, keepdim=True) < 0).detach(), -normal, normal)


def _icp_plain(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    found = torch.cdist(source.detach(), target.detach()).argmin(-1)
    goal = torch.stack([cloud[index] for cloud, index in zip(target, found)])
    centre, middle = goal.mean(-2, keepdim=True), source.mean(-2, keepdim=True)
    turn = _rotation_plain((goal - centre).mT @ (source - middle))
    upper = torch.cat((turn, centre.mT - turn @ middle.mT), -1)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=turn.dtype).expand(len(upper), 1, 4)
    return torch.cat((upper, last), -2)


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((40, 3, 3), dtype, -1.0, 1.0) + 1.5 * torch.eye(3, dtype=dtype),))


def _surface(dtype: torch.dtype) -> torch.Tensor:
    """Two clouds on a curved sheet."""
    flat = tensor((2, 40, 2), torch.float64, -1.0, 1.0)
    height = 0.2 * (flat**2).sum(-1, keepdim=True) + 0.01 * tensor((2, 40, 1), torch.float64, seed=1)
    return torch.cat((flat, height), -1).to(dtype)


def _sheets(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_surface(dtype), 9, torch.tensor([0.1, -0.2, 5.0], dtype=dtype)))


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    cloud = tensor((2, 30, 3), dtype, -1.0, 1.0)
    yield Sample((cloud[:, :25] + 0.02, cloud))


register_formulas("nearest_rotation", "cloud", nearest_rotation, _rotation_plain, _matrices, [_ROTATION], 4.0)
for _name, _function, _plain, _samples, _formula in (
    ("point_normals", point_normals, _normals_plain, _sheets, _normals(9)),
    ("icp_step", icp_step, _icp_plain, _pairs, _ROTATION),
):
    register(
        Fused(
            _name,
            "cloud",
            _function,
            _plain,
            _samples,
            (nearest_kernel, *_formula.kernels),
            DTYPES,
            differentiable=True,
            tolerance=4.0,  # what is far smaller than the squares that it is computed of
        )
    )
