"""Signal processing under SciPy's names, against SciPy, with gradients by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch

from anychip.ops.launching import launch_counts
from anychip.science import signal


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def near(found, wanted, tolerance=1e-12):
    assert np.shape(found) == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, atol=tolerance * max(1, np.abs(wanted).max(initial=0)))


def leaf(*shape, seed=0):
    return torch.tensor(drawn(*shape, seed=seed), requires_grad=True)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.slow
def test_convolutions(mode):
    for a, b in ((drawn(30), drawn(7, seed=1)), (drawn(9, 12), drawn(4, 5, seed=1))):
        before = sum(launch_counts.values())
        near(signal.fftconvolve(a, b, mode), scipy.signal.fftconvolve(a, b, mode))
        assert sum(launch_counts.values()) > before
        near(signal.correlate(a, b, mode), scipy.signal.correlate(a, b, mode))
    a, b = drawn(3, 20), drawn(3, 6, seed=1)
    near(signal.fftconvolve(a, b, mode, axes=1), scipy.signal.fftconvolve(a, b, mode, axes=1))
    z = drawn(10) + 1j * drawn(10, seed=2)
    near(signal.correlate(z, z[:4], mode), scipy.signal.correlate(z, z[:4], mode))
    with pytest.raises(ValueError, match="mode"):
        signal.fftconvolve(a, b, "other")


@pytest.mark.slow
def test_transforms_on_a_spiral_and_analytic_signals():
    x = drawn(3, 20)
    for m, w, a in (
        (None, None, 1),
        (7, None, 1),
        (33, np.exp(-0.1j), 0.9),
        (12, 0.99 * np.exp(-0.2j), 1.1j),
    ):
        near(signal.czt(x, m, w, a), scipy.signal.czt(x, m, w, a), 1e-11)
    near(signal.czt(x, 5, axis=0), scipy.signal.czt(x, 5, axis=0))
    for n in (None, 15, 24):
        near(signal.hilbert(x, n), scipy.signal.hilbert(x, n))
    y = leaf(9)
    assert torch.autograd.gradcheck(lambda y: (signal.hilbert(y).imag, signal.czt(y, 4).real), (y,))


@pytest.mark.parametrize("options", [{}, {"nperseg": 30, "noverlap": 10, "window": "hamming"}])
@pytest.mark.slow
def test_short_time_transforms(options):
    x = drawn(2, 600)
    for more in ({}, {"boundary": None, "padded": False}, {"scaling": "psd", "nfft": 300}):
        for found, wanted in zip(
            signal.stft(x, 8.0, **options, **more), scipy.signal.stft(x, 8.0, **options, **more)
        ):
            near(found, wanted)
    spectrum = signal.stft(x, 8.0, **options)[2]
    times, found = signal.istft(spectrum, 8.0, **options)
    near(found, scipy.signal.istft(spectrum, 8.0, **options)[1])
    near(times, np.arange(found.shape[1]) / 8)  # SciPy's are as many as there are channels
    near(signal.istft(spectrum, 8.0, **options)[1][:, :600], x)
    for name in ("welch", "periodogram"):
        keep = options if name == "welch" else {}
        for scaling in ("density", "spectrum"):
            for found, wanted in zip(
                getattr(signal, name)(x, 8.0, scaling=scaling, **keep),
                getattr(scipy.signal, name)(x, 8.0, scaling=scaling, **keep),
            ):
                near(found, wanted)
    y = leaf(40)
    assert torch.autograd.gradcheck(
        lambda y: signal.istft(signal.stft(y, nperseg=8)[2], nperseg=8)[1] ** 2, (y,)
    )
    assert torch.autograd.gradcheck(lambda y: signal.welch(y, nperseg=8)[1], (y,))
    with pytest.raises(NotImplementedError, match="window"):
        signal.welch(x, window=("kaiser", 3.0))
    with pytest.raises(TypeError):
        signal.welch(x, unknown=1)


@pytest.mark.parametrize(
    "rates",
    [(3, 2), *(pytest.param(one, marks=pytest.mark.slow) for one in ((1, 1), (2, 5), (4, 1), (1, 3)))],
)
def test_changes_of_the_rate(rates):
    x, h = drawn(3, 25), drawn(11, seed=1)
    before = launch_counts["filter_kernel"]
    near(signal.upfirdn(h, x, *rates), scipy.signal.upfirdn(h, x, *rates))
    assert launch_counts["filter_kernel"] == before + 1
    near(signal.upfirdn(h, x, *rates, axis=0), scipy.signal.upfirdn(h, x, *rates, axis=0))
    near(signal.resample_poly(x, *rates, axis=1), scipy.signal.resample_poly(x, *rates, axis=1), 1e-11)
    near(signal.resample_poly(x, *rates, window=h), scipy.signal.resample_poly(x, *rates, window=h), 1e-11)
    y, weights = leaf(9), leaf(5, seed=1)
    assert torch.autograd.gradcheck(lambda h, x: signal.upfirdn(h, x, *rates), (weights, y))
    assert torch.autograd.gradcheck(lambda x: signal.resample_poly(x, *rates), (y,))


@pytest.mark.parametrize("num", [10, 11, 20, 21, 24, 33])
@pytest.mark.slow
def test_resampling_by_spectra(num):
    for n in (20, 21):
        x = drawn(n, 2)
        near(signal.resample(x, num), scipy.signal.resample(x, num))
    times: Any = np.arange(21) / 3
    found: Any = signal.resample(x, num, times)
    wanted: Any = scipy.signal.resample(x, num, times)
    near(found[1], wanted[1])


def test_recursive_filters():
    sos: Any = scipy.signal.butter(5, 0.3, output="sos")
    x = drawn(3, 50)
    before = launch_counts["sections_kernel"]
    near(signal.sosfilt(sos, x), scipy.signal.sosfilt(sos, x))
    assert launch_counts["sections_kernel"] == before + 1
    near(signal.sosfilt(sos, x, axis=0), scipy.signal.sosfilt(sos, x, axis=0))
    zi = drawn(len(sos), 3, 2, seed=4)
    for found, wanted in zip(signal.sosfilt(sos, x, zi=zi), scipy.signal.sosfilt(sos, x, zi=zi)):
        near(found, wanted)
    assert signal.sosfilt(sos.astype(np.float32), x.astype(np.float32)).dtype == np.float32
    y = leaf(2, 9)
    assert torch.autograd.gradcheck(lambda y: signal.sosfilt(sos, y), (y,))
    with pytest.raises(ValueError, match="ones"):
        signal.sosfilt(2 * sos, x)


@pytest.mark.parametrize("moments", [1, 2, 4, 8])
def test_wavelets(moments):
    low = signal.daubechies(moments)
    # orthogonal to its shifts by two, and its wavelet to polynomials
    for shift in range(moments):
        product = np.dot(low[2 * shift :], low[: len(low) - 2 * shift])
        assert abs(product - (shift == 0)) < 1e-9
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    for power in range(moments):
        assert abs(np.dot(high, np.arange(len(low)) ** power)) < 1e-6 * len(low) ** power
    x = drawn(2, 24)
    first, second = signal.dwt(x, moments)
    # the list's oracle: a convolution, of the signal continued as a period
    whole = np.concatenate([x, x, x], 1)
    wanted = np.stack([np.convolve(row, low[::-1], "valid")[:24:2] for row in whole])
    near(first, wanted, 1e-10)
    near(np.sum(first**2 + second**2), np.sum(x**2), 1e-9)
    near(signal.idwt(first, second, moments), x, 1e-9)
    y = leaf(8)
    assert torch.autograd.gradcheck(lambda y: signal.dwt(y, moments), (y,))
    with pytest.raises(ValueError, match="even"):
        signal.dwt(drawn(7))
