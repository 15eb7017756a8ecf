"""A record of circuits, for proofs: an expectation by its angles against matrices of whole circuits."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ...ops.samples import tensor
from ..registry import PRECISE, Fused, Sample, register
from .circuits import Circuit
from .gate_kernels import gate_kernel, overlap_kernel, pauli_kernel
from .gates import FIXED, gate


def circuit_expectation(angles: torch.Tensor) -> torch.Tensor:
    """The expectation of Z on qubit 0 and X on qubit 1 after rotations by angles [4] and two controlled
    gates. Differentiable once. float32, float64."""
    circuit = Circuit(2).add("ry", 0, angle=angles[0]).add("ry", 1, angle=angles[1]).add("cx", 0, 1)
    circuit.add("rx", 0, angle=angles[2]).add("crz", 0, 1, angle=angles[3])
    return circuit.expectation("XZ").to(angles.dtype)


def _matrices(angles: torch.Tensor) -> torch.Tensor:
    one = torch.eye(2, dtype=torch.complex128)
    first, second = (torch.diag(torch.tensor(x, dtype=torch.complex128)) for x in ([1, 0], [0, 1]))
    state = torch.kron(gate("ry", angles[1]), gate("ry", angles[0]))[:, 0]
    for matrix in (
        torch.kron(one, first) + torch.kron(FIXED["x"], second),
        torch.kron(one, gate("rx", angles[2])),
        torch.kron(one, first) + torch.kron(gate("rz", angles[3]), second),
    ):
        state = matrix @ state
    return torch.vdot(state, torch.kron(FIXED["x"], FIXED["z"]) @ state).real.to(angles.dtype)


def _angles(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4,), dtype, 0.3, 1.2),))
    # at its largest, where the angles' rounding moves it least
    yield Sample((torch.tensor([0.0, 0.5 * torch.pi, 0.0, 0.0], dtype=dtype),))


register(
    Fused(
        "circuit_expectation",
        "quantum circuits",
        circuit_expectation,
        _matrices,
        _angles,
        (gate_kernel, pauli_kernel, overlap_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
