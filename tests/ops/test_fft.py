"""Transforms by whole lines, in halves and divided, against PyTorch's in double precision. Small signals go
through other kernels, which the operators' own samples try."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.fft.bluestein import convolved
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


@pytest.mark.parametrize(
    ("shape", "launches"), [((300, 100), (0, 3)), ((40, 100, 5), (0, 3)), ((3, 40000), (3, 6))]
)
def test_halves(shape, launches):
    x = torch.randn(shape, dtype=torch.float64)
    half, whole = torch.fft.rfft(x, dim=1), torch.fft.fft(x, dim=1)
    launch_counts.clear()
    with anychip.using("strict"):
        _near(torch.fft.rfft(x, dim=1), half)
        _near(torch.fft.fft(x, dim=1), whole)
        _near(torch.fft.irfft(half, shape[1], dim=1), x)
    untangling = launch_counts["spectrum_kernel"] + launch_counts["pairs_kernel"]
    assert (untangling, launch_counts["lines_kernel"]) == launches


@pytest.mark.parametrize(("batch", "length", "kernel"), [(16, 997, "lines_kernel"), (2, 97, "stage_kernel")])
def test_chirps(batch, length, kernel):
    x = torch.randn(batch, length, dtype=torch.complex128)
    wanted = torch.fft.fft(x)
    before = launch_counts[kernel]
    with anychip.using("strict"):
        found = torch.fft.fft(x)
    assert launch_counts[kernel] > before
    _near(found, wanted)


def test_length_of_convolution():
    assert convolved(997, many=False) == 2048
    for length in (997, 4093, 65537):
        width = convolved(length, many=True)
        assert width % 16 == 0
        assert 2 * length - 1 <= width < 2.1 * length
        assert factors(width) is not None or divided(width) is not None


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
