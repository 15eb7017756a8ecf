"""Operators that divide work otherwise on GPUs do it right with those tiles, too."""

from __future__ import annotations

import pytest
import torch

from anychip import llm
from anychip.evidence import fused
from anychip.llm.registry import operators
from anychip.ops.launching import launch_counts, launching


def test_few_rows_in_several_parts() -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight, bias = (torch.randn(s, generator=generator) for s in ((3, 1100), (70, 1100), (70,)))
    before = launch_counts["join_few_kernel"]
    with launching(tile_class="simt"):
        out = llm.decode_linear(x, weight, bias)
    assert launch_counts["join_few_kernel"] > before
    expected = x.double() @ weight.double().t() + bias
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(operators()))
def test_tiles_of_gpus(name: str) -> None:
    with launching(tile_class="simt"):
        assert fused.prove(operators()[name], operators()[name].dtypes[0]).failures == []
