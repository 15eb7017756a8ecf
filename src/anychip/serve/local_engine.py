"""The engine of one machine: requests run side by side over a paged cache (continuous batching). A thread
repeats rounds: it admits what waits, reads one piece of one prompt, and decodes one token of every answer.
When pages run out, the youngest request gives its pages up and is computed anew later. Flows in: requests.
Flows out: their events."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from .cache import Pages
from .draft import Asked, Draft
from .engine import Deliver, Load
from .errors import ClosedError, ContextLengthError, QueueFullError, RequestError, ServeError
from .programs import CHUNKS, DECODING, Row
from .requests import Event, FinishEvent, FinishReason, Request, Timing, TokenEvent, Usage
from .sampling import Sampler
from .speculation import LookUp, StepTimes
from .text import Writer

_log = logging.getLogger(__name__)


WAITING = 256
"""Requests that wait at most, where nobody says."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`context_length` tokens a request, `pages` of `page` tokens in the cache besides the one for padding,
    `running` requests side by side and `waiting` ones at most; `guessed` tokens of a sequence are checked
    along with its newest one, where that pays (0: none). Raises ServeError where one request could not
    have its whole context, and for more side by side than a step has."""

    context_length: int = 4096
    pages: int = 256
    page: int = 32
    running: int = DECODING[-1]
    waiting: int = WAITING
    guessed: int = 0

    def __post_init__(self) -> None:
        if self.pages * self.page < self.context_length or not 1 <= self.running <= DECODING[-1]:
            raise ServeError(
                f"{self.pages} pages of {self.page} tokens do not hold a context of {self.context_length}, "
                f"or {self.running} requests are not between 1 and {DECODING[-1]}.",
                "Make the cache larger, or the context shorter.",
            )

    @property
    def most_pages(self) -> int:
        """Pages that one request can have."""
        return -(-self.context_length // self.page)


class Steps(Protocol):
    """What computes: `Programs`, or a stand-in."""

    def decode(self, rows: Sequence[Row]) -> torch.Tensor:
        """See `Programs.decode`."""
        ...

    def read(
        self,
        tokens: Sequence[int],
        start: int,
        pages: Sequence[int],
        hidden_alone: bool = False,
        adapter: int = 0,
    ) -> torch.Tensor:
        """See `Programs.read`."""
        ...


@dataclass(eq=False, slots=True)
class _Sequence:
    """A request under way: all its tokens, its pages, and how many of its tokens the cache holds, and a
    draft's cache."""

    request: Request
    deliver: Deliver
    sampler: Sampler
    writer: Writer
    timing: Timing
    tokens: list[int]
    pages: list[int] = field(default_factory=list[int])
    computed: int = 0
    cached: int = 0
    drafted: int = 0
    look_up: LookUp = field(default_factory=LookUp)

    @property
    def answered(self) -> int:
        return len(self.tokens) - len(self.request.prompt)

    @property
    def is_reading(self) -> bool:
        """Whether more than its newest token is to be computed."""
        return self.computed == 0 or len(self.tokens) - self.computed > 1 or self.request.embeds


