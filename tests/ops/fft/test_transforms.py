"""Fourier transforms against NumPy, through PyTorch's own interface under the strict policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.launched import launched

import anychip
from anychip.ops.fft.stages import LARGEST_RADIX, radices

NORMS = ("backward", "ortho", "forward")
LENGTHS = st.sampled_from([1, 2, 3, 5, 8, 12, 16, 31, 48, 67, 81, 128, 149, 210, 384, 1000])


def drawn(shape: tuple[int, ...], seed: int) -> Any:
    generator = np.random.default_rng(seed)
    return generator.standard_normal(shape) + 1j * generator.standard_normal(shape)


def assert_close(actual: torch.Tensor, expected: Any) -> None:
    tolerance = 1e-12 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-10, atol=tolerance)


@settings(max_examples=8, deadline=None)
@given(length=LENGTHS, rows=st.integers(1, 4), norm=st.sampled_from(NORMS), axis=st.sampled_from([0, 1]))
def test_any_length(length: int, rows: int, norm: Any, axis: int) -> None:
    x = drawn((rows, length) if axis else (length, rows), length)
    with anychip.using("strict"), launched("_fft_c2c", "_fft_r2c", "_fft_c2r") as kernels:
        there = torch.fft.fft(torch.from_numpy(x), dim=axis, norm=norm)
        half = torch.fft.rfft(torch.from_numpy(x.real.copy()), dim=axis, norm=norm)
        back = torch.fft.ifft(there, dim=axis, norm=norm)
        real = torch.fft.irfft(half, n=length, dim=axis, norm=norm)
    assert sum(kernels.values()) >= 4
    assert_close(there, np.fft.fft(x, axis=axis, norm=norm))
    assert_close(half, np.fft.rfft(x.real, axis=axis, norm=norm))
    assert_close(back, x)
    assert_close(real, x.real)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0), (1,)])
def test_several_dimensions(axes: tuple[int, ...]) -> None:
    x = drawn((6, 20, 9), 1)
    with anychip.using("strict"):
        there = torch.fft.fftn(torch.from_numpy(x), dim=axes)
        half = torch.fft.rfftn(torch.from_numpy(x.real.copy()), dim=axes)
        real = torch.fft.irfftn(half, s=[x.shape[a] for a in axes], dim=axes)
    assert_close(there, np.fft.fftn(x, axes=axes))
    assert_close(half, np.fft.rfftn(x.real, axes=axes))
    assert_close(real, x.real)


def test_layouts_and_conjugates() -> None:
    x = torch.from_numpy(drawn((12, 10), 2))
    with anychip.using("strict"):
        transposed = torch.fft.fft(x.t()[::2], dim=1)
        conjugate = torch.fft.fft(x.conj())
        hermitian = torch.fft.hfft(x[:, :6], n=10)
    assert_close(transposed, np.fft.fft(x.t()[::2].numpy(), axis=1))
    assert_close(conjugate, np.fft.fft(x.conj().resolve_conj().numpy()))
    assert_close(hermitian, np.fft.hfft(x[:, :6].numpy(), n=10))


def test_short_time_transform_and_back() -> None:
    torch.manual_seed(3)
    signal, window = torch.randn(2, 400), torch.hann_window(64)
    expected = torch.stft(signal, 64, 16, window=window, return_complex=True)
    with anychip.using("strict"):
        spectrum = torch.stft(signal, 64, 16, window=window, return_complex=True)
        loudness = spectrum.abs()
        again = torch.istft(spectrum, 64, 16, window=window, length=400)
    torch.testing.assert_close(spectrum, expected)
    torch.testing.assert_close(loudness, expected.abs())
    torch.testing.assert_close(again, signal, rtol=1e-4, atol=1e-5)


def test_gradients() -> None:
    x = torch.randn(
        3, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(4), requires_grad=True
    )

    def round_trip(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * (1 + 2j), n=14)

    with anychip.using("strict"):
        assert torch.autograd.gradcheck(round_trip, x)


@given(st.integers(1, 5000))
def test_factors_of_a_length(length: int) -> None:
    found = radices(length)
    if found is None:
        rest = length
        for prime in range(2, LARGEST_RADIX + 1):
            while rest % prime == 0:
                rest //= prime
        assert rest > 1
    else:
        assert np.prod(found) == length
        assert max(found) <= LARGEST_RADIX
