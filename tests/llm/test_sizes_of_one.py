"""Every fused operator takes sizes and numbers of 1, which Triton makes constants of: results are the
reference's, and what breaks an operator's rules is an error of ours."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

import anychip
from anychip import llm
from anychip.errors import AnychipError
from anychip.evidence import fused
from anychip.evidence.inputs import copied
from anychip.llm.registry import operators
from anychip.ops.registry import Sample

NEEDS_MORE = {
    "flash_attention_packed",
    "pad_sequences",  # starts of one element are no sequence at all
    "top_k_mask",
    "beam_search_scores",  # limits and numbers of tokens that are outside of one column
    "adafactor_step",
    "adamw_step",  # a step 1 with averages that keep everything divides by zero
}


def shrunk(value: Any) -> Any:
    """A tensor's first element, zero for integers; 1 for a number."""
    if isinstance(value, torch.Tensor):
        first = value[tuple(slice(0, 1) for _ in range(value.ndim))].clone()
        return first if first.is_floating_point() or first.dtype == torch.bool else torch.zeros_like(first)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return type(value)(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(operators().keys() - NEEDS_MORE))
def test_every_size_and_number_is_one(name: str) -> None:
    operator = operators()[name]
    for sample in operator.samples(operator.dtypes[0]):
        arguments, keywords = tree_map(shrunk, (sample.arguments, sample.keywords))
        inputs = fused.inputs_of(operator, operator.dtypes[0], Sample(tuple(arguments), keywords))
        with suppress(AnychipError):
            ours = fused.evaluated(operator, operator.function, tree_map(copied, inputs))
            assert not fused.fault(operator, ours, fused.expected(operator, operator.dtypes[0], inputs))


def test_seeds_of_one_and_rows_of_one() -> None:
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    for seed in (0, 1, 2**32, 2**32 + 1, 2**63):
        want = operators()["gumbel_sample"].reference(logits.double(), seed)
        assert torch.equal(llm.gumbel_sample(logits, seed), want), seed
    for name in ("kl_divergence", "js_divergence"):
        given = logits[:1].clone().requires_grad_()
        getattr(llm, name)(given, logits[1:]).backward()
        assert given.grad is not None
        assert given.grad.abs().sum() > 0


def test_the_room_is_an_attribute() -> None:
    assert anychip.llm is llm
    assert "llm" in dir(anychip)
    assert inspect.ismodule(anychip.llm)
