"""Quaternions: products, inverses, turning vectors, interpolation, and their rotation matrices and vectors.
The order of the four numbers is always said: 'wxyz' with the real part first, 'xyzw' with it last. Flows in:
(..., 4), with batches that broadcast. Flows out: the like; gradients in both modes."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch

from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import div, neg
from ..formulas.small import dot, scaled
from ..registry import ORDERS, register_formulas, require_order, unit
from . import algebra
from .algebra import in_order, real_first

# ---- formulas ----------------------------------------------------------------------------------------


@functools.cache
def _multiply(order: str) -> Formula:
    return Formula(
        f"quat_multiply_{order}",
        lambda a, b: [in_order(algebra.quat_product(real_first(a, order), real_first(b, order)), order)],
        [(4,), (4,)],
        [(4,)],
    )


@functools.cache
def _conjugate(order: str) -> Formula:
    def build(q: list) -> list:
        w, *v = real_first(q, order)
        return [in_order([w, *(neg(x) for x in v)], order)]

    return Formula(f"quat_conjugate_{order}", build, [(4,)], [(4,)])


@functools.cache
def _inverse(order: str) -> Formula:
    def build(q: list) -> list:
        w, *v = real_first(q, order)
        return [in_order(scaled(div(1.0, dot(q, q)), [w, *(neg(x) for x in v)]), order)]

    return Formula(f"quat_inverse_{order}", build, [(4,)], [(4,)])


@functools.cache
def _apply(order: str) -> Formula:
    return Formula(
        f"quat_apply_{order}",
        lambda q, v: [algebra.quat_rotate(real_first(q, order), v)],
        [(4,), (3,)],
        [(3,)],
    )


@functools.cache
def _slerp(order: str) -> Formula:
    return Formula(
        f"quat_slerp_{order}",
        lambda a, b, t: [in_order(algebra.slerp(real_first(a, order), real_first(b, order), t), order)],
        [(4,), (4,), ()],
        [(4,)],
    )


@functools.cache
def _to_matrix(order: str) -> Formula:
    return Formula(
        f"quat_to_matrix_{order}",
        lambda q: [algebra.quat_matrix(real_first(q, order), div(2.0, dot(q, q)))],
        [(4,)],
        [(3, 3)],
    )


@functools.cache
def _from_matrix(order: str) -> Formula:
    return Formula(
        f"matrix_to_quat_{order}", lambda m: [in_order(algebra.matrix_quat(m), order)], [(3, 3)], [(4,)]
    )


@functools.cache
def _exp(order: str) -> Formula:
    return Formula(f"so3_exp_{order}", lambda v: [in_order(algebra.vector_quat(v), order)], [(3,)], [(4,)])


@functools.cache
def _log(order: str) -> Formula:
    return Formula(f"so3_log_{order}", lambda q: [algebra.quat_vector(real_first(q, order))], [(4,)], [(3,)])


# ---- operators ---------------------------------------------------------------------------------------


def quat_multiply(a: torch.Tensor, b: torch.Tensor, *, order: str) -> torch.Tensor:
    """The product of quaternions (..., 4): first the turn of `b`, then that of `a`. Differentiable."""
    return _multiply(require_order("quat_multiply", order))(a, b)


def quat_conjugate(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """The conjugate of quaternions (..., 4): the inverse of unit ones. Differentiable."""
    return _conjugate(require_order("quat_conjugate", order))(q)


def quat_inverse(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """The inverse of quaternions (..., 4) of any length but 0. Differentiable."""
    return _inverse(require_order("quat_inverse", order))(q)


def quat_apply(q: torch.Tensor, v: torch.Tensor, *, order: str) -> torch.Tensor:
    """Vectors (..., 3) turned by unit quaternions (..., 4). Differentiable."""
    return _apply(require_order("quat_apply", order))(q, v)


def quat_slerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor, *, order: str) -> torch.Tensor:
    """From unit quaternions `a` (..., 4) at t = 0 to `b` at t = 1 at constant speed, the shorter way; `t`
    (...). Differentiable."""
    return _slerp(require_order("quat_slerp", order))(a, b, t)


def quat_to_matrix(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) of any length but 0. Differentiable."""
    return _to_matrix(require_order("quat_to_matrix", order))(q)


