"""Requests under way, seen from the event loop. Flows in: requests for the engine. Flows out: their events,
in the order in which they came, and the probabilities of tokens as far as their text may be shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from ..engine import Engine
from ..requests import Event, FinishEvent, FinishReason, Request, TokenEvent, TokenLogprob
from ..tokenizer import Tokenizer
from .errors import ApiError


class Answers:
    """Events of requests that belong together. `finished` is told of each end."""

    def __init__(self, engine: Engine, requests: Sequence[Request], finished: Callable[[FinishEvent], None]):
        self._engine, self._finished = engine, finished
        self.requests = list(requests)
        self._places = {request.name: place for place, request in enumerate(requests)}
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Event] = asyncio.Queue()
        self._left: set[str] = set()

    def submit(self) -> None:
        """Begin. Raises what the engine's `submit` raises; nothing is left behind then."""
        try:
            for request in self.requests:
                self._engine.submit(request, self._deliver)
                self._left.add(request.name)
        except BaseException:
            self.cancel()
            raise

    def _deliver(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: Event) -> None:
        if isinstance(event, FinishEvent):
            self._left.discard(event.request)
            self._finished(event)
        self._arrived.put_nowait(event)

    def cancel(self) -> None:
        """End what is not over."""
        for name in tuple(self._left):
            self._engine.cancel(name)

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """Each event with the place of its request, until all are over; leaving early cancels the rest.
        Raises the error of a request that failed, and ends the others."""
        open_requests = len(self.requests)
        try:
            while open_requests:
                event = await self._arrived.get()
                if isinstance(event, FinishEvent):
                    open_requests -= 1
                    if event.error is not None:
                        raise event.error
                    if event.reason is FinishReason.CANCELLED:
                        raise ApiError(503, "The request was cancelled.", code="cancelled")
                yield self._places[event.request], event
        finally:
            self.cancel()


class ShownLogprobs:
    """Probabilities of an answer's tokens, held back until all the text of a token is shown, so that they do
    not tell what could belong to a stop string. End tokens are left out."""

    def __init__(self, tokenizer: Tokenizer, request: Request):
        self._tokenizer = tokenizer
        ends = frozenset() if request.ignore_eos else tokenizer.end_tokens
        self._ends = ends | frozenset(request.stop_tokens)
        self._held: list[tuple[int, TokenLogprob]] = []
        self._told = self._shown = 0

    def add(self, event: Event) -> list[TokenLogprob]:
        """What may be told after this event."""
        self._shown += len(event.text.encode())
        if isinstance(event, TokenEvent):
            if event.logprob is not None and event.token not in self._ends:
                self._told += len(self._tokenizer.shown_bytes(event.token))
                self._held.append((self._told, event.logprob))
            if event.text and event.index < 4 and self._is_stripped(event.text):
                self._shown += 1
            ready = [made for end, made in self._held if end <= self._shown]
        else:
            ready = [] if isinstance(event.stopped_by, str) else [made for _, made in self._held]
        self._held = self._held[len(ready) :]
        return ready

    def _is_stripped(self, text: str) -> bool:
        """Whether this is an answer's first text, without the space that its first token begins with."""
        first = self._tokenizer.shown_bytes(self._held[0][1].token) if self._held else b""
        return self._shown == len(text.encode()) and first.startswith(b" ") and not text.startswith(" ")
