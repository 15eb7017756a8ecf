"""Products with frozen packed weights: values and gradients against the `gguf` package in float64."""

from __future__ import annotations

import pytest
import torch

from anychip.llm.packed import frozen
from anychip.llm.packed.dense import dense
from anychip.llm.packed.frozen import frozen_linear
from anychip.llm.packed.weights import packed

gguf = pytest.importorskip("gguf")
quants = pytest.importorskip("gguf.quants")
ROWS, COLUMNS = 70, 96


@pytest.mark.parametrize("name", ["Q4_1", "Q8_0", "Q5_0"])
def test_the_gradient_is_that_of_the_weights_own_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "AT_A_TIME", 32 * COLUMNS)  # several slabs, the last one smaller
    kind = gguf.GGMLQuantizationType[name]
    generator = torch.Generator().manual_seed(0)
    data = quants.quantize(torch.randn(ROWS, COLUMNS, generator=generator).numpy(), kind)
    exact = torch.from_numpy(quants.dequantize(data, kind)).double()
    weight = packed(name, torch.from_numpy(data), COLUMNS)
    x = torch.randn(2, 3, COLUMNS, generator=generator, requires_grad=True)
    bias = torch.randn(ROWS, generator=generator)
    into = torch.randn(2, 3, ROWS, generator=generator)
    out = frozen_linear(x, weight, bias)
    out.backward(into)
    assert x.grad is not None
    want = into.double() @ exact
    assert ((x.grad - want).abs() / (into.abs().double() @ exact.abs())).max() < 1e-6
    # Forward rounds its rows to 8 bits, as `packed_matmul` does.
    close = x.detach().double() @ exact.t() + bias
    assert ((out - close).abs() / (x.detach().abs().double() @ exact.abs().t() + 1)).max() < 1e-2


def test_dense_weights_have_the_gradient_of_pytorch() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(ROWS, 7, generator=generator)
    x = torch.randn(5, 7, generator=generator, requires_grad=True)
    into = torch.randn(5, ROWS, generator=generator)
    frozen_linear(x, dense(numbers)).backward(into)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, into @ numbers)
