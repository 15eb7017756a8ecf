"""Operators that divide work otherwise on GPUs do it right with those tiles, too."""

from __future__ import annotations

import pytest
import torch

from anychip import llm
from anychip.evidence import fused
from anychip.llm.registry import operators
from anychip.ops import launch


def test_few_rows_in_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "tile_class", "simt")
    generator = torch.Generator().manual_seed(1)
    x, weight, bias = (torch.randn(s, generator=generator) for s in ((3, 1100), (70, 1100), (70,)))
    before = launch.launches["join_few_kernel"]
    out = llm.decode_linear(x, weight, bias)
    assert launch.launches["join_few_kernel"] > before
    expected = x.double() @ weight.double().t() + bias
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(operators()))
def test_tiles_of_gpus(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "tile_class", "simt")
    assert fused.prove(operators()[name], operators()[name].dtypes[0]).failures == []