def matrix_to_quat(matrix: torch.Tensor, *, order: str) -> torch.Tensor:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3), real part not below 0. Differentiable."""
    return _from_matrix(require_order("matrix_to_quat", order))(matrix)


def so3_exp(v: torch.Tensor, *, order: str) -> torch.Tensor:
    """Unit quaternions (..., 4) of rotation vectors (..., 3), axis times angle in radians. Differentiable, at
    0, too."""
    return _exp(require_order("so3_exp", order))(v)


def so3_log(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """Rotation vectors (..., 3) of unit quaternions (..., 4), of angles up to pi. Differentiable, at 0,
    too."""
    return _log(require_order("so3_log", order))(q)


# ---- references --------------------------------------------------------------------------------------


def _parts(q: torch.Tensor, order: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and imaginary part, (..., 1) and (..., 3)."""
    return (q[..., :1], q[..., 1:]) if order == "wxyz" else (q[..., 3:], q[..., :3])


def _joined(w: torch.Tensor, v: torch.Tensor, order: str) -> torch.Tensor:
    return torch.cat((w, v) if order == "wxyz" else (v, w), -1)


def product_plain(a: torch.Tensor, b: torch.Tensor, *, order: str) -> torch.Tensor:
    """a b in plain PyTorch."""
    a, b = torch.broadcast_tensors(a, b)
    (w, v), (x, y) = _parts(a, order), _parts(b, order)
    return _joined(w * x - (v * y).sum(-1, keepdim=True), w * y + x * v + torch.linalg.cross(v, y), order)


