"""The fast paths of attention and encoder layers, taken apart, against PyTorch's own kernels of them; and
that kernels of ours run where a model is made of such layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from anychip.ops.launching import launch_counts
from anychip.pytorch.compilation import decompositions
from anychip.runtime import launches

WIDTH, HEADS, LENGTH, BATCH = 16, 4, 5, 3


def masks() -> Iterator[tuple[torch.Tensor | None, int | None]]:
    """No mask; [queries, keys]; [batch, keys] with a batch of which nothing is seen; both at once."""
    queries = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    keys = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    keys[1, 3:] = True
    keys[2] = True
    yield from ((None, None), (queries, 0), (keys, 1))
    yield (queries | keys[:, None, None, :]).expand(BATCH, HEADS, LENGTH, LENGTH).contiguous(), 2


def same(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, equal_nan=True, rtol=1e-9, atol=1e-12)


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("is_one", [True, False])
def test_attention_is_pytorchs(is_one: bool) -> None:
    x, y = tensors(*[(BATCH, LENGTH, WIDTH)] * 2)
    weights = tensors((3 * WIDTH, WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,))
    inputs = (x, x, x) if is_one else (x, y, y)
    for mask, kind in masks():
        for needed, average in ((True, True), (True, False), (False, True)):
            arguments: tuple[Any, ...] = (*inputs, WIDTH, HEADS, *weights, mask, needed, average, kind)
            theirs = torch.ops.aten._native_multi_head_attention(*arguments)
            ours = decompositions.multi_head_attention(*arguments)
            same(ours[0], theirs[0])
            if needed:
                same(ours[1], theirs[1])


@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_layer_is_pytorchs(gelu: bool, norm_first: bool) -> None:
    (x,) = tensors((BATCH, LENGTH, WIDTH))
    attention = tensors((3 * WIDTH, WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,))
    rest = tensors(*[(WIDTH,)] * 4, (24, WIDTH), (24,), (WIDTH, 24), (WIDTH,))
    for mask, kind in masks():
        arguments: tuple[Any, ...] = (x, WIDTH, HEADS, *attention, gelu, norm_first, 1e-5, *rest, mask, kind)
        same(
            decompositions.transformer_encoder_layer(*arguments),
            torch.ops.aten._transformer_encoder_layer_fwd(*arguments),
        )


def test_a_compiled_encoder_layer_is_ours() -> None:
    """Inductor would call PyTorch's kernel for the whole of it."""
    torch._dynamo.reset()
    model = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    x = torch.rand(2, 16, 32)
    fused, operators = Counter(launches.by_kernel()), Counter(launch_counts)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, backend="anychip")(x), model(x), rtol=2e-4, atol=2e-5)
    made = Counter(launches.by_kernel()) - fused
    assert any(name.startswith("triton_per_fused") for name in made), made
    assert {name.split("[")[0] for name in Counter(launch_counts) - operators} == {
        "attention_kernel",
        "matmul_kernel",
    }
