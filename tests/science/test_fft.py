"""Transforms under SciPy's names against SciPy's own, directly and as its back end, and against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.fft
import torch

from anychip.ops.launching import launch_counts
from anychip.science import fft

NAMES = [name for name in fft.__all__ if not name.startswith(("dct", "dst", "idct", "idst"))]
COSINES = ("dct", "idct", "dst", "idst")


def signal(name, shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return x if name.startswith(("rfft", "ihfft", *COSINES)) else x + 1j * rng.standard_normal(shape)


def assert_near(found, wanted):
    found = np.asarray(found)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    scale = np.abs(wanted).max()
    assert np.abs(found - wanted).max() <= 50 * np.finfo(wanted.real.dtype).eps * scale


@pytest.mark.parametrize("name", NAMES)
def test_fourier(name):
    x = signal(name, (4, 5, 6))
    for norm in (None, "ortho", "forward"):
        wanted = getattr(scipy.fft, name)(x, norm=norm)
        before = sum(launch_counts.values())
        with scipy.fft.set_backend(fft, only=True):
            found = getattr(scipy.fft, name)(x, norm=norm)
        assert sum(launch_counts.values()) > before
        assert isinstance(found, np.ndarray)
        assert_near(found, wanted)


@pytest.mark.parametrize("name", COSINES)
@pytest.mark.parametrize("n", [2, 7, 12])
def test_cosines(name, n):
    x = signal(name, (2, n, 3))
    for kind in (1, 2, 3, 4):
        for norm, orthogonal in ((None, None), ("ortho", None), ("ortho", False), ("forward", True)):
            options = {"type": kind, "axis": 1, "norm": norm, "orthogonalize": orthogonal}
            wanted = getattr(scipy.fft, name)(x, **options)
            assert_near(getattr(fft, name)(x, **options), wanted)


def test_cosines_of_several_axes():
    x = signal("dct", (4, 5, 6)) + 1j * signal("dct", (4, 5, 6), 1)
    for name in ("dctn", "idctn", "dstn", "idstn"):
        for options in ({}, {"axes": (0, 2), "s": (5, 4), "norm": "ortho"}):
            wanted = getattr(scipy.fft, name)(x, **options)
            with scipy.fft.set_backend(fft, only=True):
                assert_near(getattr(scipy.fft, name)(x, **options), wanted)


def test_lengths_axes_and_layouts():
    x = signal("fft", (6, 10))
    for y in (x[:, ::-1], x.T, x[::2], x.astype(">c16"), x.real.astype(np.float16), x.real.astype(np.int32)):
        for n in (None, 4):
            assert_near(fft.fft(y, n, 0), scipy.fft.fft(y, n, 0))
    assert_near(fft.fft(x, 15), scipy.fft.fft(x, 15))
    assert_near(fft.irfft(x, 9), scipy.fft.irfft(x, 9))
    assert_near(fft.fftn(x, (3, -1)), scipy.fft.fftn(x, (3, 10)))
    assert fft.fft(np.zeros((0, 4))).shape == (0, 4)


def test_tensors_stay_tensors():
    x = torch.randn(3, 8, dtype=torch.float32)
    with scipy.fft.set_backend(fft, only=True):
        found = scipy.fft.rfft(x)
        cosines = scipy.fft.dct(x)
    assert isinstance(found, torch.Tensor)
    assert isinstance(cosines, torch.Tensor)
    torch.testing.assert_close(found, torch.fft.rfft(x))
    assert_near(cosines.numpy(), scipy.fft.dct(x.numpy()))


def test_what_is_refused():
    x = np.ones(4)
    with scipy.fft.set_backend(fft, only=True):
        with pytest.raises(TypeError):
            scipy.fft.fft(x, length=3)
        with pytest.raises(ValueError, match="Invalid norm value"):
            scipy.fft.fft(x, norm="none")
        with pytest.raises(ValueError, match="invalid number of data points"):
            scipy.fft.fft(x, 0)
        with pytest.raises(TypeError, match="real sequence"):
            scipy.fft.rfft(x + 0j)
        with pytest.raises(ValueError, match="axes must be unique"):
            scipy.fft.fftn(np.ones((2, 2)), axes=(0, 0))
        with pytest.raises(ValueError, match="same length"):
            scipy.fft.fftn(np.ones((2, 2)), (2,), axes=(0, 1))
        with pytest.raises(ValueError, match="workers"):
            scipy.fft.fft(x, workers=0)
        with pytest.raises(NotImplementedError, match="plan"):
            scipy.fft.fft(x, plan=object())
        with pytest.raises(ValueError, match="at least two"):
            scipy.fft.dct(np.ones(1), 1)
        with pytest.raises(ValueError, match="type"):
            scipy.fft.dct(x, 5)
        with pytest.raises(NotImplementedError):
            scipy.fft.fht(x, 0.1, 0.1)
    with pytest.raises(TypeError, match="keyword"):
        fft.fft(x, length=3)
    with pytest.raises(TypeError, match="not served"):
        fft.fft(x.astype(np.longdouble))


def exact(x, cosine):
    """The transform forward, or the cosine transform of type II, in 40 digits."""
    n = len(x)
    with mpmath.workdps(40):
        if cosine:
            return [
                mpmath.fsum(2 * x[j] * mpmath.cospi(mpmath.mpf(k * (2 * j + 1)) / (2 * n)) for j in range(n))
                for k in range(n)
            ]
        return [
            mpmath.fsum(x[j] * mpmath.expjpi(mpmath.mpf(-2 * j * k) / n) for j in range(n)) for k in range(n)
        ]


@pytest.mark.parametrize("n", [60, 97])
def test_error_is_no_larger_than_twice_scipys(n):
    x = signal("fft", n)
    for values, cosine, ours, theirs in (
        (x, False, fft.fft, scipy.fft.fft),
        (x.real, True, fft.dct, scipy.fft.dct),
    ):
        wanted = exact(values, cosine)
        errors = []
        for function in (ours, theirs):
            found = function(values)
            errors.append(float(max(abs(mpmath.mpmathify(complex(a)) - b) for a, b in zip(found, wanted))))
        scale = float(max(abs(b) for b in wanted))
        assert errors[0] <= max(2 * errors[1], 8 * np.finfo(np.float64).eps * scale)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_gradients_of_cosines(kind):
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    for function in (fft.dct, fft.dst):
        for norm in (None, "ortho"):
            assert torch.autograd.gradcheck(lambda t: function(t, kind, norm=norm), (x,))  # noqa: B023


def test_gradients():
    z = torch.randn(2, 5, dtype=torch.complex128, requires_grad=True)
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: fft.fft(t, 7, norm="ortho"), (z,))
    assert torch.autograd.gradcheck(lambda t: fft.irfft2(t), (z,))
    assert torch.autograd.gradcheck(lambda t: fft.hfft(t, 9), (z,))
    assert torch.autograd.gradcheck(lambda t: fft.rfftn(t), (x,))
