"""`tensor.to` between 8-bit floats and every other type, by our kernels, against PyTorch's conversions."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip import capture
from anychip.ops.launching import launch_counts

KINDS = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
OTHERS = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
EDGES = (
    0.0,
    1,
    3.3,
    2.0**-17,
    1e-10,
    100,
    240,
    248,
    448,
    464,
    465,
    480,
    57344,
    61440,
    61441,
    1e6,
    float("inf"),
    float("nan"),
)


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view(torch.uint8)


PAIRS = [
    (KINDS[0], torch.float64),
    (KINDS[1], torch.float16),
    (KINDS[2], torch.bfloat16),
    (KINDS[3], torch.int64),
    (KINDS[0], torch.uint8),
    (KINDS[1], torch.bool),
    (KINDS[2], KINDS[0]),
    (KINDS[3], KINDS[1]),
]
EVERY_PAIR = [
    pytest.param(kind, other, marks=() if (kind, other) in PAIRS else pytest.mark.slow)
    for kind in KINDS
    for other in (*OTHERS, *KINDS)
    if kind != other
]


def same(value: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal with the signs of zeros; a NaN is a NaN."""
    torch.testing.assert_close(value, wanted, rtol=0, atol=0, equal_nan=True)
    number = ~wanted.isnan()
    assert torch.equal(value.signbit()[number], wanted.signbit()[number])


@pytest.mark.parametrize(("kind", "other"), EVERY_PAIR, ids=str)
def test_conversions_are_pytorchs(kind: torch.dtype, other: torch.dtype) -> None:
    edges = torch.tensor([*EDGES, *(-x for x in EDGES)], dtype=torch.float64)
    if not other.is_floating_point:
        edges = edges.nan_to_num(3, 5e4, -5e4).clamp(-100, 1e5).to(torch.int64)
    x = edges.to(other).view(4, 9)
    wide = torch.arange(256).to(torch.uint8).view(kind).float().nan_to_num(0, 7, -7).to(kind)
    expected = x.to(kind), wide.to(other)
    before = launch_counts.total()
    with anychip.using("strict"):
        got = x.to(kind), wide.to(other)
    assert launch_counts.total() == before + 2
    for value, wanted in zip(got, expected, strict=True):
        same(value.double(), wanted.double())


def test_moves_of_bytes_and_strides() -> None:
    x = torch.arange(36).to(torch.uint8).view(KINDS[1]).view(4, 9)
    before = launch_counts.total()
    with anychip.using("strict"):
        moved = x.t().clone(memory_format=torch.contiguous_format)
        zeros = torch.zeros_like(x)
        turned = torch.empty(9, 4, dtype=KINDS[0]).copy_(x.t())
    assert launch_counts.total() == before + 3
    assert torch.equal(bits(moved), bits(x.t()))
    assert not bits(zeros).any()
    assert torch.equal(bits(turned), bits(x.t().float().to(KINDS[0])))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_code_is_read(kind: torch.dtype) -> None:
    codes = torch.arange(256).to(torch.uint8).view(kind)
    expected = codes.float()
    with anychip.using("strict"):
        torch.testing.assert_close(codes.float(), expected, rtol=0, atol=0, equal_nan=True)


def test_a_captured_program_converts_alike() -> None:
    """What `anychip export` takes: the launches of a function."""
    x = torch.tensor(EDGES)
    program = capture(lambda x: (x.to(KINDS[0]), x.to(KINDS[1]), x.to(KINDS[2]).float()), x)
    e4m3, e5m2, fnuz = program(x)
    assert torch.equal(bits(e4m3), bits(x.to(KINDS[0])))
    assert torch.equal(bits(e5m2), bits(x.to(KINDS[1])))
    torch.testing.assert_close(fnuz, x.to(KINDS[2]).float(), rtol=0, atol=0, equal_nan=True)
