"""Prompt look-up: answers stay what they were, steps get fewer where guesses come true, and guessing ends
where it was measured to be slower."""

from __future__ import annotations

import random

import pytest
import torch
from tests.serve.stand_in import PAGE, VOCABULARY, Steps, continued

from anychip.serve.engine import events
from anychip.serve.local_engine import Limits, LocalEngine
from anychip.serve.requests import FinishEvent, Request, Sampling, TokenEvent
from anychip.serve.speculation import LookUp, StepTimes

GREEDY = Sampling(temperature=0.0)


class Rounds(Steps):
    """Says the same seven tokens again and again."""

    def logits(self, held: list[int]) -> torch.Tensor:
        logits = torch.zeros(VOCABULARY)
        logits[(held[-1] + 1) % 7] = 6.0
        logits[9] = 4.0
        return logits


def answers(steps: Steps, requests: list[Request], guessed: int) -> list[list[int]]:
    engine = LocalEngine(steps, Limits(128, 64, PAGE, 4, guessed=guessed), VOCABULARY, lambda tokens: "")
    engine._times.pays = lambda rows, guesses: True  # type: ignore[method-assign]
    found = [list(events(engine, one)) for one in requests]
    assert engine.load().free_pages == 64
    engine.close()
    for given in found:
        assert [isinstance(event, FinishEvent) for event in given].index(True) == len(given) - 1
    return [[event.token for event in given if isinstance(event, TokenEvent)] for given in found]


def test_answers_do_not_change() -> None:
    """Where guesses are mostly wrong, the pages that they wrote are written again."""
    rng = random.Random(0)
    prompts = [tuple(rng.randrange(4) for _ in range(rng.randrange(3, 40))) for _ in range(12)]
    found = answers(Steps(64), [Request(prompt, 40, GREEDY) for prompt in prompts], 6)
    assert found == [continued(list(prompt), 40) for prompt in prompts]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.5, seed=3)])
@pytest.mark.parametrize("length", [1, 2, 37])
def test_fewer_steps_give_the_same(sampling: Sampling, length: int) -> None:
    plain, guessing = Rounds(64), Rounds(64)
    request = [Request((0, 1, 2, 3, 4, 5, 6, 0, 1), length, sampling)]
    assert answers(guessing, request, 7) == answers(plain, [Request(request[0].prompt, length, sampling)], 0)
    if length > 30:
        assert len(guessing.sizes) < 0.9 * len(plain.sizes)
    if length > 30 and sampling is GREEDY:
        assert len(guessing.sizes) < 0.5 * len(plain.sizes)


def test_a_stop_token_ends_the_answer_within_guesses() -> None:
    request = Request((0, 1, 2, 3, 4, 5, 6, 0, 1), 50, GREEDY, stop_tokens=(5,))
    assert answers(Rounds(64), [request], 7) == [[2, 3, 4, 5]]


def test_what_is_guessed() -> None:
    look_up = LookUp()
    assert look_up.guess([1, 2, 3, 4, 1, 2], 3) == [3, 4, 1]
    assert look_up.guess([1, 2, 3, 4, 1, 2, 9, 9], 3) == []
    assert look_up.guess([1, 2, 3, 4, 1, 2, 9, 9, 7, 2, 3], 2) == [4, 1]
    assert LookUp().guess([1], 3) == []


def test_guessing_ends_where_it_is_slower() -> None:
    times = StepTimes()
    assert not times.pays(1, [(3, 1.0)])
    for _ in range(3):
        times.measured(1, 1.0)
    assert times.pays(1, [(3, 0.0)])
    for _ in range(3):
        times.measured(4, 2.0)
    assert times.pays(1, [(3, 0.5)])
    assert not times.pays(1, [(3, 0.2)])
    look_up = LookUp()
    for _ in range(10):
        look_up.checked(0, 3)
    assert look_up.accepted_share < 0.1
