"""Steps of a model as Programs: each size of step is captured once and replayed by one native call from then
on. Flows in: tokens, positions, places in the cache. Flows out: logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..pytorch.capture import capture_with_state
from ..pytorch.program import Program
from .model import ServedModel
from .modules import Step

DECODING = (1, 2, 4, 8, 16, 32)
"""Sequences of a step that decodes one token each; a step has the next larger number, the rest is padding."""
CHUNKS = (16, 64, 256)
"""Tokens of a step that reads a piece of one prompt."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence in a decoding step: its newest token, how many tokens it has with it, its pages, its
    adapter (from 1 on; 0 is none)."""

    token: int
    length: int
    pages: Sequence[int]
    adapter: int = 0


class Programs:
    """The steps of one model over one cache of `pages` pages of `page` tokens, page 0 for padding,
    `most_pages` of them a sequence at most.

    `deterministic` ones read prompts by the kernels that decode: each token is a row of its own, which sees
    the tokens before it in the cache. A row's result does not depend on what other rows there are, so the
    bits of logits depend neither on how a prompt was cut nor on what was computed beside it.
    """

    def __init__(
        self,
        model: ServedModel,
        pages: int,
        page: int,
        most_pages: int,
        dtype: torch.dtype,
        deterministic: bool = False,
    ):
        self.page, self.most_pages, self._deterministic = page, most_pages, deterministic
        self._model = model
        self._cache = model.pages(pages, page, dtype)
        self._state = [x for layer in self._cache for x in layer]
        self._steps = {
            "decode": self._step,
            "read": self._step,
            "embed": self._hidden,
            "rows": self._rows,
            "embed rows": self._hidden_rows,
        }
        self._known: dict[tuple[str, int], Program] = {}
        self._adapters: torch.Tensor | None = None

    @property
    def cache_bytes(self) -> int:
        """Memory of the cache."""
        return sum(x.nbytes for x in self._state)

    def decode(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits [rows, vocabulary] after the newest token of each sequence, which the cache then holds."""
        count = next(size for size in DECODING if size >= len(rows))
        ids = self._ids([row.adapter for row in rows], count)
        return self._run("decode", count, self._of_rows(rows, count), ids)[: len(rows)]

    def _ids(self, adapters: Sequence[int], count: int) -> torch.Tensor | None:
        """What a step is told of adapters, if the model has any: the kernels' numbers from 0 on."""
        if not self._model.adapters:
            return None
        ids = [*(one - 1 for one in adapters), *[-1] * (count - len(adapters))]
        return torch.tensor(ids, dtype=torch.int32)

    def _of_rows(self, rows: Sequence[Row], count: int) -> tuple[torch.Tensor, ...]:
        """What a step of so many rows is given, padding among them."""
        padding = [Row(0, 1, (0,))] * (count - len(rows))
        every = [*rows, *padding]
        places = [(row.pages[(row.length - 1) // self.page], (row.length - 1) % self.page) for row in every]
        return (
            torch.tensor([[row.token] for row in every]),
            torch.tensor([[row.length - 1] for row in every]),
            torch.tensor([page * self.page + place for page, place in places], dtype=torch.int32),
            self._tables([row.pages for row in every]),
            torch.tensor([row.length for row in every], dtype=torch.int32),
        )

    def read(
        self,
        tokens: Sequence[int],
        start: int,
        pages: Sequence[int],
        hidden_alone: bool = False,
        adapter: int = 0,
    ) -> torch.Tensor:
        """Logits [1, vocabulary] after a piece of a prompt, at most CHUNKS[-1] tokens at places from `start`
        on. With `hidden_alone`, what logits are computed from, [1, width]."""
        if self._deterministic:
            return self._read_by_rows(tokens, start, pages, hidden_alone, adapter)
        count = next(size for size in CHUNKS if size >= len(tokens))
        missing = count - len(tokens)
        places = range(start, start + len(tokens))
        given = (
            torch.tensor([[*tokens, *[0] * missing]]),
            torch.tensor([[*places, *[0] * missing]]),
            torch.tensor(
                [pages[k // self.page] * self.page + k % self.page for k in places] + [0] * missing,
                dtype=torch.int32,
            ),
            self._tables([pages]),
            torch.tensor([start + len(tokens)], dtype=torch.int32),
            torch.tensor([start], dtype=torch.int32),
            torch.tensor([len(tokens) - 1]),
        )
        ids = self._ids([adapter] * len(tokens), count)
        return self._run("embed" if hidden_alone else "read", count, given, ids)

    def _read_by_rows(
        self, tokens: Sequence[int], start: int, pages: Sequence[int], hidden_alone: bool, adapter: int
    ) -> torch.Tensor:
        logits = torch.empty(0)
        for first in range(0, len(tokens), DECODING[-1]):
            piece = tokens[first : first + DECODING[-1]]
            rows = [Row(token, start + first + k + 1, pages) for k, token in enumerate(piece)]
            given = self._of_rows(rows, DECODING[-1])
            kind = "embed rows" if hidden_alone else "rows"
            ids = self._ids([adapter] * len(piece), DECODING[-1])
            logits = self._run(kind, DECODING[-1], (*given, torch.tensor([len(piece) - 1])), ids)
        return logits

    def _tables(self, pages: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor([[*own, *[0] * (self.most_pages - len(own))] for own in pages], dtype=torch.int32)

    def _run(
        self, kind: str, size: int, given: tuple[torch.Tensor, ...], ids: torch.Tensor | None
    ) -> torch.Tensor:
        step = self._steps[kind]
        if ids is not None:
            given, step = (ids, *given), self._adapted(kind)
        program = self._known.get((kind, size))
        if program is None:
            program = capture_with_state(step, self._state, *given)
            program.forget_examples()
            self._known[kind, size] = program
        return program(*given)

    def _adapted(self, kind: str) -> Callable[..., torch.Tensor]:
        """A step whose first input says which adapter each row has."""

        def step(ids: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
            self._adapters = ids
            return self._steps[kind](*given)

        return step

    def _hidden(self, *given: torch.Tensor) -> torch.Tensor:
        return self._step(*given, hidden_alone=True)

    def _rows(self, *given: torch.Tensor) -> torch.Tensor:
        return self._step(*given[:-1], rows=given[-1])

    def _hidden_rows(self, *given: torch.Tensor) -> torch.Tensor:
        return self._step(*given[:-1], rows=given[-1], hidden_alone=True)

    def _step(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        slots: torch.Tensor,
        tables: torch.Tensor,
        lengths: torch.Tensor,
        starts: torch.Tensor | None = None,
        rows: torch.Tensor | None = None,
        hidden_alone: bool = False,
    ) -> torch.Tensor:
        step = Step(self._cache, slots, tables, lengths, starts, self._adapters)
        return self._model.logits(tokens, positions, step, rows, hidden_alone)
