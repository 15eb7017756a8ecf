"""Fitting of what was seen: the plane that most points of a cloud lie on (M. Fischler, R. Bolles, Random
sample consensus, 1981), and a step to the camera's pose by points and their rays (Gauss and Newton)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch

from ...ops.errors import ArgumentError
from ...ops.fused import Fused
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.eigen import sqrt_or_one
from ..formulas.formula import DTYPES, Formula
from ..formulas.graph import Number, div, mul, neg, sub
from ..formulas.linear import solved
from ..formulas.small import Matrix, apply, cross, divided, dot, minus, plus
from ..registry import ORDERS, register, register_formulas, require_order, unit
from ..rotation.algebra import quat_matrix, real_first
from ..rotation.quaternions import matrix_plain

# ---- planes ------------------------------------------------------------------------------------------


def _plane(corners: Matrix) -> list[object]:
    a, b, c = corners
    normal = cross(minus(b, a), minus(c, a))
    normal = divided(normal, sqrt_or_one(dot(normal, normal)))
    return [normal, neg(dot(normal, a))]


_PLANE = Formula("plane_of_points", _plane, [(3, 3)], [(3,), ()])


def _draws(count: int, trials: int, seed: int) -> torch.Tensor:
    """Three different points for each trial."""
    numbers = torch.rand((trials, count), generator=torch.Generator().manual_seed(seed))
    return numbers.topk(3, dim=1).indices


def ransac_plane(
    points: torch.Tensor, threshold: float, trials: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The plane (4), unit normal n and offset d of n . x + d = 0, through three of the points (n, 3),
    nearer to which than `threshold` metres lie most of them, of as many random trials, equal ones for
    equal seeds; and which points these are (n), bool."""
    if points.dim() != 2 or points.shape[1] != 3 or len(points) < 3 or trials < 1:
        raise ArgumentError(
            f"ransac_plane: points are {tuple(points.shape)}, trials {trials}; give (n, 3) of 3 or more, and "
            f"1 trial or more"
        )
    drawn = _draws(len(points), trials, seed).to(points.device)
    normals, offsets = _PLANE(points.detach()[drawn])
    near = (points.detach() @ normals.mT + offsets).abs() <= threshold
    # Points on one line have no plane: their normal is 0, and all points would count.
    counts = torch.where((normals != 0).any(-1), near.sum(0), -1)
    best = counts.argmax()
    return torch.cat((normals[best], offsets[best][None])), near[:, best]


# ---- the pose of a camera ----------------------------------------------------------------------------


def _residual(
    pose: Sequence[Number], point: Sequence[Number], ray: Sequence[Number], order: str
) -> list[object]:
    q = real_first(pose[3:], order)
    x, y, z = plus(apply(quat_matrix(q, div(2.0, dot(q, q))), point), pose[:3])
    inverse = div(1.0, z)
    u, v = mul(x, inverse), mul(y, inverse)
    rows = [[inverse, 0.0, neg(mul(u, inverse))], [0.0, inverse, neg(mul(v, inverse))]]
    # A small twist moves a point by its linear part, and its angular one cross the point.
    return [[sub(u, ray[0]), sub(v, ray[1])], [[*row, *cross([x, y, z], row)] for row in rows]]


@functools.cache
def _residuals(order: str) -> Formula:
    return Formula(
        f"pnp_residual_{order}",
        lambda pose, point, ray: _residual(pose, point, ray, order),
        [(7,), (3,), (2,)],
        [(2,), (2, 6)],
    )


def _twist(matrix: Matrix, right: Sequence[Number], damping: Number) -> list[object]:
    damped = [[x + damping if i == j else x for j, x in enumerate(row)] for i, row in enumerate(matrix)]
    return [[neg(x) for x in solved(damped, right)]]


_TWIST = Formula("pnp_twist", _twist, [(6, 6), (6,), ()], [(6,)])