class LocalEngine:
    """`steps` computes logits, `decode_text` gives the text of tokens, `end_tokens` end an answer of a model
    with so many tokens in its `vocabulary` and so many `adapters`; a `draft` guesses in place of
    prompt look-up. See `Engine` for what its methods promise."""

    def __init__(
        self,
        steps: Steps,
        limits: Limits,
        vocabulary: int,
        decode_text: Callable[[Sequence[int]], str],
        end_tokens: frozenset[int] = frozenset(),
        adapters: int = 0,
        draft: Draft | None = None,
    ):
        self.context_length = limits.context_length
        self._steps, self._limits, self._vocabulary = steps, limits, vocabulary
        self._decode_text, self._end_tokens, self._adapters = decode_text, end_tokens, adapters
        self._pages = Pages(limits.pages + 1, limits.page)
        self._times = StepTimes()
        self._draft = draft
        self._changed = threading.Condition()
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._names: set[str] = set()
        self._cancelled: set[str] = set()
        self._draining = self._closing = False
        self._thread = threading.Thread(target=self._work, name="anychip-engine", daemon=True)
        self._thread.start()

    # ---- what a front end asks --------------------------------------------------------------------

    def submit(self, request: Request, deliver: Deliver) -> None:
        """See `Engine.submit`."""
        if len(request.prompt) >= self.context_length:
            raise ContextLengthError(len(request.prompt), self.context_length)
        if not 0 <= request.adapter <= self._adapters:
            raise RequestError("adapter", f"there is no adapter {request.adapter} of {self._adapters}.")
        for where, tokens in (("prompt", request.prompt), ("logit_bias", request.sampling.logit_bias)):
            wrong = next((token for token in tokens if not 0 <= token < self._vocabulary), None)
            if wrong is not None:
                raise RequestError(where, f"the model has no token {wrong}; it has {self._vocabulary}.")
        made = _Sequence(
            request,
            deliver,
            Sampler(request.sampling, request.prompt, request.constraint),
            Writer(self._decode_text, request.stop),
            Timing(time.perf_counter()),
            list(request.prompt),
        )
        with self._changed:
            if self._draining or self._closing:
                raise ClosedError("the engine takes no more requests.")
            if request.name in self._names:
                raise RequestError("name", f"{request.name!r} is in use by another request.")
            if len(self._waiting) >= self._limits.waiting:
                raise QueueFullError(f"{len(self._waiting)} requests wait already.", "Try again later.")
            self._names.add(request.name)
            self._waiting.append(made)
            self._changed.notify_all()

    def cancel(self, name: str) -> None:
        """See `Engine.cancel`."""
        with self._changed:
            if name in self._names:
                self._cancelled.add(name)
                self._changed.notify_all()

    def load(self) -> Load:
        """See `Engine.load`."""
        with self._changed:
            return Load(len(self._running), len(self._waiting), self._pages.count, self._pages.free)

    def drain(self, seconds: float | None = None) -> bool:
        """See `Engine.drain`."""
        with self._changed:
            self._draining = True
            return self._changed.wait_for(lambda: not self._names, seconds)

    def close(self) -> None:
        """See `Engine.close`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # ---- the engine's thread ----------------------------------------------------------------------

    def _work(self) -> None:
        with torch.no_grad():
            while self._round():
                pass

    def _round(self) -> bool:
        """One round; False when the engine is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._names or self._closing)
            gone = [
                one
                for one in (*self._running, *self._waiting)
                if self._closing or one.request.name in self._cancelled
            ]
            self._cancelled.clear()
            if self._closing and not gone:
                return False
        for one in gone:
            self._finish(one, FinishReason.CANCELLED)
        self._admit()
        reading = next((one for one in self._running if one.is_reading), None)
        if reading is not None:
            self._guarded([reading], lambda: self._read(reading))
        decoding = [one for one in self._running if not one.is_reading]
        if decoding:
            self._guarded(decoding, lambda: self._decode(decoding))
        return True

    def _guarded(self, sequences: Sequence[_Sequence], step: Callable[[], None]) -> None:
        """An error of a step ends the requests that were in it, and no other."""
        try:
            step()
        except Exception as error:
            _log.exception("a step of %d requests failed", len(sequences))
            for one in sequences:
                if one in self._running:
                    self._finish(one, FinishReason.ERROR, error=error)

    def _admit(self) -> None:
        """Let requests begin, in order, while there are pages for all their tokens and one more."""
        while True:
            with self._changed:
                if not self._waiting or len(self._running) >= self._limits.running:
                    return
                first = self._waiting[0]
                found = self._pages.found(first.tokens, first.request.adapter)
                needed = len(first.tokens) // self._limits.page + 1 - len(found)
                if needed > self._pages.free:
                    self._pages.give_back(found)
                    return
                self._waiting.popleft()
                first.pages, first.computed = found, len(found) * self._limits.page
                if not first.timing.started:
                    first.cached = first.computed
                    first.timing = replace(first.timing, started=time.perf_counter())
                self._running.append(first)

    def _read(self, one: _Sequence) -> None:
        """A piece of the tokens that the cache does not hold yet."""
        piece = one.tokens[one.computed : one.computed + CHUNKS[-1]]
        if not self._with_pages(one, one.computed + len(piece)):
            return
        is_last = one.computed + len(piece) == len(one.tokens)
        embeds = one.request.embeds and is_last
        found = self._steps.read(piece, one.computed, one.pages, embeds, one.request.adapter)
        one.computed += len(piece)
        if is_last:
            self._pages.keep(one.tokens, one.pages, one.request.adapter)
        if embeds:
            self._embed(one, found[0])
        elif is_last:
            self._choose(one, found[0])

    def _embed(self, one: _Sequence, hidden: torch.Tensor) -> None:
        """The end of a prompt whose embedding is asked for."""
        now = time.perf_counter()
        one.timing = replace(one.timing, first_token=now, last_token=now)
        made = torch.nn.functional.normalize(hidden.double(), dim=0)
        self._finish(one, FinishReason.STOP, embedding=tuple(made.tolist()))

    def _decode(self, sequences: Sequence[_Sequence]) -> None:
        """One token of each."""
        for one in sequences:
            if one in self._running:
                self._with_pages(one, len(one.tokens))
        ready = [one for one in sequences if one in self._running]
        if not ready:
            return
        guesses = self._guesses(ready)
        rows = [
            Row(token, len(one.tokens) + k, one.pages, one.request.adapter)
            for one, guess in zip(ready, guesses, strict=True)
            for k, token in enumerate((one.tokens[-1], *guess))
        ]
        begun = time.perf_counter()
        logits = self._steps.decode(rows)
        self._times.measured(len(rows), time.perf_counter() - begun)
        first = 0
        for one, guess in zip(ready, guesses, strict=True):
            own = logits[first : first + 1 + len(guess)]
            first += len(own)
            self._guarded([one], lambda one=one, guess=guess, own=own: self._follow(one, guess, own))

    def _guesses(self, ready: Sequence[_Sequence]) -> list[list[int]]:
        """Tokens that may come next in each sequence, as many as its pages and the step have room for; none
        where steps with them were measured to be slower."""
        if self._draft is not None:
            return self._drafted(ready, self._draft)
        room = DECODING[-1] - len(ready)
        found: list[list[int]] = []
        for one in ready:
            most = self._most_guessed(one, self._limits.guessed, room)
            found.append(one.look_up.guess(one.tokens, most) if most > 0 else [])
            room -= len(found[-1])
        told = [(len(guess), one.look_up.accepted_share) for one, guess in zip(ready, found, strict=True)]
        if not any(found) or self._times.pays(len(ready), told):
            return found
        return [[] for _ in ready]

    def _most_guessed(self, one: _Sequence, wanted: int, room: int) -> int:
        """How many guesses a sequence has pages, context and answer for, of those that are wanted."""
        left = min(one.request.max_tokens - one.answered, self.context_length - len(one.tokens)) - 1
        places = len(one.pages) * self._limits.page - len(one.tokens)
        return max(0, min(wanted, left, places, room))

    def _drafted(self, ready: Sequence[_Sequence], draft: Draft) -> list[list[int]]:
        """Guesses of the draft, where steps with them and what finding them takes were not measured to be
        slower."""
        room = DECODING[-1] - len(ready)
        asked: list[Asked] = []
        for one in ready:
            most = self._most_guessed(one, draft.count, room)
            asked.append(Asked(one.tokens, one.pages, one.drafted, most))
            room -= most
        told = [(own.most, one.look_up.accepted_share) for one, own in zip(ready, asked, strict=True)]
        guessing = [own for own in asked if own.most]
        if not guessing:
            return [[] for _ in ready]
        finding = draft.seconds(len(guessing), max(own.most for own in guessing))
        if not self._times.pays(len(ready), told, finding or 0.0):
            return [[] for _ in ready]
        draft.guess(guessing)
        for one, own in zip(ready, asked, strict=True):
            one.drafted = own.holds
        return [own.found for own in asked]

    def _follow(self, one: _Sequence, guess: Sequence[int], logits: torch.Tensor) -> None:
        """The next token of a sequence, and those after it as long as they are the guessed ones."""
        accepted = 0
        for k, row in enumerate(logits):
            one.computed += 1
            self._choose(one, row)
            if k == len(guess) or one.tokens[-1] != guess[k]:
                break
            accepted += 1
            if one not in self._running:
                break
        if guess:
            one.look_up.checked(accepted, len(guess))
        one.drafted = min(one.drafted, len(one.tokens) - 1)

    def _with_pages(self, one: _Sequence, tokens: int) -> bool:
        """Give a sequence pages for so many tokens; False where it had to give its own up."""
        while len(one.pages) * self._limits.page < tokens:
            page = self._pages.take()
            if page is not None:
                one.pages.append(page)
                continue
            youngest = self._running[-1]
            self._preempt(youngest)
            if youngest is one:
                return False
        return True

    def _preempt(self, one: _Sequence) -> None:
        """Back to the head of the queue; what was computed may still be found as a prefix."""
        _log.debug("%s gives its pages up", one.request.name)
        with self._changed:
            self._running.remove(one)
            self._let_go(one)
            one.computed = 0
            self._waiting.appendleft(one)

    def _let_go(self, one: _Sequence) -> None:
        self._pages.keep(one.tokens[: one.computed], one.pages, one.request.adapter)
        self._pages.give_back(one.pages)
        one.pages, one.drafted = [], 0

    def _choose(self, one: _Sequence, logits: torch.Tensor) -> None:
        """The next token of an answer, and whether it ends there."""
        token, logprob = one.sampler.next(logits)
        now = time.perf_counter()
        one.timing = replace(one.timing, first_token=one.timing.first_token or now, last_token=now)
        request = one.request
        ends = token in request.stop_tokens or (token in self._end_tokens and not request.ignore_eos)
        one.tokens.append(token)
        text = "" if ends else one.writer.add(token)
        self._tell(one, TokenEvent(request.name, one.answered - 1, token, text, logprob))
        if ends:
            self._finish(one, FinishReason.STOP, stopped_by=token)
        elif one.writer.stopped_by is not None:
            self._finish(one, FinishReason.STOP, stopped_by=one.writer.stopped_by)
        elif one.answered >= request.max_tokens or len(one.tokens) >= self.context_length:
            self._finish(one, FinishReason.LENGTH)

    def _finish(
        self,
        one: _Sequence,
        reason: FinishReason,
        stopped_by: str | int | None = None,
        error: Exception | None = None,
        embedding: tuple[float, ...] | None = None,
    ) -> None:
        text = "" if isinstance(stopped_by, str) else one.writer.rest()
        if one.writer.stopped_by is not None and stopped_by is None:
            reason, stopped_by = FinishReason.STOP, one.writer.stopped_by
        with self._changed:
            if one in self._running:
                self._running.remove(one)
            else:
                self._waiting.remove(one)
            self._let_go(one)
            self._names.discard(one.request.name)
            self._changed.notify_all()
        usage = Usage(len(one.request.prompt), one.answered, one.cached)
        told = FinishEvent(one.request.name, reason, text, usage, one.timing, stopped_by, error, embedding)
        self._tell(one, told)

    def _tell(self, one: _Sequence, event: Event) -> None:
        try:
            one.deliver(event)
        except Exception:
            _log.exception("the receiver of %s failed", one.request.name)
