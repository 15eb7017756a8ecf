"""Rotation matrices from and to rotation vectors, Euler angles and six numbers; Jacobians of the exponential
map, and the nearest rotation to a matrix. Flows in: (..., 3), (..., 6) or (..., 3, 3). Flows out: the like;
gradients in both modes. Angles are in radians."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import cos, neg, sin
from ..registry import register_formulas, unit
from . import algebra
from .quaternions import hat_plain, log_plain, matrix_plain, quat_plain

SEQUENCES = tuple(
    "".join(letters)
    for case in ("xyz", "XYZ")
    for letters in itertools.product(case, repeat=3)
    if letters[0] != letters[1] != letters[2]
)
"""SciPy's names: small letters turn about fixed axes, in this order; capitals about moving ones."""


def _axes(sequence: str) -> tuple[tuple[int, ...], bool]:
    """The axes in the order of moving ones, and whether that is the reverse of the angles' order."""
    places = tuple("xyz".index(letter) for letter in sequence.lower())
    fixed = sequence.islower()
    return (places[::-1] if fixed else places), fixed


def _require_sequence(name: str, sequence: str) -> str:
    if sequence not in SEQUENCES:
        raise ArgumentError(f"{name}: sequence is {sequence!r}; say one of {', '.join(SEQUENCES)}")
    return sequence


# ---- formulas ----------------------------------------------------------------------------------------


@functools.cache
def _from_euler(sequence: str) -> Formula:
    axes, fixed = _axes(sequence)

    def build(angles: list[Any]) -> list[Any]:
        turns = angles[::-1] if fixed else angles
        return [algebra.euler_matrix([sin(x) for x in turns], [cos(x) for x in turns], axes)]

    # Names of files do not tell small letters from capitals everywhere.
    return Formula(
        f"euler_{sequence.lower()}_{'fixed' if fixed else 'moving'}_to_matrix", build, [(3,)], [(3, 3)]
    )


@functools.cache
def _to_euler(sequence: str) -> Formula:
    axes, fixed = _axes(sequence)

    def build(matrix: list[Any]) -> list[Any]:
        angles = algebra.matrix_euler(matrix, axes, fixed)
        return [angles[::-1] if fixed else angles]

    return Formula(
        f"matrix_to_euler_{sequence.lower()}_{'fixed' if fixed else 'moving'}", build, [(3, 3)], [(3,)]
    )


_VECTOR = Formula("axis_angle_to_matrix", lambda v: [algebra.vector_matrix(v)], [(3,)], [(3, 3)])
_TO_VECTOR = Formula(
    "matrix_to_axis_angle", lambda m: [algebra.quat_vector(algebra.matrix_quat(m))], [(3, 3)], [(3,)]
)
_SIX = Formula("rot6d_to_matrix", lambda d: [algebra.unit_six(d)], [(6,)], [(3, 3)])
_TO_SIX = Formula(
    "matrix_to_rot6d", lambda m: [[m[i][j] for j in range(2) for i in range(3)]], [(3, 3)], [(6,)]
)
_LEFT = Formula("so3_left_jacobian", lambda v: [algebra.left_jacobian(v)], [(3,)], [(3, 3)])
_RIGHT = Formula(
    "so3_right_jacobian", lambda v: [algebra.left_jacobian([neg(x) for x in v])], [(3,)], [(3, 3)]
)
_LEFT_INVERSE = Formula(
    "so3_left_jacobian_inverse", lambda v: [algebra.left_jacobian_inverse(v)], [(3,)], [(3, 3)]
)

# ---- operators ---------------------------------------------------------------------------------------


def axis_angle_to_matrix(v: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), axis times angle. Differentiable, at 0,
    too."""
    return _VECTOR(v)  # type: ignore[return-value]


def matrix_to_axis_angle(matrix: torch.Tensor) -> torch.Tensor:
    """Rotation vectors (..., 3) of rotation matrices (..., 3, 3), of angles up to pi. Differentiable below
    pi."""
    return _TO_VECTOR(matrix)  # type: ignore[return-value]


def euler_to_matrix(angles: torch.Tensor, sequence: str) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) of three angles (..., 3) about the axes of `sequence`: "xyz" about fixed
    axes, "XYZ" about moving ones, and 22 more, as SciPy names them. Differentiable."""
    return _from_euler(_require_sequence("euler_to_matrix", sequence))(angles)  # type: ignore[return-value]


def matrix_to_euler(matrix: torch.Tensor, sequence: str) -> torch.Tensor:
    """Three angles (..., 3) of rotation matrices (..., 3, 3); in gimbal lock the third one is 0, as SciPy's.
    Differentiable elsewhere."""
    return _to_euler(_require_sequence("matrix_to_euler", sequence))(matrix)  # type: ignore[return-value]


def rot6d_to_matrix(d: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) whose first two columns are made of six numbers (..., 6) by Gram and
    Schmidt. Differentiable."""
    return _SIX(d)  # type: ignore[return-value]


def matrix_to_rot6d(matrix: torch.Tensor) -> torch.Tensor:
    """The first two columns (..., 6) of rotation matrices (..., 3, 3), one after the other.
    Differentiable."""
    return _TO_SIX(matrix)  # type: ignore[return-value]


def so3_left_jacobian(v: torch.Tensor) -> torch.Tensor:
    """Left Jacobians (..., 3, 3) of the exponential map of rotations at (..., 3). Differentiable, at 0,
    too."""
    return _LEFT(v)  # type: ignore[return-value]


def so3_right_jacobian(v: torch.Tensor) -> torch.Tensor:
    """Right Jacobians (..., 3, 3) of the exponential map of rotations at (..., 3). Differentiable, at 0,
    too."""
    return _RIGHT(v)  # type: ignore[return-value]


def so3_left_jacobian_inverse(v: torch.Tensor) -> torch.Tensor:
    """The inverses (..., 3, 3) of left Jacobians, for angles below 2 pi. Differentiable, at 0, too."""
    return _LEFT_INVERSE(v)  # type: ignore[return-value]


# ---- references --------------------------------------------------------------------------------------


def exponential_plain(v: torch.Tensor) -> torch.Tensor:
    """By PyTorch's exponential of matrices."""
    return torch.matrix_exp(hat_plain(v))


