"""Guesses of a smaller model with the same tokens (speculative decoding; Leviathan et al., 2023). Its cache
has the pages of the model that is served, so both go by the same tables. Flows in: sequences and how many
tokens may be guessed of each. Flows out: its likeliest tokens, and what they took to find."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from .programs import CHUNKS, DECODING, Row
from .speculation import StepTimes


class DraftSteps(Protocol):
    """What computes: `Programs` of the smaller model, or a stand-in."""

    def decode(self, rows: Sequence[Row]) -> torch.Tensor:
        """See `Programs.decode`."""
        ...

    def read(self, tokens: Sequence[int], start: int, pages: Sequence[int]) -> torch.Tensor:
        """See `Programs.read`."""
        ...


@dataclass(slots=True)
class Asked:
    """A sequence that is to be gone on with: all its tokens, its pages, how many of its tokens the draft's
    cache `holds`, and how many may be guessed at `most`."""

    tokens: Sequence[int]
    pages: Sequence[int]
    holds: int
    most: int
    found: list[int] = field(default_factory=list[int])


class Draft:
    """Guesses by `steps`, at most `count` a sequence."""

    def __init__(self, steps: DraftSteps, count: int):
        self.count = count
        self._steps = steps
        self._times = StepTimes()

    def seconds(self, sequences: int, most: int) -> float | None:
        """What guesses for so many sequences are going to take; None where it was not measured."""
        each = self._times.seconds(sequences)
        return None if each is None else each * most

    def guess(self, asked: Sequence[Asked]) -> None:
        """Guess for each sequence, and tell `found` and `holds`. All but the last tokens that the cache lacks
        are read first, which is not counted in what guesses take."""
        for one in asked:
            while len(one.tokens) - 1 - one.holds > 1:
                piece = one.tokens[one.holds : min(one.holds + CHUNKS[-1], len(one.tokens) - 1)]
                self._steps.read(piece, one.holds, one.pages)
                one.holds += len(piece)
        while left := [one for one in asked if len(one.found) < one.most]:
            # A guess that came true whole left one token more to take in than the newest.
            behind = [one for one in left if len(one.tokens) + len(one.found) - one.holds > 1]
            left = left[: DECODING[-1] - len(behind)]
            rows: list[Row] = []
            last: list[int] = []
            for one in left:
                every = [*one.tokens, *one.found]
                rows += [Row(every[k], k + 1, one.pages) for k in range(one.holds, len(every))]
                last.append(len(rows) - 1)
                one.holds = len(every)
            begun = time.perf_counter()
            logits = self._steps.decode(rows)
            self._times.measured(len(rows), time.perf_counter() - begun)
            for one, place in zip(left, last, strict=True):
                one.found.append(int(logits[place].argmax()))
