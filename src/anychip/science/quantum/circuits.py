"""Circuits of gates on qubits, run on state vectors with gradients by the adjoint method (Jones and Gacon,
"Efficient calculation of gradients in classical simulations of variational quantum algorithms", 2020), which
keeps two states whatever the depth, and density matrices with channels. Qubit q is bit q of an index."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import InvalidValue
from . import gates
from .states import Gate, applied, checked, observed, overlaps

PLACES = 30
"""Qubits of a state vector at most: an index is then a 32-bit number for all but a hundred gigabytes."""


@dataclass(frozen=True)
class Step:
    """A gate's matrix, on which qubits, and which qubits must be 1 for it to act."""

    matrix: torch.Tensor
    targets: tuple[int, ...]
    controls: tuple[int, ...]


class AdjointExpectation(torch.autograd.Function):
    """An expectation after gates, whose gradients go back through the gates themselves."""

    @staticmethod
    def forward(ctx: Any, start: torch.Tensor, steps: Sequence[Step], observable: Any, *matrices: Any) -> Any:
        """A real number."""
        state = start
        for step, matrix in zip(steps, matrices):
            state = applied(state, matrix, step.targets, step.controls)
        image = observed(state, observable)
        ctx.save_for_backward(state, image, *matrices)
        ctx.steps = steps
        return torch.vdot(state, image).real

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Each gate is undone on the state and on what the observable made of it."""
        state, image, *matrices = ctx.saved_tensors
        left = 2 * grad_outputs[0] * image
        found: list[Any] = [None] * len(matrices)
        for k in reversed(range(len(matrices))):
            step, adjoint = ctx.steps[k], matrices[k].mH
            state = applied(state, adjoint, step.targets, step.controls)
            if ctx.needs_input_grad[3 + k]:
                found[k] = overlaps(left, state, step.targets, step.controls).to(matrices[k].dtype)
            left = applied(left, adjoint, step.targets, step.controls)
        return left if ctx.needs_input_grad[0] else None, None, None, *found


class Circuit:
    """Gates on n qubits, in the order in which they were added. Raises InvalidValue."""

    def __init__(self, n: int):
        if not 1 <= n <= PLACES:
            raise InvalidValue(f"a circuit has 1 to {PLACES} qubits, not {n}")
        self.n = n
        self.steps: list[Step] = []

    def add(self, gate: Any, *targets: int, angle: Any = None, controls: Sequence[int] = ()) -> Circuit:
        """Add a gate by its name ("h", "cx" is "x" with a control; with `angle` "rx", "ry", "rz", "rxx",
        "ryy", "rzz", "p") or its unitary matrix on one to three qubits; `angle` may be a tensor that wants a
        gradient. Returns the circuit. Raises InvalidValue."""
        controls = tuple(controls)
        if isinstance(gate, str):
            while gate not in gates.FIXED and gate not in gates.TURNED and gate.startswith("c"):
                gate, controls, targets = gate[1:], (*controls, targets[0]), targets[1:]
        matrix = gates.gate(gate, angle)
        checked(self.n, targets, controls, len(matrix))
        self.steps.append(Step(matrix, tuple(targets), controls))
        return self

    def start(self, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
        """The state [2^n] of which all qubits are 0."""
        state = torch.zeros(1 << self.n, dtype=dtype)
        state[0] = 1
        return state

    def state(self, start: torch.Tensor | None = None, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
        """The state [2^n] after all gates. Differentiable in matrices, angles and `start`."""
        state = self.start(dtype) if start is None else start
        for step in self.steps:
            state = Gate.apply(state, step.matrix, step.targets, step.controls)
        return state

    def expectation(
        self,
        observable: Mapping[str, float] | str,
        start: torch.Tensor | None = None,
        dtype: torch.dtype = torch.complex128,
    ) -> torch.Tensor:
        """The expectation of a string of I, X, Y and Z, of which the last is qubit 0, or of a sum of such
        with weights. Differentiable once, in memory that does not depend on the number of gates, which must
        be unitary. Raises InvalidValue."""
        first = self.start(dtype) if start is None else start
        matrices = [step.matrix for step in self.steps]
        return AdjointExpectation.apply(first, tuple(self.steps), observable, *matrices)

    def sample(self, shots: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Indices [shots] of basis states, drawn by their probabilities."""
        with torch.no_grad():
            weights = self.state().abs().square()
        edges = weights.cumsum(0)
        drawn = torch.rand(shots, generator=generator, dtype=torch.float64) * edges[-1]
        return torch.searchsorted(edges, drawn, right=True).clamp(max=len(edges) - 1)


