"""What is asked of an engine, and what it answers. Flows in: the numbers of a user's request, checked here.
Flows out: one `Request`, and for each request its events: any number of `TokenEvent`, then exactly one
`FinishEvent`, which is the last."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import torch

from .errors import RequestError

MOST_ALTERNATIVES = 20
"""How many likeliest tokens may be asked for with each token."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen from the logits of a step, in this order: `logit_bias` is added, penalties
    are applied, logits are divided by `temperature`, and `top_k`, `min_p` and `top_p` leave out what is
    unlikely before one token is drawn.

    `temperature` 0 takes the likeliest token, the smallest identifier among equals. `top_k` 0 keeps all.
    `min_p` leaves out tokens less likely than so much of the likeliest. `repetition_penalty` divides
    positive logits of tokens seen in prompt or answer, and multiplies negative ones (Keskar et al., 2019);
    `presence_penalty` is subtracted once from each token of the answer so far, `frequency_penalty` as often
    as it occurred. The same `seed` gives the same draws whatever the request travels with; None draws one.
    `logprobs` asks for the logarithm of the probability of each token, of the model's own logits before any
    of the above, and of so many likeliest ones (0: of the token alone; None: of none).
    Raises RequestError for what is out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])
    logprobs: int | None = None

    def __post_init__(self) -> None:
        _within("temperature", self.temperature, 0.0, 100.0)
        _within("top_p", self.top_p, 0.0, 1.0)
        _within("min_p", self.min_p, 0.0, 1.0)
        _within("top_k", self.top_k, 0, 1 << 30)
        _within("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        _within("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        for token, bias in self.logit_bias.items():
            _within(f"logit_bias[{token}]", bias, -100.0, 100.0)
        if self.logprobs is not None:
            _within("logprobs", self.logprobs, 0, MOST_ALTERNATIVES)
        if self.top_p == 0.0:
            raise RequestError("top_p", "0 leaves no token.", "Give a number above 0, or temperature 0.")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken, without a draw."""
        return self.temperature == 0.0


class Constraint(Protocol):
    """What an answer must look like, asked before each of its tokens. It is of one request alone."""

    def restrict(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [vocabulary] with minus infinity where a token may not come next."""
        ...

    def accept(self, token: int) -> None:
        """This one came."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """`prompt` is the tokens that the model reads, special ones included; it is not empty.

    The answer ends after `max_tokens` tokens, when one of the strings in `stop` is complete in its text
    (which ends before it), or at an end token of the model or one of `stop_tokens`. With `ignore_eos` the
    model's own end tokens are tokens as any other. A `constraint` leaves out tokens before anything else
    is done with logits. With `embeds` there is no answer: the prompt's embedding comes with the FinishEvent.
    `adapter` is the number of one of the engine's adapters, from 1 on; 0 is none. `name` tells requests
    apart, and is made where none is given. Raises RequestError.
    """

    prompt: tuple[int, ...]
    max_tokens: int = 128
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    ignore_eos: bool = False
    constraint: Constraint | None = None
    embeds: bool = False
    adapter: int = 0
    name: str = field(default_factory=lambda: f"request-{next(_numbers)}")

    def __post_init__(self) -> None:
        if not self.prompt:
            raise RequestError("prompt", "it has no tokens.", "Give at least one token.")
        _within("max_tokens", self.max_tokens, 1, 1 << 30)
        if not all(self.stop):
            raise RequestError("stop", "a stop string is empty.", "Leave it out.")


class FinishReason(Enum):
    """Why a request ended. The values of the first two are OpenAI's."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, the logarithm of its probability, and the likeliest tokens with theirs, likeliest first."""

    token: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request: `cached_tokens` of the prompt were found in the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Points in time of one request, in seconds of `time.perf_counter`: when it was submitted, when the
    engine began with its prompt, when its first and its last token were known (0.0 for what never was)."""

    submitted: float
    started: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A token was chosen. `text` is what may be shown by now: whole characters, and nothing that could turn
    out to belong to a stop string, so it may be empty or stand for several tokens. `index` counts from 0."""

    request: str
    index: int
    token: int
    text: str
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class FinishEvent:
    """The last event of a request. `text` is what was held back and belongs to the answer; `stopped_by` the
    stop string or the token that ended it; `error` what went wrong where `reason` is ERROR; `embedding` the
    last hidden state of a prompt that is embedded, of length 1."""

    request: str
    reason: FinishReason
    text: str
    usage: Usage
    timing: Timing
    stopped_by: str | int | None = None
    error: Exception | None = None
    embedding: tuple[float, ...] | None = None


Event = TokenEvent | FinishEvent


def _within(field_name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise RequestError(field_name, f"{value} is not between {low} and {high}.")