def conjugate_plain(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """The conjugate in plain PyTorch."""
    w, v = _parts(q, order)
    return _joined(w, -v, order)


def _inverse_plain(q: torch.Tensor, *, order: str) -> torch.Tensor:
    return conjugate_plain(q, order=order) / q.square().sum(-1, keepdim=True)


def matrix_plain(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """The rotation matrix in plain PyTorch."""
    w, v = _parts(q / q.norm(dim=-1, keepdim=True), order)
    cross = hat_plain(v)
    return torch.eye(3, dtype=q.dtype) + 2.0 * w[..., None] * cross + 2.0 * cross @ cross


def hat_plain(v: torch.Tensor) -> torch.Tensor:
    """The matrices of v x (.) in plain PyTorch."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))


def turn_plain(q: torch.Tensor, v: torch.Tensor, *, order: str) -> torch.Tensor:
    """A turned vector in plain PyTorch."""
    w, u = _parts(q, order)
    u, v = torch.broadcast_tensors(u, v)
    twice = 2.0 * torch.linalg.cross(u, v)
    return v + w * twice + torch.linalg.cross(u, twice)


def exp_plain(v: torch.Tensor, *, order: str) -> torch.Tensor:
    """By the series of the sine, which has a derivative at 0."""
    half = 0.5 * v
    square = half.square().sum(-1, keepdim=True)
    sine, cosine = torch.ones_like(square), torch.ones_like(square)
    up, down = torch.ones_like(square), torch.ones_like(square)
    for k in range(1, 20):
        up, down = -up * square / (2 * k * (2 * k + 1)), -down * square / (2 * k * (2 * k - 1))
        sine, cosine = sine + up, cosine + down
    return _joined(cosine, sine * half, order)


def log_plain(q: torch.Tensor, *, order: str) -> torch.Tensor:
    """The rotation vector in plain PyTorch."""
    w, v = _parts(q, order)
    sign = torch.where(w < 0, -1.0, 1.0)
    norm = v.norm(dim=-1, keepdim=True)
    safe = torch.where(norm > 0, norm, 1.0)
    return torch.where(norm > 0, 2.0 * torch.atan2(safe, sign * w) / safe, 2.0 / w.abs()) * sign * v


def quat_plain(matrix: torch.Tensor, *, order: str) -> torch.Tensor:
    """By the eigenvector of a symmetric matrix of four rows (Bar-Itzhack)."""
    m = matrix
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    skew = torch.stack(
        (m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]), -1
    )
    both = m + m.mT
    rows = torch.cat((trace[..., None], skew), -1)[..., None, :]
    below = torch.cat((skew[..., None], both - trace[..., None, None] * torch.eye(3, dtype=m.dtype)), -1)
    square = torch.cat((rows, below), -2) + torch.eye(4, dtype=m.dtype)
    place = square.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = torch.take_along_dim(square, place[..., None, None], -2).squeeze(-2)
    best = torch.take_along_dim(square.diagonal(dim1=-2, dim2=-1), place[..., None], -1)
    q = 0.5 * row / best.sqrt()
    q = torch.where(q[..., :1] < 0, -q, q)
    return _joined(q[..., :1], q[..., 1:], order)


def _slerp_plain(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor, *, order: str) -> torch.Tensor:
    between = product_plain(conjugate_plain(a, order=order), b, order=order)
    turn = t[..., None] * log_plain(between, order=order)
    return product_plain(a, exp_plain(turn, order=order), order=order)


# ---- records -----------------------------------------------------------------------------------------


def _unturned(dtype: torch.dtype) -> torch.Tensor:
    """A quaternion [1, 4] of no rotation: what is rounded of it moves nothing but its own real part."""
    return torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=dtype)


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((unit((70, 4), dtype), unit((70, 4), dtype, 1)), {"order": "wxyz"})
    # A product moves by two roundings, its gradients by one. One of nine rows has a weight of a power of two.
    several = _unturned(dtype).repeat(9, 1)
    yield Sample((several, several.clone()), {"order": "wxyz"})
    yield Sample((unit((5, 1, 4), dtype), unit((3, 4), dtype, 1)), {"order": "xyzw"})


def _singles(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((unit((70, 4), dtype),), {"order": "wxyz"})
    yield Sample((unit((4, 5), dtype).t().contiguous()[:, :4] + 0.1,), {"order": "xyzw"})
    yield Sample((unit((4, 3), dtype).t().contiguous(),), {"order": "xyzw"})


def _turns(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((unit((70, 4), dtype), tensor((70, 3), dtype)), {"order": "wxyz"})
    yield Sample((_unturned(dtype), torch.tensor([[0.5, -1.0, 2.0]], dtype=dtype)), {"order": "wxyz"})
    yield Sample((unit((4,), dtype), tensor((6, 3), dtype)), {"order": "xyzw"})


def _vectors(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((70, 3), dtype, -1.5, 1.5),), {"order": "wxyz"})
    yield Sample(
        (torch.cat((torch.zeros(1, 3, dtype=dtype), tensor((6, 3), dtype, -1e-3, 1e-3))),), {"order": "xyzw"}
    )


def _units(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((unit((70, 4), dtype),), {"order": "wxyz"})
    yield Sample((unit((6, 4), dtype, 1),), {"order": "xyzw"})


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, order in (((70, 4), "wxyz"), ((2, 5, 4), "xyzw")):
        yield Sample((matrix_plain(unit(shape, torch.float64), order="wxyz").to(dtype),), {"order": order})


def _slerps(dtype: torch.dtype) -> Iterable[Sample]:
    a, b = unit((70, 4), dtype), unit((70, 4), dtype, 1)
    yield Sample((a, b, tensor((70,), dtype, 0.0, 1.0)), {"order": "wxyz"})
    half = torch.tensor([0.5], dtype=dtype)
    yield Sample((_unturned(dtype), _unturned(dtype), half), {"order": "wxyz"})
    yield Sample((a[:6], a[1:7], tensor((6,), dtype, -0.5, 1.5)), {"order": "xyzw"})


def _both(make) -> list[Formula]:
    return [make(order) for order in ORDERS]


for _name, _function, _plain, _samples, _make in (
    ("quat_multiply", quat_multiply, product_plain, _pairs, _multiply),
    ("quat_conjugate", quat_conjugate, conjugate_plain, _singles, _conjugate),
    ("quat_inverse", quat_inverse, _inverse_plain, _singles, _inverse),
    ("quat_apply", quat_apply, turn_plain, _turns, _apply),
    ("quat_slerp", quat_slerp, _slerp_plain, _slerps, _slerp),
    ("quat_to_matrix", quat_to_matrix, matrix_plain, _singles, _to_matrix),
    ("matrix_to_quat", matrix_to_quat, quat_plain, _matrices, _from_matrix),
    ("so3_exp", so3_exp, exp_plain, _vectors, _exp),
    ("so3_log", so3_log, log_plain, _units, _log),
):
    register_formulas(_name, "rotation", _function, _plain, _samples, _both(_make))
