"""Circuits, channels and their gradients against Kronecker products of NumPy, the Fourier transform and
finite differences."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

from anychip.ops.launching import launch_counts
from anychip.science import quantum
from anychip.science.quantum.gates import CHANNELS, FIXED, channel, gate

N = 5


def embedded(matrix, targets, controls, n):
    """The whole matrix [2^n, 2^n] of a gate, element by element."""
    size = 1 << n
    out = np.zeros((size, size), complex)
    for column in range(size):
        if not all(column >> q & 1 for q in controls):
            out[column, column] = 1
            continue
        c = sum((column >> q & 1) << k for k, q in enumerate(targets))
        rest = column & ~sum(1 << q for q in targets)
        for r in range(1 << len(targets)):
            out[rest | sum((r >> k & 1) << q for k, q in enumerate(targets)), column] = matrix[r, c]
    return out


def unitary(size, seed=0):
    generator = np.random.default_rng(seed)
    q, _ = np.linalg.qr(
        generator.standard_normal((size, size)) + 1j * generator.standard_normal((size, size))
    )
    return q


@pytest.mark.parametrize(
    ("targets", "controls"),
    [((2,), ()), ((4, 1), ()), ((0, 3, 2), ()), ((3,), (0, 4)), ((3, 0), (1,))],
)
def test_gates_on_some_qubits(targets, controls):
    u = unitary(1 << len(targets))
    start = unitary(1 << N, 1)[0]
    before = launch_counts["gate_kernel"]
    found = (
        quantum.Circuit(N)
        .add(torch.from_numpy(u), *targets, controls=controls)
        .state(torch.from_numpy(start))
    )
    assert launch_counts["gate_kernel"] == before + 1
    np.testing.assert_allclose(found, embedded(u, targets, controls, N) @ start, atol=1e-15)


def test_named_gates():
    circuit = quantum.Circuit(2).add("h", 0).add("cx", 0, 1)
    np.testing.assert_allclose(circuit.state(), np.array([1, 0, 0, 1]) / math.sqrt(2), atol=1e-15)
    for name, matrix in FIXED.items():
        np.testing.assert_allclose(matrix.mH @ matrix, np.eye(len(matrix)), atol=1e-15, err_msg=name)
    np.testing.assert_allclose(gate("rzz", 0.3).diagonal().angle(), [-0.15, 0.15, 0.15, -0.15], atol=1e-15)
    counts = torch.bincount(circuit.sample(1000, torch.Generator().manual_seed(0)), minlength=4)
    assert counts[1] == counts[2] == 0
    assert 400 < counts[0] < 600


def pauli(text):
    matrices = {"I": np.eye(2), **{one.upper(): FIXED[one].numpy() for one in "xyz"}}
    return functools.reduce(np.kron, (matrices[letter] for letter in text))


def test_expectations():
    state = unitary(8)[0]
    for text in ("XYZ", "IYY", "YYY", "ZIX"):
        found = quantum.expectation(torch.from_numpy(state), text)
        assert float(found) == pytest.approx((state.conj() @ pauli(text) @ state).real, abs=1e-15)
    both = quantum.expectation(torch.from_numpy(state), {"XYZ": 0.5, "ZIX": -2.0})
    wanted = (state.conj() @ (0.5 * pauli("XYZ") - 2 * pauli("ZIX")) @ state).real
    assert float(both) == pytest.approx(wanted, abs=1e-15)


def test_the_fourier_transform_of_a_state():
    start = unitary(16)[0]
    found = quantum.fourier(4).state(torch.from_numpy(start))
    np.testing.assert_allclose(found, np.fft.ifft(start) * 4, atol=1e-15)


def ansatz(angles):
    circuit = quantum.Circuit(3)
    for layer in angles:
        for q in range(3):
            circuit.add("ry", q, angle=layer[q])
        circuit.add("cx", 0, 1).add("rzz", 1, 2, angle=layer[0]).add("cp", 2, 0, angle=layer[1])
    return circuit


def test_gradients_by_both_methods():
    angles = torch.rand((2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    angles.requires_grad_()
    observable = {"ZZI": 1.0, "IXY": 0.5}
    adjoint = ansatz(angles).expectation(observable)
    plain = quantum.expectation(ansatz(angles).state(), observable)
    assert adjoint.item() == pytest.approx(plain.item(), abs=1e-14)
    first, second = (torch.autograd.grad(one, angles, retain_graph=True)[0] for one in (adjoint, plain))
    np.testing.assert_allclose(first, second, atol=1e-14)
    assert torch.autograd.gradcheck(lambda x: ansatz(x).expectation(observable), (angles,))


def test_density_matrices():
    u, v = unitary(4), unitary(2, 1)
    rho = (
        quantum.DensityMatrix(2).apply(torch.from_numpy(u), 1, 0).apply(torch.from_numpy(v), 0, controls=(1,))
    )
    psi = embedded(v, (0,), (1,), 2) @ embedded(u, (1, 0), (), 2)[:, 0]
    np.testing.assert_allclose(rho.matrix(), np.outer(psi, psi.conj()), atol=1e-15)
    assert rho.purity() == pytest.approx(1)
    wanted = np.outer(psi, psi.conj())
    for name in CHANNELS:
        rho.channel(name, 1, 0.2)
        kraus = [np.kron(k.numpy(), np.eye(2)) for k in CHANNELS[name](0.2)]
        wanted = np.sum([k @ wanted @ k.conj().T for k in kraus], 0)
    np.testing.assert_allclose(rho.matrix(), wanted, atol=1e-15)
    assert float(rho.expectation("XY")) == pytest.approx(np.trace(pauli("XY") @ wanted).real, abs=1e-15)
    reduced = rho.partial_trace([1]).matrix()
    np.testing.assert_allclose(reduced, np.einsum("aibi->ab", wanted.reshape(2, 2, 2, 2)), atol=1e-15)
    whole = quantum.DensityMatrix(2, torch.eye(4) / 4).channel("depolarising", 0, 0.5)
    assert whole.purity() == pytest.approx(0.25)
    np.testing.assert_allclose(
        quantum.DensityMatrix(2, rho.matrix()).partial_trace([1, 0]).matrix()[1, 2], wanted[2, 1], atol=1e-15
    )


@pytest.mark.slow
def test_a_gradient_through_noise():
    def noisy(angle):
        rho = quantum.DensityMatrix(2).apply("ry", 0, angle=angle).apply("x", 1, controls=(0,))
        return rho.channel("amplitude_damping", 1, 0.3).expectation({"ZZ": 1.0, "IX": 0.5})

    angle = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(noisy, (angle,))


def test_what_is_refused():
    with pytest.raises(ValueError, match="different ones"):
        quantum.Circuit(2).add("swap", 0, 0)
    with pytest.raises(ValueError, match="is no gate"):
        quantum.Circuit(2).add("rx", 0)
    with pytest.raises(ValueError, match="letters"):
        quantum.Circuit(2).expectation("ZZZ")
    with pytest.raises(ValueError, match="identity"):
        channel(np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="qubits"):
        quantum.Circuit(0)
