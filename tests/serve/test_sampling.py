"""The next token: against distributions written out by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from anychip.serve.requests import Sampling
from anychip.serve.sampling import Sampler, logprob_of

LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0, 3.0])


def drawn(count: int, **options: object) -> Counter[int]:
    sampler = Sampler(Sampling(seed=5, **options), [0])  # type: ignore[arg-type]
    return Counter(sampler.next(LOGITS)[0] for _ in range(count))


def test_greedy_takes_the_first_of_equals_and_bias_counts() -> None:
    assert Sampler(Sampling(temperature=0.0), [0]).next(LOGITS)[0] == 1
    assert Sampler(Sampling(temperature=0.0, logit_bias={3: 50.0}), [0]).next(LOGITS)[0] == 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_have_the_distribution(temperature: float) -> None:
    count = 4000
    got = drawn(count, temperature=temperature)
    want = (LOGITS.double() / temperature).softmax(-1).numpy()
    for token, share in enumerate(want):
        assert abs(got[token] / count - share) < 4 * np.sqrt(share * (1 - share) / count) + 1e-9


def test_what_is_left_out() -> None:
    assert set(drawn(300, top_k=2)) == {1, 4}
    assert set(drawn(300, top_p=0.5)) == {1, 4}
    assert set(drawn(300, top_p=0.9)) == {1, 2, 4}
    assert set(drawn(300, min_p=0.3)) == {1, 2, 4}
    assert set(drawn(300, top_k=1, temperature=50.0)) == {1}


def test_penalties() -> None:
    once = Sampler(Sampling(temperature=0.0, presence_penalty=1.5), [1])
    assert [once.next(LOGITS)[0] for _ in range(3)] == [1, 4, 2]
    often = Sampler(Sampling(temperature=0.0, frequency_penalty=0.6), [1])
    assert [often.next(LOGITS)[0] for _ in range(5)] == [1, 4, 1, 4, 2]
    repeated = Sampler(Sampling(temperature=0.0, repetition_penalty=2.0), [1, 4])
    assert [repeated.next(LOGITS)[0] for _ in range(2)] == [2, 1]


def test_the_same_seed_gives_the_same_draws() -> None:
    first, second = ([*drawn(50).elements()] for _ in range(2))
    assert first == second
    assert drawn(50) != Counter(Sampler(Sampling(seed=6), [0]).next(LOGITS)[0] for _ in range(50))


def test_logarithms_of_probabilities() -> None:
    got = logprob_of(LOGITS, 2, 3)
    want = LOGITS.double().log_softmax(-1)
    assert got.logprob == pytest.approx(float(want[2]))
    assert [token for token, _ in got.alternatives[:2]] in ([1, 4], [4, 1])
    assert got.alternatives[2] == (2, pytest.approx(float(want[2])))
