"""Rigid motions. A pose is seven numbers (..., 7): a translation in metres, then a unit quaternion, whose
order is always said. A twist is six (..., 6): the linear part, then the angular one in radians, as Pinocchio
and pypose have them. Flows in: batches that broadcast. Flows out: the like; gradients in both modes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import neg
from ..formulas.small import apply, apply_transposed, blocks, hat, negative, plus, product
from ..registry import ORDERS, register_formulas, require_order, unit
from ..rotation import algebra
from ..rotation.algebra import in_order, real_first
from ..rotation.quaternions import (
    conjugate_plain,
    exp_plain,
    hat_plain,
    log_plain,
    matrix_plain,
    product_plain,
    turn_plain,
)

# ---- formulas ----------------------------------------------------------------------------------------


def _parts(pose: list[Any], order: str) -> tuple[list[Any], list[Any]]:
    return pose[:3], real_first(pose[3:], order)


def _pose(shift: list[Any], turn: list[Any], order: str) -> list[Any]:
    return [*shift, *in_order(turn, order)]


@functools.cache
def _exp(order: str) -> Formula:
    def build(twist: list[Any]) -> list[Any]:
        linear, angular = twist[:3], twist[3:]
        shift = apply(algebra.left_jacobian(angular), linear)
        return [_pose(shift, algebra.vector_quat(angular), order)]

    return Formula(f"se3_exp_{order}", build, [(6,)], [(7,)])


@functools.cache
def _log(order: str) -> Formula:
    def build(pose: list[Any]) -> list[Any]:
        shift, turn = _parts(pose, order)
        angular = algebra.quat_vector(turn)
        return [[*apply(algebra.left_jacobian_inverse(angular), shift), *angular]]

    return Formula(f"se3_log_{order}", build, [(7,)], [(6,)])


@functools.cache
def _compose(order: str) -> Formula:
    def build(a: list[Any], b: list[Any]) -> list[Any]:
        (p, q), (r, s) = _parts(a, order), _parts(b, order)
        return [_pose(plus(p, algebra.quat_rotate(q, r)), algebra.quat_product(q, s), order)]

    return Formula(f"se3_compose_{order}", build, [(7,), (7,)], [(7,)])


@functools.cache
def _inverse(order: str) -> Formula:
    def build(pose: list[Any]) -> list[Any]:
        p, q = _parts(pose, order)
        back = [q[0], *(neg(x) for x in q[1:])]
        return [_pose(negative(algebra.quat_rotate(back, p)), back, order)]

    return Formula(f"se3_inverse_{order}", build, [(7,)], [(7,)])


@functools.cache
def _adjoint(order: str) -> Formula:
    def build(pose: list[Any]) -> list[Any]:
        p, q = _parts(pose, order)
        turn = algebra.quat_matrix(q)
        return [blocks([[turn, product(hat(p), turn)], [[[0.0] * 3] * 3, turn]])]

    return Formula(f"se3_adjoint_{order}", build, [(7,)], [(6, 6)])


def _left(twist: list[Any]) -> list[Any]:
    linear, angular = twist[:3], twist[3:]
    turn = algebra.left_jacobian(angular)
    return [blocks([[turn, algebra.motion_jacobian(linear, angular)], [[[0.0] * 3] * 3, turn]])]


_LEFT = Formula("se3_left_jacobian", _left, [(6,)], [(6, 6)])
_RIGHT = Formula("se3_right_jacobian", lambda twist: _left([neg(x) for x in twist]), [(6,)], [(6, 6)])
_POINTS = Formula(
    "transform_points",
    lambda m, x: [plus(apply([row[:3] for row in m[:3]], x), [row[3] for row in m[:3]])],
    [(4, 4), (3,)],
    [(3,)],
)
_BACK = Formula(
    "transform_points_back",
    lambda m, x: [
        apply_transposed([row[:3] for row in m[:3]], [a - row[3] for a, row in zip(x, m[:3], strict=True)])
    ],
    [(4, 4), (3,)],
    [(3,)],
)

# ---- operators ---------------------------------------------------------------------------------------


def se3_exp(twist: torch.Tensor, *, order: str) -> torch.Tensor:
    """Poses (..., 7) of moving for one second with twists (..., 6). Differentiable, at 0, too."""
    return _exp(require_order("se3_exp", order))(twist)  # type: ignore[return-value]


def se3_log(pose: torch.Tensor, *, order: str) -> torch.Tensor:
    """Twists (..., 6) whose exponential poses (..., 7) are, of angles up to pi. Differentiable, at 0, too."""
    return _log(require_order("se3_log", order))(pose)  # type: ignore[return-value]


def se3_compose(a: torch.Tensor, b: torch.Tensor, *, order: str) -> torch.Tensor:
    """The pose (..., 7) of `b` in the frame that `a` is the pose of. Differentiable."""
    return _compose(require_order("se3_compose", order))(a, b)  # type: ignore[return-value]


def se3_inverse(pose: torch.Tensor, *, order: str) -> torch.Tensor:
    """The inverse poses (..., 7). Differentiable."""
    return _inverse(require_order("se3_inverse", order))(pose)  # type: ignore[return-value]


def se3_adjoint(pose: torch.Tensor, *, order: str) -> torch.Tensor:
    """The matrices (..., 6, 6) that take twists of the moved frame into the first one. Differentiable."""
    return _adjoint(require_order("se3_adjoint", order))(pose)  # type: ignore[return-value]


def se3_left_jacobian(twist: torch.Tensor) -> torch.Tensor:
    """Left Jacobians (..., 6, 6) of the exponential map at twists (..., 6). Differentiable, at 0, too."""
    return _LEFT(twist)  # type: ignore[return-value]


def se3_right_jacobian(twist: torch.Tensor) -> torch.Tensor:
    """Right Jacobians (..., 6, 6) of the exponential map at twists (..., 6). Differentiable, at 0, too."""
    return _RIGHT(twist)  # type: ignore[return-value]


def transform_points(matrix: torch.Tensor, points: torch.Tensor, *, inverse: bool = False) -> torch.Tensor:
    """Points (..., 3) taken by homogeneous matrices (..., 4, 4), whose last row is not read, as batches that
    broadcast; with `inverse`, back by those of rigid motions. Differentiable."""
    return (_BACK if inverse else _POINTS)(matrix, points)  # type: ignore[return-value]


# ---- references --------------------------------------------------------------------------------------


def _split(pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pose[..., :3], pose[..., 3:]


def _small(twist: torch.Tensor) -> torch.Tensor:
    """The matrices (..., 4, 4) of twists."""
    upper = torch.cat((hat_plain(twist[..., 3:]), twist[..., :3, None]), -1)
    return torch.cat((upper, torch.zeros_like(upper[..., :1, :])), -2)


def _exp_plain(twist: torch.Tensor, *, order: str) -> torch.Tensor:
    moved = torch.matrix_exp(_small(twist))
    return torch.cat((moved[..., :3, 3], exp_plain(twist[..., 3:], order=order)), -1)


def _left_of(v: torch.Tensor) -> torch.Tensor:
    cross = hat_plain(v)
    one, zero = torch.eye(3, dtype=v.dtype).expand_as(cross), torch.zeros_like(cross)
    return torch.matrix_exp(torch.cat((torch.cat((cross, one), -1), torch.cat((zero, zero), -1)), -2))[
        ..., :3, 3:
    ]


def _log_plain(pose: torch.Tensor, *, order: str) -> torch.Tensor:
    p, q = _split(pose)
    angular = log_plain(q, order=order)
    return torch.cat((torch.linalg.solve(_left_of(angular), p[..., None])[..., 0], angular), -1)


def _compose_plain(a: torch.Tensor, b: torch.Tensor, *, order: str) -> torch.Tensor:
    (p, q), (r, s) = _split(a), _split(b)
    turned = product_plain(q, s, order=order)
    return torch.cat((p + turn_plain(q, r, order=order), turned), -1)


def _inverse_plain(pose: torch.Tensor, *, order: str) -> torch.Tensor:
    p, q = _split(pose)
    back = conjugate_plain(q, order=order)
    return torch.cat((-turn_plain(back, p, order=order), back), -1)


def _adjoint_plain(pose: torch.Tensor, *, order: str) -> torch.Tensor:
    p, q = _split(pose)
    w, v = (q[..., :1], q[..., 1:]) if order == "wxyz" else (q[..., 3:], q[..., :3])
    cross = hat_plain(v)
    turn = torch.eye(3, dtype=q.dtype) + 2.0 * w[..., None] * cross + 2.0 * cross @ cross
    upper = torch.cat((turn, hat_plain(p) @ turn), -1)
    return torch.cat((upper, torch.cat((torch.zeros_like(turn), turn), -1)), -2)


def _left_plain(twist: torch.Tensor) -> torch.Tensor:
    """The integral from 0 to 1 of the exponential of the twist's small adjoint."""
    w, u = hat_plain(twist[..., 3:]), hat_plain(twist[..., :3])
    small = torch.cat((torch.cat((w, u), -1), torch.cat((torch.zeros_like(w), w), -1)), -2)
    one, zero = torch.eye(6, dtype=twist.dtype).expand_as(small), torch.zeros_like(small)
    both = torch.cat((torch.cat((small, one), -1), torch.cat((zero, zero), -1)), -2)
    return torch.matrix_exp(both)[..., :6, 6:]


