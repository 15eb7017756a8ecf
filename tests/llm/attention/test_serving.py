"""A cache that is written in pages and read again by attention agrees with attention over the whole
sequence, plain and quantised; and arguments that do not fit are refused."""

from __future__ import annotations

import pytest
import torch

from anychip import llm
from anychip.ops.errors import ArgumentError

TOKENS, HEADS, SHARED, WIDTH, PAGE = 37, 4, 2, 16, 8


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def places() -> tuple[torch.Tensor, torch.Tensor]:
    """A table of five pages out of nine, and the slots of the tokens in them."""
    table = torch.tensor([7, 2, 8, 0, 5])
    token = torch.arange(TOKENS)
    return table[None].int(), table[token // PAGE] * PAGE + token % PAGE


def expected(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    q, k, v = (x.double().transpose(0, 1) for x in (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(0, 1)


def test_pages_hold_what_was_written() -> None:
    key, value = drawn(TOKENS, SHARED, WIDTH), drawn(TOKENS, SHARED, WIDTH, seed=1)
    query = drawn(1, HEADS, WIDTH, seed=2)
    caches = torch.full((9, PAGE, SHARED, WIDTH), torch.nan), torch.full((9, PAGE, SHARED, WIDTH), torch.nan)
    table, slots = places()
    llm.paged_kv_cache_write(key, value, *caches, slots)
    out = llm.paged_attention(query, *caches, table, torch.tensor([TOKENS]))
    torch.testing.assert_close(out.double(), expected(query, key, value), rtol=1e-5, atol=1e-5)


def test_quantised_pages_are_near() -> None:
    key, value = drawn(TOKENS, SHARED, WIDTH), drawn(TOKENS, SHARED, WIDTH, seed=1)
    query = drawn(1, HEADS, WIDTH, seed=2)
    caches = [torch.zeros(9, PAGE, SHARED, WIDTH, dtype=torch.int8) for _ in range(2)]
    scales = [torch.zeros(9, PAGE, SHARED) for _ in range(2)]
    table, slots = places()
    llm.quantized_kv_cache_write(key, value, *caches, *scales, slots)
    out = llm.paged_attention(
        query, *caches, table, torch.tensor([TOKENS]), key_scales=scales[0], value_scales=scales[1]
    )
    difference = (out.double() - expected(query, key, value)).abs().max()
    assert 0 < difference < 0.02


def test_packed_sequences_do_not_see_each_other() -> None:
    query, key, value = (drawn(30, 2, 8, seed=k) for k in range(3))
    starts = torch.tensor([0, 11, 30])
    out = llm.flash_attention_packed(query, key, value, starts, starts, 19, 19, causal=True)
    for first, last in ((0, 11), (11, 30)):
        q, k, v = (x[first:last].double().transpose(0, 1) for x in (query, key, value))
        oracle = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        torch.testing.assert_close(out[first:last].double(), oracle.transpose(0, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: llm.flash_attention(drawn(1, 2, 3, 8), *[drawn(1, 2, 2, 8)] * 2), "multiple of their heads"),
        (lambda: llm.flash_attention(*[drawn(2, 3, 8)] * 3), "4 dimensions"),
        (lambda: llm.flash_attention(*[drawn(1, 2, 3, 8)] * 3, slopes=drawn(2)), "expected 3 slopes"),
        (lambda: llm.rotary_embedding(drawn(2, 3, 8), None, drawn(4, 5), drawn(4, 5)), "at most 4 pairs"),
        (lambda: llm.kv_cache_write(*[drawn(1, 2, 3, 4)] * 2, *[drawn(1, 9, 3, 5)] * 2, places()[1]), "fit"),
        (
            lambda: llm.paged_attention(
                drawn(1, 2, 4), *[torch.zeros(3, 2, 2, 4, dtype=torch.int8)] * 2, places()[0], places()[1]
            ),
            "scales exactly if int8",
        ),
    ],
    ids=["heads", "rank", "slopes", "pairs", "width", "scales"],
)
def test_what_does_not_fit_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ArgumentError, match=message):
        call()
