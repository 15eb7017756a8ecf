"""Matrices of gates on one, two and three qubits, and channels on one. Flows in: angles, numbers of Python's
or tensors that may want gradients. Flows out: complex matrices [2^k, 2^k]; bit k of a row's index is the k-th
target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..errors import InvalidValue

Angle = Any
HALF = math.sqrt(0.5)


def _fixed(*rows: list[complex]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.complex128)


FIXED: dict[str, torch.Tensor] = {
    "x": _fixed([0, 1], [1, 0]),
    "y": _fixed([0, -1j], [1j, 0]),
    "z": _fixed([1, 0], [0, -1]),
    "h": _fixed([HALF, HALF], [HALF, -HALF]),
    "s": _fixed([1, 0], [0, 1j]),
    "t": _fixed([1, 0], [0, complex(HALF, HALF)]),
    "sx": _fixed([0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]),
    "swap": _fixed([1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]),
}
"""Gates without an angle."""


def _pauli_rotation(pauli: str) -> Callable[[torch.Tensor], torch.Tensor]:
    matrix = torch.ones((1, 1), dtype=torch.complex128)
    for one in pauli:
        matrix = torch.kron(FIXED[one], matrix)

    def made(angle: torch.Tensor) -> torch.Tensor:
        half = 0.5 * angle.to(torch.complex128)
        one = torch.eye(len(matrix), dtype=torch.complex128, device=angle.device)
        return half.cos() * one - 1j * half.sin() * matrix.to(angle.device)

    return made


def _phase(angle: torch.Tensor) -> torch.Tensor:
    one = torch.zeros((), dtype=torch.complex128, device=angle.device)
    return torch.diag(torch.stack([one, 1j * angle.to(torch.complex128)]).exp())


TURNED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rx": _pauli_rotation("x"),
    "ry": _pauli_rotation("y"),
    "rz": _pauli_rotation("z"),
    "rxx": _pauli_rotation("xx"),
    "ryy": _pauli_rotation("yy"),
    "rzz": _pauli_rotation("zz"),
    "p": _phase,
}
"""Gates by an angle: rotations exp(-i angle P / 2), and a phase."""


def gate(name: Any, angle: Angle = None) -> torch.Tensor:
    """The matrix [2^k, 2^k], complex128, of a gate by its name, or a given one. Raises InvalidValue."""
    if not isinstance(name, str):
        given = torch.as_tensor(name)
        size = given.shape[0] if given.ndim == 2 else 0
        if given.ndim != 2 or given.shape[0] != given.shape[1] or size not in (2, 4, 8):
            raise InvalidValue(f"a gate is a matrix of 2, 4 or 8 rows, not of the shape {tuple(given.shape)}")
        return given.to(torch.complex128)
    if name in FIXED and angle is None:
        return FIXED[name]
    if name in TURNED and angle is not None:
        return TURNED[name](torch.as_tensor(angle, dtype=torch.float64))
    raise InvalidValue(
        f"{name!r} {'without' if angle is None else 'with'} an angle is no gate; those without are "
        f"{', '.join(FIXED)}, those with one {', '.join(TURNED)}"
    )


def _damping(p: float) -> list[torch.Tensor]:
    return [_fixed([1, 0], [0, math.sqrt(1 - p)]), _fixed([0, math.sqrt(p)], [0, 0])]


def _dephasing(p: float) -> list[torch.Tensor]:
    return [_fixed([1, 0], [0, math.sqrt(1 - p)]), _fixed([0, 0], [0, math.sqrt(p)])]


def _flip(name: str) -> Callable[[float], list[torch.Tensor]]:
    return lambda p: [
        math.sqrt(1 - p) * torch.eye(2, dtype=torch.complex128),
        math.sqrt(p) * FIXED[name],
    ]


def _depolarising(p: float) -> list[torch.Tensor]:
    one = math.sqrt(1 - 0.75 * p) * torch.eye(2, dtype=torch.complex128)
    return [one, *(math.sqrt(p / 4) * FIXED[name] for name in "xyz")]


CHANNELS: dict[str, Callable[[float], list[torch.Tensor]]] = {
    "amplitude_damping": _damping,
    "phase_damping": _dephasing,
    "bit_flip": _flip("x"),
    "phase_flip": _flip("z"),
    "depolarising": _depolarising,
}
"""Channels on one qubit by a probability, as lists of Kraus' operators."""


def channel(name: Any, p: float | None = None) -> torch.Tensor:
    """The matrix [4, 4] of a channel on a qubit and its copy on the other side of a density matrix: a name
    with a probability, or Kraus' operators [m, 2, 2]. Raises InvalidValue."""
    if isinstance(name, str):
        if name not in CHANNELS or p is None or not 0 <= p <= 1:
            raise InvalidValue(f"{name!r} with {p} is no channel; known with 0 to 1: {', '.join(CHANNELS)}")
        kraus = torch.stack(CHANNELS[name](p))
    else:
        kraus = torch.as_tensor(name).to(torch.complex128)
    if kraus.ndim != 3 or kraus.shape[1:] != (2, 2):
        raise InvalidValue(f"Kraus' operators have the shape [m, 2, 2], not {tuple(kraus.shape)}")
    whole = (kraus.mH @ kraus).sum(0)
    if not torch.allclose(whole, torch.eye(2, dtype=whole.dtype), atol=1e-9):
        raise InvalidValue("the sum of K^H K over Kraus' operators is not the identity")
    # bit 0 is the row's qubit, bit 1 the column's
    return sum(torch.kron(k.conj(), k) for k in kraus)  # pyright: ignore[reportReturnType]
