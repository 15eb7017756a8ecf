"""Attention over pages of transposed keys against a plain composition in float64."""

from __future__ import annotations

import pytest
import torch

from anychip.llm.attention.transposed_pages import (
    EVERYTHING,
    attention_of_chunk,
    attention_of_newest,
    turn_and_write,
)
from anychip.ops.errors import ArgumentError

PAGE, WIDTH, HEADS, SHARED, PAGES = 16, 32, 6, 2, 12
TABLES = torch.tensor([[3, 7, 1, 9], [5, 2, 8, 11]], dtype=torch.int32)


def caches() -> tuple[torch.Tensor, torch.Tensor]:
    """Pages full of NaN, so that what no token wrote must not be read."""
    return (
        torch.full((PAGES, SHARED, WIDTH, PAGE), float("nan")),
        torch.full((PAGES, SHARED, PAGE, WIDTH), float("nan")),
    )


def rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    turned = cosine.shape[1]
    part, rest = x[..., :turned].double(), x[..., turned:].double()
    first, second = part.chunk(2, -1)
    other = torch.cat([-second, first], -1)
    return torch.cat([part * cosine[:, None].double() + other * sine[:, None].double(), rest], -1)


def byte_caches() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pages of int8 and their scales, which memory that was never written has as zeros."""
    keys, values = (x.nan_to_num(7.0).to(torch.int8) for x in caches())
    key_scales, value_scales = (torch.zeros(PAGES, SHARED, PAGE) for _ in range(2))
    return keys, values, key_scales, value_scales


def written(lengths: list[int], turned: int = WIDTH, bytes: bool = False):
    """Two sequences in pages, as one stacked projection gives them, and the same in float64."""
    keys, values, *scales = byte_caches() if bytes else caches()
    more = (scales[0], scales[1]) if scales else None
    own = []
    for sequence, length in enumerate(lengths):
        both = torch.randn(length, (HEADS + 2 * SHARED) * WIDTH)
        q, k, v = (
            part.unflatten(1, (-1, WIDTH))
            for part in both.split([HEADS * WIDTH, SHARED * WIDTH, SHARED * WIDTH], 1)
        )
        angle = torch.outer(torch.arange(length), 0.5 ** torch.arange(turned // 2)).repeat(1, 2)
        token = torch.arange(length)
        slots = TABLES[sequence][token // PAGE] * PAGE + token % PAGE
        query = turn_and_write(q, k, v, angle.cos(), angle.sin(), slots, keys, values, more)
        wanted = rotated(q, angle.cos(), angle.sin())
        assert torch.allclose(query.double(), wanted, atol=1e-5)
        own.append((query, rotated(k, angle.cos(), angle.sin()), v.double()))
    return (keys, values, more), own


def attended(query, key, value, first: int, scale: float, window: int, cap: float, sinks) -> torch.Tensor:
    """Rows from `first` on, each seeing what is before it."""
    key, value = (x.repeat_interleave(HEADS // SHARED, 1) for x in (key, value))
    score = torch.einsum("qhd,khd->hqk", query[first:].double(), key) * scale
    if cap:
        score = cap * torch.tanh(score / cap)
    place, token = torch.arange(first, len(query))[:, None], torch.arange(len(query))[None]
    score = score.masked_fill((token > place) | (token <= place - window), float("-inf"))
    if sinks is not None:
        score = torch.cat([score, sinks.double()[:, None, None].expand(-1, score.shape[1], 1)], -1)
    share = score.softmax(-1)[..., : len(query)]
    return torch.einsum("hqk,khd->qhd", share, value)


OPTIONS = [(EVERYTHING, 0.0, False, WIDTH), (20, 2.0, True, 16), (1, 0.0, False, WIDTH)]


@pytest.mark.parametrize(("window", "cap", "with_sinks", "turned"), OPTIONS)
def test_newest_and_chunks(window: int, cap: float, with_sinks: bool, turned: int) -> None:
    torch.manual_seed(0)
    lengths = [40, 17]
    (keys, values, _), own = written(lengths, turned)
    sinks = torch.randn(HEADS) if with_sinks else None
    given = torch.tensor(lengths, dtype=torch.int32)
    query = torch.stack([q[-1] for q, _, _ in own])
    got = attention_of_newest(query, keys, values, TABLES, given, 0.3, window, cap, sinks)
    for s, (q, k, v) in enumerate(own):
        want = attended(q, k, v, lengths[s] - 1, 0.3, window, cap, sinks)
        assert torch.allclose(got[s].double(), want[0], atol=2e-5)
    starts = torch.tensor([3, 16], dtype=torch.int32)
    chunk = torch.zeros(2, 37, HEADS, WIDTH)
    for s, (q, _, _) in enumerate(own):
        chunk[s, : lengths[s] - starts[s]] = q[int(starts[s]) :]
    got = attention_of_chunk(chunk, keys, values, TABLES, starts, given, 0.3, window, cap, sinks)
    for s, (q, k, v) in enumerate(own):
        want = attended(q, k, v, int(starts[s]), 0.3, window, cap, sinks)
        assert torch.allclose(got[s, : len(want)].double(), want, atol=2e-5)


def as_bytes(x: torch.Tensor) -> torch.Tensor:
    """Heads of tokens [tokens, heads, width] rounded to 127ths of their largest magnitude, in float64."""
    scale = x.abs().amax(-1, keepdim=True) / 127.0
    return (x / scale).round() * scale


def test_pages_of_bytes() -> None:
    """What is attended to are keys and values rounded to 127ths."""
    torch.manual_seed(2)
    lengths = [40, 17]
    (keys, values, scales), own = written(lengths, WIDTH, bytes=True)
    given, starts = torch.tensor(lengths, dtype=torch.int32), torch.tensor([3, 16], dtype=torch.int32)
    query = torch.stack([q[-1] for q, _, _ in own])
    got = attention_of_newest(query, keys, values, TABLES, given, 0.3, scales=scales)
    chunk = torch.zeros(2, 37, HEADS, WIDTH)
    for s, (q, _, _) in enumerate(own):
        chunk[s, : lengths[s] - starts[s]] = q[int(starts[s]) :]
    chunks = attention_of_chunk(chunk, keys, values, TABLES, starts, given, 0.3, scales=scales)
    for s, (q, k, v) in enumerate(own):
        want = attended(q, as_bytes(k), as_bytes(v), int(starts[s]), 0.3, EVERYTHING, 0.0, None)
        # A number in the middle of two may be rounded to either: one 127th of one element of a token.
        assert torch.allclose(got[s].double(), want[-1], atol=4e-3)
        assert torch.allclose(chunks[s, : len(want)].double(), want, atol=4e-3)
        plain = attended(q, k, v, int(starts[s]), 0.3, EVERYTHING, 0.0, None)
        assert (got[s].double() - want[-1]).abs().mean() < 0.1 * (plain[-1] - want[-1]).abs().mean()


def test_scales_and_bytes_go_together() -> None:
    keys, values, *more = byte_caches()
    with pytest.raises(ArgumentError, match="need scales"):
        attention_of_newest(torch.zeros(1, 6, WIDTH), keys, values, TABLES, TABLES[0, :1], 1.0)
    with pytest.raises(ArgumentError, match="have no scales"):
        attention_of_newest(
            torch.zeros(1, 6, WIDTH), *caches(), TABLES, TABLES[0, :1], 1.0, scales=(more[0], more[1])
        )


def test_what_does_not_fit_is_refused() -> None:
    keys, values = caches()
    with pytest.raises(ArgumentError, match="powers of two"):
        attention_of_newest(torch.zeros(1, 6, 24), keys, values, TABLES, TABLES[0, :1], 1.0)
