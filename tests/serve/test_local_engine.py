"""The engine over a stand-in whose next token depends on every token that the pages hold."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from tests.serve.stand_in import PAGE, VOCABULARY, Steps, continued

from anychip.serve.engine import events
from anychip.serve.errors import (
    ClosedError,
    ContextLengthError,
    QueueFullError,
    RequestError,
    ServeError,
)
from anychip.serve.local_engine import Limits, LocalEngine
from anychip.serve.requests import Event, FinishEvent, FinishReason, Request, Sampling, TokenEvent

GREEDY = Sampling(temperature=0.0)


def text_of(tokens) -> str:
    return "".join(chr(32 + token) for token in tokens)


@pytest.fixture
def made() -> Iterator[list[LocalEngine]]:
    """Engines that are closed when the test is over."""
    engines: list[LocalEngine] = []
    yield engines
    for engine in engines:
        engine.close()


def engine_of(made: list[LocalEngine], steps: Steps, end: int | None = None, **limits: int) -> LocalEngine:
    limits = {"context_length": 64, "pages": 16, "page": PAGE, **limits}
    ends = frozenset() if end is None else frozenset({end})
    made.append(LocalEngine(steps, Limits(**limits), VOCABULARY, text_of, ends))
    return made[-1]


def answer(given: list[Event]) -> list[int]:
    return [event.token for event in given if isinstance(event, TokenEvent)]


def shown(given: list[Event]) -> str:
    return "".join(event.text for event in given)


class Receivers:
    """Collects the events of many requests."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self.lock:
            self.events.setdefault(event.request, []).append(event)

    def finishes(self, name: str) -> list[FinishEvent]:
        return [event for event in self.events.get(name, []) if isinstance(event, FinishEvent)]


def test_one_answer(made) -> None:
    engine = engine_of(made, Steps(16))
    given = list(events(engine, Request((1, 2, 3), 10, GREEDY)))
    assert answer(given) == continued([1, 2, 3], 10)
    last = given[-1]
    assert isinstance(last, FinishEvent)
    assert (last.reason, last.usage.completion_tokens) == (FinishReason.LENGTH, 10)
    assert shown(given) == text_of(answer(given))
    assert last.timing.submitted <= last.timing.started <= last.timing.first_token <= last.timing.last_token


def test_many_answers_with_too_few_pages(made) -> None:
    """More tokens than the cache holds: requests give up pages, and each answer is what it would be alone."""
    steps, receive = Steps(16), Receivers()
    engine = engine_of(made, steps, running=6)
    rng = random.Random(0)
    requests = [
        Request(tuple(rng.randrange(VOCABULARY) for _ in range(rng.randrange(1, 30))), 30, GREEDY)
        for _ in range(24)
    ]
    for request in requests:
        engine.submit(request, receive)
    assert engine.drain(60)
    for request in requests:
        assert answer(receive.events[request.name]) == continued(list(request.prompt), 30)
        assert len(receive.finishes(request.name)) == 1
    assert sum(len(r.prompt) for r in requests) < steps.read_tokens
    assert max(size for kind, size in steps.sizes if kind == "decode") > 2
    load = engine.load()
    assert (load.running, load.waiting, load.free_pages) == (0, 0, 16)


def test_a_common_beginning_is_read_once(made) -> None:
    steps = Steps(16)
    engine = engine_of(made, steps)
    common = tuple(range(20))
    first = list(events(engine, Request((*common, 40, 41), 5, GREEDY)))
    before = steps.read_tokens
    second = list(events(engine, Request((*common, 50, 51), 5, GREEDY)))
    assert answer(first) == continued([*common, 40, 41], 5)
    assert answer(second) == continued([*common, 50, 51], 5)
    assert steps.read_tokens - before == 2
    last = second[-1]
    assert isinstance(last, FinishEvent)
    assert last.usage.cached_tokens == 20


def test_prefixes_whose_pages_were_taken_are_not_found(made) -> None:
    """Pages are reused many times over; a stale one would change an answer."""
    steps = Steps(16)
    engine = engine_of(made, steps)
    rng = random.Random(1)
    for _ in range(60):
        prompt = tuple(rng.randrange(3) for _ in range(rng.randrange(1, 40)))
        given = list(events(engine, Request(prompt, 6, GREEDY)))
        assert answer(given) == continued(list(prompt), 6)


def test_long_prompts_are_read_in_pieces_between_steps_of_others(made) -> None:
    steps, receive = Steps(400), Receivers()
    engine = engine_of(made, steps, context_length=1600, pages=400)
    short = Request((1,), 40, GREEDY)
    long = Request(tuple(k % VOCABULARY for k in range(1000)), 3, GREEDY)
    engine.submit(short, receive)
    engine.submit(long, receive)
    assert engine.drain(60)
    assert answer(receive.events[long.name]) == continued(list(long.prompt), 3)
    assert answer(receive.events[short.name]) == continued([1], 40)
    reads = [k for k, (kind, size) in enumerate(steps.sizes) if kind == "read" and size > 1]
    assert len(reads) == 4
    assert all("decode" in {kind for kind, _ in steps.sizes[a:b]} for a, b in pairwise(reads))


