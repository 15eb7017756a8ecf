"""Answers in OpenAI's forms. Flows in: events of an engine. Flows out: JSON of a whole answer, or pieces of a
stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..requests import FinishEvent, Request, TokenLogprob, Usage
from ..tokenizer import Tokenizer
from .answers import Answers, ShownLogprobs
from .rules import AnswerRules
from .tools import Call, Calls

Json = dict[str, Any]


def usage_of(usages: Sequence[Usage], prompts: int) -> Json:
    """Tokens of all answers; those of a prompt count once, however many answers it has. `usages` go prompt
    by prompt."""
    each = max(len(usages) // prompts, 1)
    read = sum(usage.prompt_tokens for usage in usages[::each])
    written = sum(usage.completion_tokens for usage in usages)
    cached = sum(usage.cached_tokens for usage in usages[::each])
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


@dataclass
class Choice:
    """One answer as far as it came."""

    shown: ShownLogprobs
    text: list[str] = field(default_factory=list[str])
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    reason: str = ""
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    stopped_by: str | int | None = None


class AnswerForm(Protocol):
    """How an answer is told; its events have names where `has_named_events`, and else end with `[DONE]`."""

    has_named_events: bool

    async def whole(self, answers: Answers) -> Json:
        """The answer when all of it is there."""
        ...

    def pieces(self, answers: Answers, with_usage: bool) -> AsyncIterator[Json]:
        """The answer as it is written."""
        ...


class Form:
    """An answer to one HTTP request, whose requests go prompt by prompt. `stem` names its kind."""

    has_named_events = False
    stem = ""
    whole_object = ""
    piece_object = ""

    def __init__(self, tokenizer: Tokenizer, model: str, requests: Sequence[Request], prompts: int = 1):
        self._tokenizer, self._prompts = tokenizer, prompts
        self._choices = [Choice(ShownLogprobs(tokenizer, request)) for request in requests]
        self._with_logprobs = requests[0].sampling.logprobs is not None
        self._head = {
            "id": f"{self.stem}-{secrets.token_hex(16)}",
            "created": int(time.time()),
            "model": model,
        }

    async def whole(self, answers: Answers) -> Json:
        """The answer when all of it is there."""
        async for place, event in answers.events():
            choice = self._choices[place]
            choice.text.append(event.text)
            choice.logprobs += choice.shown.add(event)
            if isinstance(event, FinishEvent):
                self._end(choice, event)
        choices = [self.choice(place, one) for place, one in enumerate(self._choices)]
        return {**self._head, "object": self.whole_object, "choices": choices, "usage": self._usage()}

    async def pieces(self, answers: Answers, with_usage: bool) -> AsyncIterator[Json]:
        """The answer as it is written."""
        head = {**self._head, "object": self.piece_object} | ({"usage": None} if with_usage else {})
        for place in range(len(self._choices)):
            for made in self.opening(place):
                yield {**head, "choices": [made]}
        async for place, event in answers.events():
            choice = self._choices[place]
            ready = choice.shown.add(event)
            if event.text or ready:
                for made in self.piece(place, choice, event.text, ready):
                    yield {**head, "choices": [made]}
            if isinstance(event, FinishEvent):
                self._end(choice, event)
                for made in self.ending(place, choice):
                    yield {**head, "choices": [made]}
        if with_usage:
            yield {**head, "choices": [], "usage": self._usage()}

    def _end(self, choice: Choice, event: FinishEvent) -> None:
        choice.reason, choice.usage, choice.stopped_by = event.reason.value, event.usage, event.stopped_by

    def _usage(self) -> Json:
        return usage_of([choice.usage for choice in self._choices], self._prompts)

    def _name(self, token: int) -> str:
        return self._tokenizer.piece(token).decode("utf-8", errors="replace")

    # ---- what each kind has for itself ------------------------------------------------------------

    def choice(self, place: int, choice: Choice) -> Json:
        """One whole answer."""
        raise NotImplementedError

    def opening(self, place: int) -> list[Json]:
        """What a stream begins with."""
        return []

    def piece(self, place: int, choice: Choice, text: str, ready: Sequence[TokenLogprob]) -> list[Json]:
        """More of an answer."""
        raise NotImplementedError

    def ending(self, place: int, choice: Choice) -> list[Json]:
        """The end of an answer."""
        raise NotImplementedError


class ChatForm(Form):
    """/v1/chat/completions. With `with_calls`, calls of functions are taken out of the text."""

    stem, whole_object, piece_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, tokenizer: Tokenizer, model: str, requests: Sequence[Request], rules: AnswerRules):
        super().__init__(tokenizer, model, requests)
        self._rules = rules
        self._calls = [Calls() for _ in requests]

    def choice(self, place: int, choice: Choice) -> Json:
        """See `Form.choice`."""
        text = "".join(choice.text)
        message: Json = {"role": "assistant", "content": text, "refusal": None}
        if self._rules.with_calls:
            parts = [self._calls[place].add(text), self._calls[place].rest()]
            said = "".join(part[0] for part in parts)
            calls = _joined([call for part in parts for call in part[1]])
            if calls:
                message |= {"content": said or None, "tool_calls": calls}
        self._check(place, choice)
        return {
            "index": place,
            "message": message,
            "logprobs": self._told(choice.logprobs),
            "finish_reason": self._reason(place, choice),
        }

    def opening(self, place: int) -> list[Json]:
        """See `Form.opening`."""
        return [self._delta(place, {"role": "assistant", "content": ""})]

    def piece(self, place: int, choice: Choice, text: str, ready: Sequence[TokenLogprob]) -> list[Json]:
        """See `Form.piece`."""
        if self._rules.schemas:
            choice.text.append(text)
        said, calls = self._calls[place].add(text) if self._rules.with_calls else (text, [])
        made = [self._delta(place, {"content": said}) | {"logprobs": self._told(ready)}]
        return (made if said or ready else []) + self._deltas(place, calls)

    def ending(self, place: int, choice: Choice) -> list[Json]:
        """See `Form.ending`."""
        said, calls = self._calls[place].rest()
        self._check(place, choice)
        made = [self._delta(place, {"content": said})] if said else []
        last = self._delta(place, {}) | {"finish_reason": self._reason(place, choice)}
        return [*made, *self._deltas(place, calls), last]

    def _reason(self, place: int, choice: Choice) -> str:
        return "tool_calls" if self._calls[place].any and choice.reason == "stop" else choice.reason

    def _check(self, place: int, choice: Choice) -> None:
        """A document that came to its end is as its schema has it, or this is an error."""
        if not self._rules.schemas or not isinstance(choice.stopped_by, int):
            return
        self._rules.require("".join(choice.text))

    def _deltas(self, place: int, calls: Sequence[Call]) -> list[Json]:
        return [
            self._delta(place, {"tool_calls": [{"index": one.place, **_told_call(one)}]}) for one in calls
        ]

    def _delta(self, place: int, delta: Json) -> Json:
        return {"index": place, "delta": delta, "logprobs": None, "finish_reason": None}

    def _told(self, logprobs: Sequence[TokenLogprob]) -> Json | None:
        if not self._with_logprobs:
            return None
        return {
            "content": [
                {
                    **self._told_token(one.token, one.logprob),
                    "top_logprobs": [self._told_token(token, value) for token, value in one.alternatives],
                }
                for one in logprobs
            ],
            "refusal": None,
        }

    def _told_token(self, token: int, logprob: float) -> Json:
        piece = self._tokenizer.piece(token)
        return {"token": self._name(token), "logprob": finite(logprob), "bytes": list(piece)}


def _told_call(call: Call) -> Json:
    if call.name:
        told = {"name": call.name, "arguments": call.arguments}
        return {"id": call.identifier, "type": "function", "function": told}
    return {"function": {"arguments": call.arguments}}


def _joined(calls: Sequence[Call]) -> list[Json]:
    """Whole calls out of their parts."""
    made: list[Json] = []
    for call in calls:
        if call.name:
            made.append(_told_call(call))
        else:
            made[-1]["function"]["arguments"] += call.arguments
    return made


class CompletionForm(Form):
    """/v1/completions."""

    stem, whole_object, piece_object = "cmpl", "text_completion", "text_completion"

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self._offsets = [0] * len(self._choices)

    def choice(self, place: int, choice: Choice) -> Json:
        """See `Form.choice`."""
        return self._made(place, "".join(choice.text), choice.logprobs, choice.reason)

    def piece(self, place: int, choice: Choice, text: str, ready: Sequence[TokenLogprob]) -> list[Json]:
        """See `Form.piece`."""
        return [self._made(place, text, ready, None)]

    def ending(self, place: int, choice: Choice) -> list[Json]:
        """See `Form.ending`."""
        return [self._made(place, "", [], choice.reason)]

    def _made(self, place: int, text: str, logprobs: Sequence[TokenLogprob], reason: str | None) -> Json:
        told = self._told(place, logprobs) if self._with_logprobs else None
        return {"index": place, "text": text, "logprobs": told, "finish_reason": reason}

    def _told(self, place: int, logprobs: Sequence[TokenLogprob]) -> Json:
        names = [self._name(one.token) for one in logprobs]
        offsets = []
        for name in names:
            offsets.append(self._offsets[place])
            self._offsets[place] += len(name)
        return {
            "tokens": names,
            "token_logprobs": [finite(one.logprob) for one in logprobs],
            "top_logprobs": [
                {self._name(token): finite(value) for token, value in one.alternatives} for one in logprobs
            ],
            "text_offset": offsets,
        }


def finite(logprob: float) -> float:
    """JSON has no infinity: what is impossible is -9999.0, as in OpenAI's interface."""
    return max(logprob, -9999.0)