def left_jacobian_plain(v: torch.Tensor) -> torch.Tensor:
    """The upper right block of an exponential of six rows: its integral from 0 to 1."""
    cross = hat_plain(v)
    unit_matrix = torch.eye(3, dtype=v.dtype).expand_as(cross)
    zero = torch.zeros_like(cross)
    both = torch.cat((torch.cat((cross, unit_matrix), -1), torch.cat((zero, zero), -1)), -2)
    return torch.matrix_exp(both)[..., :3, 3:]


def _vector_plain(matrix: torch.Tensor) -> torch.Tensor:
    """By the quaternion of a matrix, which also says what a matrix means that is not quite a rotation."""
    return log_plain(quat_plain(matrix, order="wxyz"), order="wxyz")


def _euler_plain(angles: torch.Tensor, sequence: str) -> torch.Tensor:
    axes, fixed = _axes(sequence)
    found = torch.eye(3, dtype=angles.dtype)
    for axis, angle in zip(axes, angles.flip(-1).unbind(-1) if fixed else angles.unbind(-1), strict=True):
        turn = torch.zeros(*angle.shape, 3, dtype=angles.dtype)
        turn = torch.cat([angle[..., None] if k == axis else turn[..., k : k + 1] for k in range(3)], -1)
        found = found @ exponential_plain(turn)
    return found


def _to_euler_plain(matrix: torch.Tensor, sequence: str) -> torch.Tensor:
    """Of SciPy's 24, the two that samples have, by their own formulas."""
    m = matrix
    if sequence == "xyz":
        a, c = torch.atan2(m[..., 2, 1], m[..., 2, 2]), torch.atan2(m[..., 1, 0], m[..., 0, 0])
        b = torch.atan2(-m[..., 2, 0], (m[..., 2, 1].square() + m[..., 2, 2].square()).sqrt())
    else:
        a, c = torch.atan2(m[..., 1, 2], m[..., 0, 2]), torch.atan2(m[..., 2, 1], -m[..., 2, 0])
        b = torch.atan2((m[..., 2, 0].square() + m[..., 2, 1].square()).sqrt(), m[..., 2, 2])
    return torch.stack((a, b, c), -1)


def _six_plain(d: torch.Tensor) -> torch.Tensor:
    first, second = d[..., :3], d[..., 3:]
    x = first / first.norm(dim=-1, keepdim=True)
    rest = second - (x * second).sum(-1, keepdim=True) * x
    y = rest / rest.norm(dim=-1, keepdim=True)
    return torch.stack((x, y, torch.linalg.cross(x, y)), -1)


# ---- records -----------------------------------------------------------------------------------------


def _vectors(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((70, 3), dtype, -1.5, 1.5),))
    yield Sample((torch.cat((torch.zeros(1, 3, dtype=dtype), tensor((6, 3), dtype, -1e-3, 1e-3))),))


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((70, 4), (2, 5, 4)):
        q = unit(shape, torch.float64) + 0.6 * torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
        yield Sample((matrix_plain(q, order="wxyz").to(dtype),))


def _angles(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((70, 3), dtype), "xyz"))
    yield Sample((tensor((2, 5, 3), dtype), "ZYZ"))


def _turned(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _matrices(dtype):
        yield Sample((*sample.arguments, "xyz"))
        yield Sample((*sample.arguments, "ZYZ"))


def _sixes(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((70, 6), dtype),))
    yield Sample((tensor((2, 3, 6), dtype, 0.5, 4.0),))


def _all(make: Callable[[str], Formula]) -> list[Formula]:
    return [make(sequence) for sequence in SEQUENCES]


for _name, _function, _plain, _samples, _formulas in (
    ("axis_angle_to_matrix", axis_angle_to_matrix, exponential_plain, _vectors, [_VECTOR]),
    ("matrix_to_axis_angle", matrix_to_axis_angle, _vector_plain, _matrices, [_TO_VECTOR]),
    ("euler_to_matrix", euler_to_matrix, _euler_plain, _angles, _all(_from_euler)),
    ("matrix_to_euler", matrix_to_euler, _to_euler_plain, _turned, _all(_to_euler)),
    ("rot6d_to_matrix", rot6d_to_matrix, _six_plain, _sixes, [_SIX]),
    ("matrix_to_rot6d", matrix_to_rot6d, lambda m: m[..., :2].mT.flatten(-2), _matrices, [_TO_SIX]),
    ("so3_left_jacobian", so3_left_jacobian, left_jacobian_plain, _vectors, [_LEFT]),
    ("so3_right_jacobian", so3_right_jacobian, lambda v: left_jacobian_plain(-v), _vectors, [_RIGHT]),
    (
        "so3_left_jacobian_inverse",
        so3_left_jacobian_inverse,
        lambda v: torch.linalg.inv(left_jacobian_plain(v)),
        _vectors,
        [_LEFT_INVERSE],
    ),
):
    register_formulas(_name, "rotation", _function, _plain, _samples, _formulas)
