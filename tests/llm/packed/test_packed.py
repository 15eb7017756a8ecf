"""Packed weights against the `gguf` package: unpacking bit for bit, products against float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anychip.llm.packed.formats import FORMATS
from anychip.llm.packed.products import packed_matmul, rounded_rows, unpacked_rows
from anychip.llm.packed.weights import packed, stacked
from anychip.ops.errors import ArgumentError

gguf = pytest.importorskip("gguf")
dequantize = pytest.importorskip("gguf.quants").dequantize

HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q4_1": (0, 2),
          "Q5_1": (0, 2), "MXFP4": ()}  # fmt: skip
"""Where blocks have floats; the others have one at 0."""


def drawn(name: str, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Blocks of any codes, whose scales are finite and of a usual size."""
    format = FORMATS[name]
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (rows, columns // format.block, format.bytes), dtype=np.uint8)
    for place in HALVES.get(name, (0,)):
        numbers = rng.uniform(-0.1, 0.1, data.shape[:2]).astype(np.float16)
        data[..., place : place + 2] = numbers[..., None].view(np.uint8)
    if name == "MXFP4":
        data[..., 0] = rng.integers(118, 124, data.shape[:2])
        data[0, 0, 0], data[-1, -1, 0] = 0, 1
    return data.reshape(rows, -1)


def wanted(name: str, data: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return dequantize(data, gguf.GGMLQuantizationType[name])


@pytest.mark.parametrize("name", FORMATS)
def test_unpacking_gives_the_bits_of_the_gguf_package(name: str) -> None:
    rows, columns = 70, 512
    data = drawn(name, rows, columns)
    weight = packed(name, torch.from_numpy(data), columns)
    chosen = torch.tensor([[0, 69], [31, 32], [7, 7], [64, 33]])
    got = unpacked_rows(weight, chosen)
    want = torch.from_numpy(wanted(name, data))[chosen]
    assert want.abs().max() > 0
    assert torch.equal(got.view(torch.int32), want.view(torch.int32))


@pytest.mark.parametrize("name", FORMATS)
def test_products_are_those_of_the_numbers(name: str) -> None:
    """The rounded rows' own numbers times the weight's, summed in float64."""
    rows, columns = 70, 512
    data = drawn(name, rows, columns, 1)
    weight = packed(name, torch.from_numpy(data), columns)
    x = torch.randn(8, columns, generator=torch.Generator().manual_seed(1))
    rounded = rounded_rows(x)
    bias, residual = torch.randn(rows), torch.randn(8, rows)
    got = packed_matmul(rounded, weight, bias, residual)
    numbers = rounded.numbers.double() * rounded.scales.double().repeat_interleave(32, 1)
    assert ((numbers - x).abs() <= rounded.scales.repeat_interleave(32, 1) * 0.5001).all()
    exact = torch.from_numpy(wanted(name, data)).double()
    want = numbers @ exact.t() + bias + residual
    size = numbers.abs() @ exact.abs().t() + 1.0
    assert ((got - want).abs() / size).max() < 2e-6
    for some in (slice(3, 4), slice(2, 4)):
        alone = packed_matmul(rounded_rows(x[some]), weight, bias, residual[some])
        assert torch.equal(alone, got[some])


def test_rows_are_rounded_as_numpy_rounds() -> None:
    x = np.random.default_rng(0).standard_normal((3, 96)).astype(np.float32)
    x[1, 32:64] = 0.0
    got = rounded_rows(torch.from_numpy(x))
    blocks = x.reshape(3, 3, 32)
    largest = np.abs(blocks).max(-1)
    want = np.rint(127.0 * blocks / np.where(largest == 0, 1, largest)[..., None].astype(np.float32))
    assert (got.numbers.numpy().reshape(3, 3, 32) == want).all()
    assert (got.sums.numpy() == want.reshape(3, 6, 16).sum(-1)).all()
    np.testing.assert_allclose(got.scales.numpy(), largest / 127.0, rtol=1e-6)


def test_weights_of_whole_groups_are_stacked() -> None:
    data = [torch.from_numpy(drawn("Q4_K", rows, 256, rows)) for rows in (64, 32)]
    joined = stacked([packed("Q4_K", x, 256) for x in data])
    assert joined is not None
    got = unpacked_rows(joined, torch.arange(96))
    assert torch.equal(got, torch.from_numpy(wanted("Q4_K", torch.cat(data).numpy())))
    assert stacked([packed("Q4_K", x, 256) for x in (data[0][:40], data[1])]) is None


def test_what_is_not_served_is_refused() -> None:
    with pytest.raises(ArgumentError, match="IQ1_S"):
        packed("IQ1_S", torch.zeros(2, 50, dtype=torch.uint8), 256)
    with pytest.raises(ArgumentError, match="Q4_0"):
        packed("Q4_0", torch.zeros(2, 17, dtype=torch.uint8), 32)
    with pytest.raises(ArgumentError, match="multiple of 32"):
        rounded_rows(torch.zeros(2, 33))
