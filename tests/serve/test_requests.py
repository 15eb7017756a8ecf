"""What a request refuses, by the field's name, and the iteration over an engine's events."""

from __future__ import annotations

import pytest

from anychip.serve.engine import Deliver, Load, events
from anychip.serve.errors import RequestError
from anychip.serve.requests import FinishEvent, FinishReason, Request, Sampling, Timing, TokenEvent, Usage


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.5), ("min_p", float("nan")), ("top_k", -1),
     ("repetition_penalty", 0.0), ("presence_penalty", 3.0), ("frequency_penalty", -2.5), ("logprobs", 21),
     ("logit_bias", {5: 101.0})],
)  # fmt: skip
def test_sampling_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RequestError) as refused:
        Sampling(**{field: value})  # type: ignore[arg-type]
    assert refused.value.field.startswith(field)


@pytest.mark.parametrize(
    ("field", "fields"),
    [("prompt", {"prompt": ()}), ("max_tokens", {"prompt": (1,), "max_tokens": 0}),
     ("stop", {"prompt": (1,), "stop": ("a", "")})],
)  # fmt: skip
def test_a_request_out_of_range_is_refused_by_name(field: str, fields: dict[str, object]) -> None:
    with pytest.raises(RequestError) as refused:
        Request(**fields)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_requests_have_names_of_their_own() -> None:
    assert len({Request((1,)).name for _ in range(100)}) == 100


class _Scripted:
    """An engine that answers every request with two tokens at once."""

    context_length = 8

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def submit(self, request: Request, deliver: Deliver) -> None:
        deliver(TokenEvent(request.name, 0, 7, "a"))
        deliver(TokenEvent(request.name, 1, 8, "b"))
        deliver(FinishEvent(request.name, FinishReason.STOP, "", Usage(1, 2), Timing(0.0)))

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def load(self) -> Load:
        return Load(0, 0, 0, 0)

    def drain(self, seconds: float | None = None) -> bool:
        return True

    def close(self) -> None: ...


def test_leaving_the_events_early_cancels() -> None:
    engine, request = _Scripted(), Request((1,))
    iteration = events(engine, request)
    assert isinstance(next(iteration), TokenEvent)
    assert engine.cancelled == []
    iteration.close()  # type: ignore[attr-defined]
    assert engine.cancelled == [request.name]


def test_events_end_with_the_last_one() -> None:
    given = list(events(_Scripted(), Request((1,))))
    assert [type(event) for event in given] == [TokenEvent, TokenEvent, FinishEvent]