def test_end_tokens_stop_strings_and_ignore_eos(made) -> None:
    alone = continued([5], 20)
    end = alone[6]
    engine = engine_of(made, Steps(16), end)
    first = alone.index(end)
    given = list(events(engine, Request((5,), 20, GREEDY)))
    assert answer(given) == alone[: first + 1]
    assert shown(given) == text_of(alone[:first])
    assert given[-1].reason is FinishReason.STOP  # type: ignore[union-attr]
    given = list(events(engine, Request((5,), 20, GREEDY, ignore_eos=True)))
    assert answer(given) == alone
    stop = text_of(alone[3:5])
    given = list(events(engine, Request((5,), 20, GREEDY, stop=(stop,), ignore_eos=True)))
    assert shown(given) == text_of(alone).partition(stop)[0]
    assert given[-1].stopped_by == stop  # type: ignore[union-attr]


def test_cancelling_frees_pages_and_ends_once(made) -> None:
    receive = Receivers()
    engine = engine_of(made, Steps(16), running=2)
    requests = [Request((k,), 50, GREEDY) for k in range(6)]
    started = threading.Event()

    def deliver(event: Event) -> None:
        receive(event)
        started.set()

    for request in requests:
        engine.submit(request, deliver)
    assert started.wait(30)
    for request in requests[:5]:
        engine.cancel(request.name)
    engine.cancel("nobody")
    assert engine.drain(60)
    for request in requests[:5]:
        assert len(receive.finishes(request.name)) == 1
        assert receive.finishes(request.name)[0].reason in (FinishReason.CANCELLED, FinishReason.LENGTH)
    assert answer(receive.events[requests[5].name]) == continued([5], 50)
    assert engine.load().free_pages == 16


def test_an_error_of_a_step_ends_its_requests_only(made) -> None:
    steps = Steps(16)
    steps.fails_at = 4
    engine = engine_of(made, steps)
    given = list(events(engine, Request((1,), 20, GREEDY)))
    last = given[-1]
    assert isinstance(last, FinishEvent)
    assert last.reason is FinishReason.ERROR
    assert "a step fails" in str(last.error)
    assert answer(list(events(engine, Request((2,), 5, GREEDY)))) == continued([2], 5)
    assert engine.load().free_pages == 16


def test_the_context_ends_an_answer(made) -> None:
    engine = engine_of(made, Steps(16))
    prompt = tuple(range(60))
    given = list(events(engine, Request(prompt, 100, GREEDY)))
    assert answer(given) == continued(list(prompt), 4)
    assert given[-1].reason is FinishReason.LENGTH  # type: ignore[union-attr]
    with pytest.raises(ContextLengthError) as refused:
        engine.submit(Request(tuple([1] * 64)), lambda event: None)
    assert (refused.value.asked, refused.value.limit) == (64, 64)


def test_what_is_refused(made) -> None:
    engine = engine_of(made, Steps(16), running=1, waiting=1)
    with pytest.raises(RequestError, match="no token 64"):
        engine.submit(Request((64,)), lambda event: None)
    with pytest.raises(RequestError, match="logit_bias"):
        engine.submit(Request((1,), sampling=Sampling(logit_bias={99: 1.0})), lambda event: None)
    hold = threading.Event()
    running = threading.Event()

    def slow(event: Event) -> None:
        running.set()
        hold.wait(30)

    engine.submit(Request((1,), 3, GREEDY, name="a"), slow)
    assert running.wait(30)
    with pytest.raises(RequestError, match="in use"):
        engine.submit(Request((1,), 3, GREEDY, name="a"), slow)
    engine.submit(Request((2,), 3, GREEDY), slow)
    with pytest.raises(QueueFullError):
        engine.submit(Request((3,), 3, GREEDY), slow)
    assert not engine.drain(0.01)
    with pytest.raises(ClosedError):
        engine.submit(Request((4,), 3, GREEDY), slow)
    hold.set()
    assert engine.drain(30)
    with pytest.raises(ServeError, match="do not hold"):
        Limits(context_length=100, pages=2, page=4)


def test_closing_ends_everything_once(made) -> None:
    receive = Receivers()
    engine = engine_of(made, Steps(16), running=2)
    requests = [Request((k,), 60, GREEDY) for k in range(5)]
    for request in requests:
        engine.submit(request, receive)
    engine.close()
    engine.close()
    for request in requests:
        assert len(receive.finishes(request.name)) == 1
    with pytest.raises(ClosedError):
        engine.submit(Request((1,)), receive)