def _points_plain(matrix: torch.Tensor, points: torch.Tensor, *, inverse: bool = False) -> torch.Tensor:
    turn, shift = matrix[..., :3, :3], matrix[..., :3, 3]
    if inverse:
        return (turn.mT @ (points - shift)[..., None])[..., 0]
    return (turn @ points[..., None])[..., 0] + shift


# ---- records -----------------------------------------------------------------------------------------


def _pose_of(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.cat((tensor((*shape, 3), dtype, seed=seed), unit((*shape, 4), dtype, seed)), -1)


def _twists(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((70, 6), dtype, -1.2, 1.2),))
    yield Sample((torch.cat((torch.zeros(1, 6, dtype=dtype), tensor((6, 6), dtype, -1e-3, 1e-3))),))


def _large_twists(dtype: torch.dtype) -> Iterable[Sample]:
    """Not small ones in double precision, where the exponential of twelve rows loses more than we do."""
    return list(_twists(dtype))[: 1 if dtype == torch.float64 else 2]


def _ordered_twists(dtype: torch.dtype) -> Iterable[Sample]:
    for sample, order in zip(_twists(dtype), ORDERS, strict=True):
        yield Sample(sample.arguments, {"order": order})


def _unturned(dtype: torch.dtype) -> torch.Tensor:
    """A pose without rotation: what is rounded of its quaternion moves nothing else."""
    return torch.tensor([[0.5, -1.0, 2.0, 1.0, 0.0, 0.0, 0.0]], dtype=dtype)


