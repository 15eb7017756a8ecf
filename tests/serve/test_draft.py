"""A draft model: answers stay what they were, a draft that is right saves steps, and its cache never lacks a
token."""

from __future__ import annotations

import random

import pytest
import torch
from tests.serve.stand_in import PAGE, VOCABULARY, Steps, continued
from tests.serve.test_speculation import GREEDY, Rounds

from anychip.serve.draft import Asked, Draft
from anychip.serve.local_engine import Limits, LocalEngine
from anychip.serve.requests import Event, FinishEvent, Request, Sampling, TokenEvent
from anychip.serve.speculation import StepTimes


class Wrong(Steps):
    """Right after every third token."""

    def logits(self, held: list[int]) -> torch.Tensor:
        logits = super().logits(held)
        return logits if len(held) % 3 == 0 else logits.roll(1)


def answers(
    steps: Steps, draft: Steps | None, requests: list[Request], pages: int = 64, count: int = 4
) -> list[list[int]]:
    """All requests side by side."""
    made = None if draft is None else Draft(draft, count)
    limits = Limits(64, pages, PAGE, 4)
    engine = LocalEngine(steps, limits, VOCABULARY, lambda tokens: "", draft=made)
    engine._times.pays = lambda rows, guesses, finding=0.0: True  # type: ignore[method-assign]
    found: dict[str, list[Event]] = {one.name: [] for one in requests}
    for one in requests:
        engine.submit(one, lambda event: found[event.request].append(event))
    assert engine.drain(60)
    assert engine.load().free_pages == pages
    engine.close()
    for given in found.values():
        assert isinstance(given[-1], FinishEvent)
        assert given[-1].error is None, given[-1].error
    return [[e.token for e in found[one.name] if isinstance(e, TokenEvent)] for one in requests]


def prompts(count: int) -> list[tuple[int, ...]]:
    rng = random.Random(0)
    return [tuple(rng.randrange(VOCABULARY) for _ in range(rng.randrange(3, 30))) for _ in range(count)]


@pytest.mark.parametrize("draft", [Steps, Wrong])
@pytest.mark.parametrize("pages", [64, 17])
def test_answers_do_not_change(draft: type[Steps], pages: int) -> None:
    """With too few pages for all as well, so that requests give theirs up and are read again."""
    asked = prompts(10)
    found = answers(Steps(pages), draft(pages), [Request(one, 30, GREEDY) for one in asked], pages)
    assert found == [continued(list(one), 30) for one in asked]


def test_a_draft_that_is_right_saves_steps() -> None:
    """Every guess comes true, so its cache had every token at its place."""
    plain, drafted = Steps(64), Steps(64)
    requests = [Request((5, 6, 7), 41, GREEDY)]
    assert answers(drafted, Steps(64), requests) == [continued([5, 6, 7], 41)]
    answers(plain, None, [Request((5, 6, 7), 41, GREEDY)])
    steps = [size for kind, size in drafted.sizes if kind == "decode"]
    # All rows of all steps are tokens of the answer; pages of four tokens leave room for three guesses.
    assert sum(steps) == 40
    assert len(steps) < 14
    assert len([1 for kind, _ in plain.sizes if kind == "decode"]) == 40


@pytest.mark.parametrize("seed", range(3))
def test_drawn_answers_do_not_change(seed: int) -> None:
    def asked() -> list[Request]:
        return [Request((0, 1, 2), 40, Sampling(temperature=0.7, seed=seed))]

    assert answers(Rounds(64), Rounds(64), asked()) == answers(Rounds(64), None, asked())


def test_the_context_and_stop_tokens_end_answers_within_guesses() -> None:
    wanted = continued([1, 2], 62)
    assert answers(Steps(64), Steps(64), [Request((1, 2), 500, GREEDY)]) == [wanted]
    stop = wanted[7]
    assert answers(Steps(64), Steps(64), [Request((1, 2), 50, GREEDY, stop_tokens=(stop,))]) == [
        wanted[: wanted.index(stop) + 1]
    ]


def test_what_the_cache_lacks_is_read_first() -> None:
    steps = Steps(64)
    draft = Draft(steps, 3)
    own = Asked([1, 2, 3, 4, 5], [1, 2, 3], 0, 3)
    draft.guess([own])
    assert own.found == continued([1, 2, 3, 4, 5], 3)
    assert own.holds == 7
    assert steps.sizes == [("read", 4), ("decode", 1), ("decode", 1), ("decode", 1)]
    assert draft.seconds(1, 3) is not None


def test_what_finding_takes_is_counted() -> None:
    times = StepTimes()
    for _ in range(3):
        times.measured(1, 1.0)
        times.measured(4, 1.5)
    assert times.pays(1, [(3, 0.5)], 0.9)
    assert not times.pays(1, [(3, 0.5)], 1.1)
    assert not times.pays(1, [(3, 0.1)], 0.0)