class DensityMatrix:
    """A density matrix of n qubits, kept as a state of 2 n qubits, rows first: all are 0, or of a given state
    [2^n] or matrix [2^n, 2^n]. Raises InvalidValue."""

    def __init__(self, n: int, start: torch.Tensor | None = None):
        if not 1 <= n <= PLACES // 2:
            raise InvalidValue(f"a density matrix has 1 to {PLACES // 2} qubits, not {n}")
        size = 1 << n
        if start is None:
            start = torch.zeros(size, dtype=torch.complex128)
            start[0] = 1
        if start.shape == (size,):
            start = torch.outer(start, start.conj())
        if start.shape != (size, size):
            raise InvalidValue(f"start {tuple(start.shape)} must have the shape [{size}] or [{size}, {size}]")
        self.n = n
        self._whole = start.mT.reshape(-1).to(torch.complex128)

    def apply(
        self, gate: Any, *targets: int, angle: Any = None, controls: Sequence[int] = ()
    ) -> DensityMatrix:
        """A gate as `Circuit.add` takes it. Returns the matrix. Raises InvalidValue."""
        circuit = Circuit(self.n).add(gate, *targets, angle=angle, controls=controls)
        step, n = circuit.steps[0], self.n
        self._whole = Gate.apply(self._whole, step.matrix, step.targets, step.controls)
        other = tuple(q + n for q in step.targets), tuple(q + n for q in step.controls)
        self._whole = Gate.apply(self._whole, step.matrix.conj(), *other)
        return self

    def channel(self, name: Any, qubit: int, p: float | None = None) -> DensityMatrix:
        """A channel on a qubit: "amplitude_damping", "phase_damping", "bit_flip", "phase_flip" or
        "depolarising" with the probability p, or Kraus' operators [m, 2, 2]. Raises InvalidValue."""
        checked(self.n, (qubit,), (), 2)
        self._whole = Gate.apply(self._whole, gates.channel(name, p), (qubit, qubit + self.n), ())
        return self

    def matrix(self) -> torch.Tensor:
        """[2^n, 2^n]. Differentiable."""
        size = 1 << self.n
        return self._whole.reshape(size, size).mT

    def expectation(self, observable: Mapping[str, float] | str) -> torch.Tensor:
        """The trace of the matrix times the observable. Differentiable. Raises InvalidValue."""
        size = 1 << self.n
        # the observable on the rows of the identity gives its matrix's elements
        identity = torch.eye(size, dtype=torch.complex128).reshape(-1)
        padded = {"I" * self.n + text: w for text, w in _weighted(observable).items()}
        return torch.dot(observed(identity, padded), self.matrix().reshape(-1)).real

    def partial_trace(self, keep: Sequence[int]) -> DensityMatrix:
        """The density matrix of the qubits `keep`, the first of which becomes qubit 0. Raises
        InvalidValue."""
        n, kept = self.n, list(keep)
        checked(n, kept, (), 1 << len(kept))
        rest = [q for q in range(n) if q not in kept]
        order = [n - 1 - q for q in (*reversed(rest), *reversed(kept))]
        tensor = self.matrix().reshape([2] * (2 * n)).permute(*order, *(n + k for k in order))
        shape = 1 << len(rest), 1 << len(kept)
        reduced = torch.einsum("aiaj->ij", tensor.reshape(*shape, *shape))
        return DensityMatrix(len(kept), reduced)

    def purity(self) -> float:
        """The trace of the matrix's square: 1 of a pure state, 1 / 2^n of one that says nothing."""
        return float(self._whole.abs().square().sum())


def _weighted(observable: Mapping[str, float] | str) -> dict[str, float]:
    return {observable: 1.0} if isinstance(observable, str) else dict(observable)


def fourier(n: int) -> Circuit:
    """The quantum Fourier transform: the state with the amplitudes x becomes that with those of the inverse
    transform of x, times sqrt(2^n)."""
    circuit = Circuit(n)
    for q in reversed(range(n)):
        circuit.add("h", q)
        for other in reversed(range(q)):
            circuit.add("p", q, angle=math.pi / (1 << (q - other)), controls=(other,))
    for q in range(n // 2):
        circuit.add("swap", q, n - 1 - q)
    return circuit
