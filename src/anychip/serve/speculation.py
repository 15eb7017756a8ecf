"""Guessed tokens that a step checks along with the newest one (prompt look-up, Saxena, 2023). What followed
the same few tokens before is guessed to follow again. Flows in: tokens of a sequence, times of steps. Flows
out: guesses, as far as they paid."""

from __future__ import annotations

from collections.abc import Sequence

from .programs import DECODING

GRAMS = (3, 2)
"""How many last tokens are looked for, the longer run first."""
WEIGHT = 0.3
"""Of the newest measurement in a running mean."""


class LookUp:
    """Guesses for one sequence, and how good they were."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._seen = 0
        self.accepted_share = 1.0

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow. `tokens` only ever grows."""
        for gram in GRAMS:
            for end in range(max(self._seen, gram), len(tokens)):
                self._after[tuple(tokens[end - gram : end])] = end
        self._seen = len(tokens)
        for gram in GRAMS:
            found = self._after.get(tuple(tokens[-gram:]))
            if found is not None and len(tokens) >= gram:
                return list(tokens[found : found + most])
        return []

    def checked(self, accepted: int, guessed: int) -> None:
        """So many of the guesses came true."""
        self.accepted_share += WEIGHT * (accepted / guessed - self.accepted_share)


class StepTimes:
    """Seconds that steps of each size take. The first of a size is left out: it is compiled then."""

    def __init__(self) -> None:
        self._seconds: dict[int, float | None] = {}

    def measured(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long."""
        size = _size(rows)
        if size not in self._seconds:
            self._seconds[size] = None
            return
        before = self._seconds[size]
        self._seconds[size] = seconds if before is None else before + WEIGHT * (seconds - before)

    def seconds(self, rows: int) -> float | None:
        """What a step of so many rows takes; None where that was not measured."""
        return self._seconds.get(_size(rows))

    def pays(self, rows: int, guesses: Sequence[tuple[int, float]], finding: float = 0.0) -> bool:
        """Whether a step of so many rows gives more tokens a second with these guesses: how many of each
        sequence, and what share of them comes true, where finding them takes so many seconds. A size that
        was not measured is tried."""
        plain = self.seconds(rows)
        longer = self.seconds(rows + sum(count for count, _ in guesses))
        if plain is None or longer is None:
            return plain is not None
        gained = sum(count * share for count, share in guesses)
        return (rows + gained) * plain > rows * (longer + finding)


def _size(rows: int) -> int:
    return next(size for size in DECODING if size >= rows)