def pnp_step(
    pose: torch.Tensor, points: torch.Tensor, rays: torch.Tensor, damping: torch.Tensor, *, order: str
) -> torch.Tensor:
    """The twist (..., 6), linear part first, of a step to the pose (..., 7) of the world in a camera's frame:
    se3_compose(se3_exp(twist), pose) brings points (..., n, 3) of the world nearer to rays (..., n, 2), x
    / z and y / z of where they are seen; `damping` (...) is added to the diagonal of the 6 equations.
    Differentiable."""
    if points.dim() < 2 or rays.shape[-2:-1] != points.shape[-2:-1]:
        raise ArgumentError(
            f"pnp_step: points are {tuple(points.shape)}, rays {tuple(rays.shape)}; give (..., n, 3) and "
            f"(..., n, 2)"
        )
    made = _residuals(require_order("pnp_step", order))
    residual, slope = made(pose[..., None, :], points, rays)
    slope = slope.flatten(-3, -2)
    right = (slope.mT @ residual.flatten(-2)[..., None])[..., 0]
    return _TWIST(slope.mT @ slope, right, damping)  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _plane_plain(
    points: torch.Tensor, threshold: float, trials: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    best = (-1, torch.empty(0), torch.empty(0))
    for which in _draws(len(points), trials, seed):
        a, b, c = points.detach()[which]
        normal = torch.linalg.cross(b - a, c - a)
        normal = normal / normal.norm()
        near = ((points.detach() - a) @ normal).abs() <= threshold
        if int(near.sum()) > best[0]:
            best = (int(near.sum()), torch.cat((normal, -(normal @ a)[None])), near)
    return best[1:]


def _pnp_plain(
    pose: torch.Tensor, points: torch.Tensor, rays: torch.Tensor, damping: torch.Tensor, *, order: str
) -> torch.Tensor:
    moved = points @ matrix_plain(pose[..., 3:], order=order).mT + pose[..., None, :3]
    x, y, z = moved.unbind(-1)
    one, zero = 1 / z, torch.zeros_like(z)
    u, v = x / z, y / z
    first = torch.stack((one, zero, -u / z, -u * v, 1 + u * u, -v), -1)
    second = torch.stack((zero, one, -v / z, -1 - v * v, u * v, u), -1)
    slope = torch.stack((first, second), -2).flatten(-3, -2)
    residual = (torch.stack((u, v), -1) - rays).flatten(-2)
    square = slope.mT @ slope + damping[..., None, None] * torch.eye(6, dtype=pose.dtype)
    return -torch.linalg.solve(square, slope.mT @ residual[..., None])[..., 0]


def _tables(dtype: torch.dtype) -> Iterable[Sample]:
    cloud = tensor((60, 3), torch.float64, -1.0, 1.0)
    cloud[:40, 2] = 0.3 * cloud[:40, 0] + 0.01 * tensor((40,), torch.float64, -1.0, 1.0, seed=1)
    yield Sample((cloud.to(dtype), 0.03, 12))


def _views(dtype: torch.dtype) -> Iterable[Sample]:
    for order in ORDERS:
        turn = unit((2, 4), torch.float64)
        points = tensor((2, 20, 3), torch.float64, -1.0, 1.0)
        pose = torch.cat((torch.tensor([[0.1, -0.2, 5.0]] * 2).double(), turn), -1)
        seen = points @ matrix_plain(turn, order=order).mT + pose[:, None, :3]
        rays = seen[..., :2] / seen[..., 2:] + 0.05 * tensor((2, 20, 2), torch.float64, -1.0, 1.0, seed=2)
        yield Sample(tuple(x.to(dtype) for x in (pose, points, rays, torch.tensor(0.01))), {"order": order})


register_formulas("pnp_step", "camera", pnp_step, _pnp_plain, _views, [*map(_residuals, ORDERS), _TWIST], 4.0)
register(Fused("ransac_plane", "cloud", ransac_plane, _plane_plain, _tables, _PLANE.kernels, DTYPES))