def _single(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_pose_of((70,), dtype),), {"order": "wxyz"})
    yield Sample((_pose_of((2, 5), dtype),), {"order": "xyzw"})
    yield Sample((_unturned(dtype),), {"order": "wxyz"})


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_pose_of((70,), dtype), _pose_of((70,), dtype, 1)), {"order": "wxyz"})
    yield Sample((_pose_of((5, 1), dtype), _pose_of((3,), dtype, 1)), {"order": "xyzw"})
    yield Sample((_unturned(dtype), _unturned(dtype)), {"order": "wxyz"})


def _clouds(dtype: torch.dtype) -> Iterable[Sample]:
    matrix = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    matrix[..., :3, :3] = matrix_plain(unit((2, 1, 4), torch.float64), order="wxyz")
    matrix[..., :3, 3] = tensor((2, 1, 3), torch.float64)
    matrix = matrix.to(dtype)
    yield Sample((matrix[0, 0], tensor((90, 3), dtype)))
    yield Sample((matrix, tensor((2, 7, 3), dtype)), {"inverse": True})


def _both(make: Callable[[str], Formula]) -> list[Formula]:
    return [make(order) for order in ORDERS]


for _name, _function, _plain, _samples, _formulas in (
    ("se3_exp", se3_exp, _exp_plain, _ordered_twists, _both(_exp)),
    ("se3_log", se3_log, _log_plain, _single, _both(_log)),
    ("se3_compose", se3_compose, _compose_plain, _pairs, _both(_compose)),
    ("se3_inverse", se3_inverse, _inverse_plain, _single, _both(_inverse)),
    ("se3_adjoint", se3_adjoint, _adjoint_plain, _single, _both(_adjoint)),
    ("se3_left_jacobian", se3_left_jacobian, _left_plain, _large_twists, [_LEFT]),
    ("se3_right_jacobian", se3_right_jacobian, lambda x: _left_plain(-x), _large_twists, [_RIGHT]),
    ("transform_points", transform_points, _points_plain, _clouds, [_POINTS, _BACK]),
):
    # Terms cancel in some elements of the Jacobians' derivatives.
    _slack = 8.0 if "jacobian" in _name else 1.0
    register_formulas(_name, "motion", _function, _plain, _samples, _formulas, _slack)
