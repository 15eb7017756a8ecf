"""Transforms at uneven places against the sums themselves, and Lambert's W against SciPy and mpmath."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

from anychip.ops.launching import launch_counts
from anychip.science import signal, special


def drawn(n, seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform(-4 * math.pi, 4 * math.pi, n), generator.standard_normal(2 * n).view(complex)


@pytest.mark.parametrize("modes", [1, 20, 33])
@pytest.mark.parametrize("eps", [1e-4, 1e-12])
def test_both_transforms(modes, eps):
    x, c = drawn(60)
    k = np.arange(-(modes // 2), (modes + 1) // 2)
    waves = np.exp(1j * np.outer(k, x))
    before = launch_counts["spread_kernel"], launch_counts["collect_kernel"]
    first = signal.nufft1d1(x, c, modes, eps)
    np.testing.assert_allclose(first, waves @ c, atol=3 * eps * np.abs(c).sum(), rtol=0)
    f = drawn(modes, 1)[1]
    second = signal.nufft1d2(x, f, eps)
    np.testing.assert_allclose(second, waves.conj().T @ f, atol=3 * eps * np.abs(f).sum(), rtol=0)
    assert (launch_counts["spread_kernel"], launch_counts["collect_kernel"]) == (before[0] + 1, before[1] + 1)


@pytest.mark.slow
def test_their_gradients():
    x, c = (torch.from_numpy(one) for one in drawn(9))
    c.requires_grad_()
    assert torch.autograd.gradcheck(lambda c: signal.nufft1d1(x, c, 6, 1e-12), (c,))
    assert torch.autograd.gradcheck(lambda c: signal.nufft1d2(x, c, 1e-12, 1), (c,))


def test_refused_transforms():
    with pytest.raises(ValueError, match="one length"):
        signal.nufft1d1(np.zeros(3), np.zeros(2), 4)
    with pytest.raises(ValueError, match="isign"):
        signal.nufft1d2(np.zeros(3), np.zeros(2), isign=0)


def test_lambert_s_w():
    # SciPy is off by 5e-15 near the branch point; mpmath decides below
    above = np.concatenate([np.linspace(-0.3678, 4, 101), np.geomspace(1e-300, 1e300, 41), [0.0]])
    np.testing.assert_allclose(special.lambertw(above), scipy.special.lambertw(above).real, rtol=1e-14)
    below = -np.concatenate([np.linspace(1e-3, 0.36, 60), np.geomspace(1e-300, 1e-4, 21)])
    np.testing.assert_allclose(
        special.lambertw(below, -1), scipy.special.lambertw(below, -1).real, rtol=1e-14
    )
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        for x in (-0.3678, -0.3, -0.01, 0.1, 0.2501, 2.9, 3.1, 1e5, 1e300):
            if x < 0:
                wanted = float(mpmath.lambertw(x, -1).real)
                assert special.lambertw(x, -1) == pytest.approx(wanted, rel=2e-15)
            assert special.lambertw(x) == pytest.approx(float(mpmath.lambertw(x).real), rel=2e-15)
        for offset in (1e-12, 1e-9, 1e-6, 1e-4, 1e-3):
            x = -1 / math.e + offset
            for k in (0, -1):
                assert special.lambertw(x, k) == pytest.approx(float(mpmath.lambertw(x, k).real), rel=2e-15)
    assert special.lambertw(-1 / math.e) == pytest.approx(-1, abs=2e-8)
    assert special.lambertw(0.0, -1) == -math.inf
    assert special.lambertw(math.inf) == math.inf
    for x, k in ((-0.4, 0), (-0.4, -1), (0.1, -1), (math.nan, 0)):
        assert math.isnan(special.lambertw(x, k))
    with pytest.raises(NotImplementedError):
        special.lambertw(1.0, 1)


@pytest.mark.slow
def test_its_gradients():
    x = torch.tensor([-0.3, 0.0, 0.5, 20.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(special.lambertw, (x,))
    y = torch.tensor([-0.3, -0.1, -0.01], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: special.lambertw(y, -1), (y,))
