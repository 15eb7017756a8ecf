"""What a front end may ask of an engine (`LocalEngine` is the one of this machine). Flows in: requests, from
any thread. Flows out: events, delivered from the engine's own thread."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from .requests import Event, FinishEvent, Request

Deliver = Callable[[Event], None]
"""Is called on the engine's thread with each event of one request, in order, so it must return at once and
must not call the engine: an asyncio server hands the event to `loop.call_soon_threadsafe`."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is: `running` requests have pages, `waiting` ones have none; `pages` of the cache
    in all, `free_pages` of them for new tokens (pages kept only as prefixes are free)."""

    running: int
    waiting: int
    pages: int
    free_pages: int


class Engine(Protocol):
    """Runs requests side by side. Every method may be called from any thread.

    Each request that `submit` takes gets exactly one `FinishEvent`, whatever happens to it: its end, a
    cancellation, an error of its own, an error of the engine, or `close`. Its pages are free by then.
    """

    context_length: int
    """Tokens of prompt and answer together that one request may have."""

    def submit(self, request: Request, deliver: Deliver) -> None:
        """Queue a request; returns at once.

        `max_tokens` beyond the context ends with LENGTH where the context does. Raises ContextLengthError
        for a prompt that leaves no room for a token, RequestError for tokens that the model has not and for
        a name that is in use, QueueFullError, and ClosedError; then no event is delivered.
        """
        ...

    def cancel(self, name: str) -> None:
        """End a request as soon as the step at hand is over, with reason CANCELLED. Nothing happens for a
        name that is not, or no longer, known."""
        ...

    def load(self) -> Load:
        """How busy the engine is now."""
        ...

    def drain(self, seconds: float | None = None) -> bool:
        """Take no more requests and wait until those taken are over; whether they are after `seconds`
        (None: for as long as it takes)."""
        ...

    def close(self) -> None:
        """Cancel what runs and waits, and end the engine's thread. A second call does nothing."""
        ...


def events(engine: Engine, request: Request) -> Iterator[Event]:
    """Submit a request and give its events as they come; leaving the iteration early cancels it.

    Raises what `submit` raises, at once.
    """
    arrived: queue.SimpleQueue[Event] = queue.SimpleQueue()
    engine.submit(request, arrived.put)
    return _until_finished(engine, request.name, arrived)


def _until_finished(engine: Engine, name: str, arrived: queue.SimpleQueue[Event]) -> Iterator[Event]:
    try:
        while True:
            event = arrived.get()
            yield event
            if isinstance(event, FinishEvent):
                return
    finally:
        engine.cancel(name)
