"""Transforms by whole lines, in halves and divided, against PyTorch's in double precision. Small signals go
through other kernels, which the operators' own samples try."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.fft.lines import divided, factors
from anychip.ops.launching import launch_counts


def _near(found, wanted):
    tolerance = 1e-5 if found.dtype in (torch.float32, torch.complex64) else 1e-12
    scale = wanted.abs().max()
    assert found.is_complex() == wanted.is_complex()
    assert (found.to(wanted.dtype) - wanted).abs().max() <= tolerance * scale


@pytest.mark.parametrize(("length", "inner"), [(77, 1), (60, 5)])
def test_lines(length, inner):
    x = torch.randn(200, length, inner, dtype=torch.complex64)
    for transform in (torch.fft.fft, torch.fft.ifft):
        wanted = transform(x.to(torch.complex128), dim=1)
        before = launch_counts["lines_kernel"]
        with anychip.using("strict"):
            found = transform(x, dim=1)
        assert launch_counts["lines_kernel"] > before
        _near(found, wanted)


@pytest.mark.parametrize("shape", [(300, 100), (40, 100, 5)])
def test_halves(shape):
    x = torch.randn(shape, dtype=torch.float64)
    half, whole = torch.fft.rfft(x, dim=1), torch.fft.fft(x, dim=1)
    before = launch_counts["spectrum_kernel"], launch_counts["pairs_kernel"]
    with anychip.using("strict"):
        _near(torch.fft.rfft(x, dim=1), half)
        _near(torch.fft.fft(x, dim=1), whole)
        _near(torch.fft.irfft(half, 100, dim=1), x)
    assert (launch_counts["spectrum_kernel"], launch_counts["pairs_kernel"]) == (before[0] + 2, before[1] + 1)


def test_divided():
    length = 25600
    assert divided(length) == (160, 160)
    x = torch.randn(2, length, dtype=torch.complex128)
    wanted = torch.fft.ifft(x, norm="ortho")
    before = launch_counts["lines_kernel"]
    with anychip.using("strict"):
        found = torch.fft.ifft(x, norm="ortho")
    assert launch_counts["lines_kernel"] == before + 2
    _near(found, wanted)


def test_factors():
    assert factors(1024) == (4,) * 5
    assert factors(1000) == (4, 2, 5, 5, 5)
    assert factors(97) is None
    assert factors(17) is None


def test_stages():
    length = 4 * 16 * 17 * 19
    x = torch.randn(1, length, 2, dtype=torch.complex128)
    wanted = torch.fft.fft(x, dim=1)
    before = launch_counts["stage_kernel"]
    with anychip.using("strict"):
        found = torch.fft.fft(x, dim=1)
    assert launch_counts["stage_kernel"] == before + 4
    _near(found, wanted)
