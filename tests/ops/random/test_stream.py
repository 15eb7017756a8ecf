"""The stream of random numbers: Philox by NumPy and by its authors' known answers, the same for any number
of threads and any block, taken from the generator that is given and from no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import anychip
from anychip.ops.launching import Plans, Tiles, launch_counts
from anychip.ops.random import multinomial, philox

COUNT = 5000
SMALLEST_P = 1e-4
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox4x32(counter: list[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    """Ten rounds of Philox on four words, as Salmon et al. define them (2011, section 3.2)."""
    words = [word.astype(np.uint64) for word in counter]
    keys = [np.uint64(k) for k in key]
    for _ in range(ROUNDS):
        products = [words[0] * np.uint64(MULTIPLIERS[0]), words[2] * np.uint64(MULTIPLIERS[1])]
        words = [
            (products[1] >> HALF) ^ words[1] ^ keys[0],
            products[1] & LOW,
            (products[0] >> HALF) ^ words[3] ^ keys[1],
            products[0] & LOW,
        ]
        keys = [np.uint64((int(k) + step) & 0xFFFFFFFF) for k, step in zip(keys, INCREMENTS, strict=True)]
    return words


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_oracle_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    found = philox4x32([np.array([word], np.uint64) for word in counter], key)
    assert tuple(int(word[0]) for word in found) == answer


def test_integers_are_philox_of_their_place() -> None:
    seed = int(torch.empty((), dtype=torch.int64).random_(0, 1 << 62, generator=generator(31)))
    before = launch_counts["random_kernel[integers]"]
    with anychip.using("strict"):
        drawn = torch.empty(COUNT, dtype=torch.int64).random_(0, 1 << 32, generator=generator(31))
    assert launch_counts["random_kernel[integers]"] == before + 1
    place = np.arange(COUNT, dtype=np.uint64)
    words = philox4x32([place, place * 0, place * 0, place * 0], (seed & 0xFFFFFFFF, seed >> 32))
    assert drawn.tolist() == words[0].tolist()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4])
DRAWS: dict[str, Callable[[Any], torch.Tensor]] = {
    "uniform_": lambda g: torch.empty(COUNT).uniform_(-1, 2, generator=g),
    "normal_": lambda g: torch.empty(COUNT).normal_(generator=g),
    "log_normal_": lambda g: torch.empty(COUNT).log_normal_(generator=g),
    "cauchy_": lambda g: torch.empty(COUNT).cauchy_(generator=g),
    "exponential_": lambda g: torch.empty(COUNT).exponential_(generator=g),
    "geometric_": lambda g: torch.empty(COUNT).geometric_(0.1, generator=g),
    "bernoulli_": lambda g: torch.empty(COUNT).bernoulli_(0.3, generator=g),
    "random_": lambda g: torch.empty(COUNT, dtype=torch.int32).random_(generator=g),
    "rand": lambda g: torch.rand(COUNT, generator=g),
    "randn": lambda g: torch.randn(COUNT, generator=g),
    "randint": lambda g: torch.randint(0, 1000, (COUNT,), generator=g),
    "randperm": lambda g: torch.randperm(COUNT, generator=g),
    "bernoulli": lambda g: torch.bernoulli(torch.full((COUNT,), 0.4), generator=g),
    "normal": lambda g: torch.normal(torch.zeros(COUNT), torch.ones(COUNT), generator=g),
    "poisson": lambda g: torch.poisson(torch.full((COUNT,), 5.0), generator=g),
    "binomial": lambda g: torch.binomial(torch.full((COUNT,), 9.0), torch.full((COUNT,), 0.4), generator=g),
    "standard_gamma": lambda g: torch.ops.aten._standard_gamma(torch.full((COUNT,), 2.0), generator=g),
    "dirichlet": lambda g: torch.ops.aten._sample_dirichlet(torch.full((COUNT, 2), 2.0), generator=g),
    "multinomial": lambda g: torch.multinomial(WEIGHTS, COUNT, replacement=True, generator=g),
    "multinomial_once": lambda g: torch.multinomial(WEIGHTS.expand(COUNT, 4), 2, generator=g),
}


@pytest.mark.parametrize("name", list(DRAWS))
def test_the_generator_that_is_given_is_used_and_no_other(name: str) -> None:
    draw = DRAWS[name]
    with anychip.using("strict"):
        torch.manual_seed(41)
        state = torch.get_rng_state()
        own = generator(40)
        first, second = draw(own), draw(own)
        again = draw(generator(40))
        untouched = torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(40)
        by_default = draw(None)
    assert torch.equal(first, again)
    assert torch.equal(first, by_default)
    assert not torch.equal(first, second)
    assert untouched


@pytest.fixture
def other_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of another size, and no plan made with the usual one."""
    monkeypatch.setattr(philox, "TILES", Tiles(simt={"block": 256}, simd={"block": 256}))
    monkeypatch.setattr(philox, "PLANS", Plans())


def fills() -> list[torch.Tensor]:
    return [DRAWS[name](generator(42)) for name in ("uniform_", "normal_", "randint")]


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("change", ["other_blocks", "one_thread"])
def test_the_stream_does_not_depend_on_how_it_is_made(change: str, request: pytest.FixtureRequest) -> None:
    with anychip.using("strict"):
        expected = fills()
        request.getfixturevalue(change)
        actual = fills()
    assert all(torch.equal(x, y) for x, y in zip(expected, actual, strict=True))


def test_multinomial_does_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.rand(3, 40, generator=generator(44))
    drawn = []
    with anychip.using("strict"):
        for block in (64, 16):
            monkeypatch.setattr(multinomial, "TILES", Tiles(simt={"block": block}, simd={"block": block}))
            drawn.append(torch.multinomial(weights, 9, generator=generator(45)))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_of_low_precision_stay_below_the_upper_end(dtype: torch.dtype) -> None:
    with anychip.using("strict"):
        x = torch.empty(4 * COUNT, dtype=dtype).uniform_(-1.0, 3.0, generator=generator(43))
    assert x.min() >= -1
    assert x.max() < 3
    counts = torch.histc(x.float(), 16, -1, 3)
    assert stats.chisquare(counts.numpy()).pvalue > SMALLEST_P
