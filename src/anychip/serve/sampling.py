"""The next token out of a row of logits. Flows in: logits, what was asked for, the tokens so far. Flows out:
a token and the logarithms of probabilities that were asked for. Numbers are float64, and a draw depends on
the seed and on how many tokens were drawn, on nothing else."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from .requests import Constraint, Sampling, TokenLogprob


class Sampler:
    """Chooses the tokens of one answer. `prompt` is what the model read before it."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], constraint: Constraint | None = None):
        self._sampling, self._constraint = sampling, constraint
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._generator = np.random.Generator(np.random.Philox(seed & (2**64 - 1)))
        self._prompt = np.unique(np.asarray(prompt))
        self._answer: Counter[int] = Counter()
        self._bias = sorted(sampling.logit_bias.items())

    def next(self, logits: torch.Tensor) -> tuple[int, TokenLogprob | None]:
        """A token for a row of logits [vocabulary]."""
        given = self._sampling
        own = logits
        if self._constraint is not None:
            logits = self._constraint.restrict(logits)
        plain = given.is_greedy and not self._bias and not self._penalises
        if plain:
            token = int(logits.argmax())
        else:
            adjusted = self._adjusted(logits.double().numpy().copy())
            token = int(adjusted.argmax()) if given.is_greedy else self._drawn(adjusted)
        self._answer[token] += 1
        if self._constraint is not None:
            self._constraint.accept(token)
        return token, None if given.logprobs is None else logprob_of(own, token, given.logprobs)

    @property
    def _penalises(self) -> bool:
        given = self._sampling
        return (
            given.repetition_penalty != 1.0 or given.presence_penalty != 0.0 or given.frequency_penalty != 0.0
        )

    def _adjusted(self, logits: np.ndarray) -> np.ndarray:
        given = self._sampling
        for token, bias in self._bias:
            logits[token] += bias
        answer = np.fromiter(self._answer, np.int64, len(self._answer))
        if given.repetition_penalty != 1.0:
            seen = np.union1d(self._prompt, answer).astype(np.int64)
            values = logits[seen]
            logits[seen] = np.where(
                values > 0, values / given.repetition_penalty, values * given.repetition_penalty
            )
        if len(answer):
            counts = np.fromiter(self._answer.values(), np.float64, len(answer))
            logits[answer] -= given.presence_penalty + given.frequency_penalty * counts
        return logits

    def _drawn(self, logits: np.ndarray) -> int:
        given = self._sampling
        logits = logits / given.temperature
        order = np.argsort(-logits, kind="stable")
        if given.top_k:
            order = order[: given.top_k]
        shares = np.exp(logits[order] - logits[order[0]])
        shares = shares[shares >= given.min_p]
        shares = shares / shares.sum()
        before = np.cumsum(shares) - shares
        shares = shares[before < given.top_p] if given.top_p < 1.0 else shares
        sums = np.cumsum(shares)
        place = np.searchsorted(sums, self._generator.random() * sums[-1], side="right")
        return int(order[min(int(place), len(shares) - 1)])


def logprob_of(logits: torch.Tensor, token: int, count: int) -> TokenLogprob:
    """Of a token, and of the `count` likeliest."""
    logs = logits.double().log_softmax(-1)
    best = logs.topk(count)
    alternatives = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return TokenLogprob(token, float(logs[token]), alternatives)
