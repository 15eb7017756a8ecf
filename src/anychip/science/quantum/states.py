"""Operations on states of qubits, each with a gradient of its own: gates, and sums of strings of Pauli's
operators. Flows in: complex vectors [2^n]. Flows out: the same, and real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...ops.launching import cdiv, launch
from ..errors import InvalidValue
from .gate_kernels import gate_kernel, overlap_kernel, pauli_kernel

BLOCK, SHARE = 32, 1 << 13


def _qubits(state: torch.Tensor) -> int:
    return state.numel().bit_length() - 1


def checked(n: int, targets: Sequence[int], controls: Sequence[int], rows: int) -> None:
    """Raises InvalidValue unless a gate of so many rows acts on distinct qubits of n."""
    named = [*targets, *controls]
    if len(set(named)) != len(named) or not all(0 <= q < n for q in named):
        raise InvalidValue(f"qubits {named} must be different ones of 0 to {n - 1}")
    if rows != 1 << len(targets):
        raise InvalidValue(f"a gate of {rows} rows does not act on {len(targets)} qubits")


def _places(
    state: torch.Tensor, targets: Sequence[int], controls: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    device = state.device
    control = sum(1 << q for q in controls)
    return (
        torch.tensor(targets, dtype=torch.int64, device=device),
        torch.tensor(sorted(targets), dtype=torch.int64, device=device),
        torch.tensor([control], dtype=torch.int64, device=device),
    )


def applied(
    state: torch.Tensor, matrix: torch.Tensor, targets: Sequence[int], controls: Sequence[int] = ()
) -> torch.Tensor:
    """A new state after a gate; no gradients."""
    state = state.contiguous().resolve_conj()
    matrix = matrix.to(state).contiguous().resolve_conj()
    out, groups = torch.empty_like(state), state.numel() >> len(targets)
    launch(
        gate_kernel,
        cdiv(groups, BLOCK),
        torch.view_as_real(out),
        torch.view_as_real(state),
        torch.view_as_real(matrix),
        *_places(state, targets, controls),
        groups,
        COUNT=len(targets),
        BLOCK=BLOCK,
    )
    return out


def overlaps(
    left: torch.Tensor, state: torch.Tensor, targets: Sequence[int], controls: Sequence[int] = ()
) -> torch.Tensor:
    """The gradient [2^k, 2^k] of a gate's matrix where that of the result is `left`."""
    left, state = (x.contiguous().resolve_conj() for x in (left, state))
    groups, size = state.numel() >> len(targets), 1 << len(targets)
    programs = cdiv(groups, SHARE)
    partial = torch.empty((programs, size, size, 2), dtype=torch.float64, device=state.device)
    launch(
        overlap_kernel,
        (programs, size * size),
        partial,
        torch.view_as_real(left),
        torch.view_as_real(state),
        *_places(state, targets, controls),
        groups,
        SHARE,
        COUNT=len(targets),
        BLOCK=BLOCK,
    )
    return torch.view_as_complex(partial.sum(0)).to(state.dtype)


class Gate(torch.autograd.Function):
    """A state after a gate."""

    @staticmethod
    def forward(
        ctx: Any,
        state: torch.Tensor,
        matrix: torch.Tensor,
        targets: tuple[int, ...],
        controls: tuple[int, ...],
    ) -> torch.Tensor:
        """[2^n]."""
        ctx.save_for_backward(state, matrix)
        ctx.qubits = targets, controls
        return applied(state, matrix, targets, controls)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient after the adjoint gate, and its overlaps with the state."""
        state, matrix = ctx.saved_tensors
        targets, controls = ctx.qubits
        of_state = Gate.apply(grad_outputs[0], matrix.mH, targets, controls)
        of_matrix = None
        if ctx.needs_input_grad[1]:
            of_matrix = overlaps(grad_outputs[0], state, targets, controls).to(matrix.dtype)
        return of_state, of_matrix, None, None


# ---- observables ----------------------------------------------------------------------------------


def strings(observable: Mapping[str, float] | str, n: int) -> tuple[list[int], list[int], list[float]]:
    """(bits flipped, bits whose sign counts, weights) of strings of I, X, Y and Z, of which the last letter
    is qubit 0. Raises InvalidValue."""
    given = {observable: 1.0} if isinstance(observable, str) else dict(observable)
    flips, signs = [], []
    for text in given:
        if len(text) != n or set(text) - set("IXYZ"):
            raise InvalidValue(f"{text!r} is no string of {n} letters I, X, Y and Z")
        flips.append(sum(1 << q for q, letter in enumerate(reversed(text)) if letter in "XY"))
        signs.append(sum(1 << q for q, letter in enumerate(reversed(text)) if letter in "YZ"))
    return flips, signs, [float(weight) for weight in given.values()]


def observed(state: torch.Tensor, observable: Mapping[str, float] | str) -> torch.Tensor:
    """The sum of weights times strings of Pauli's operators, on a state; no gradients."""
    state = state.contiguous().resolve_conj()
    flips, signs, weights = strings(observable, _qubits(state))
    out = torch.empty_like(state)
    launch(
        pauli_kernel,
        cdiv(state.numel(), BLOCK),
        torch.view_as_real(out),
        torch.view_as_real(state),
        torch.tensor(flips, dtype=torch.int64, device=state.device),
        torch.tensor(signs, dtype=torch.int64, device=state.device),
        torch.tensor(weights, dtype=torch.float64, device=state.device),
        state.numel(),
        len(flips),
        BLOCK=BLOCK,
    )
    return out


class Expectation(torch.autograd.Function):
    """<state| observable |state>."""

    @staticmethod
    def forward(ctx: Any, state: torch.Tensor, observable: Any) -> torch.Tensor:
        """A real number."""
        image = observed(state, observable)
        ctx.save_for_backward(image)
        return torch.vdot(state.resolve_conj(), image).real

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Twice what the observable makes of the state."""
        (image,) = ctx.saved_tensors
        return 2 * grad_outputs[0] * image, None


def expectation(state: torch.Tensor, observable: Mapping[str, float] | str) -> torch.Tensor:
    """<state| O |state> for O a string of I, X, Y and Z, of which the last is qubit 0, or the sum of such
    with weights. Differentiable once. complex64, complex128. Raises InvalidValue."""
    return Expectation.apply(state, observable)
