"""Steps of a model as Programs: each size of step is captured once and replayed by one native call from then
on. Flows in: tokens, positions, places in the cache. Flows out: logits."""

from __future__ import annotations

from collections.abc import Sequence
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
    """One sequence in a decoding step: its newest token, how many tokens it has with it, its pages."""

    token: int
    length: int
    pages: Sequence[int]


class Programs:
    """The steps of one model over one cache of `pages` pages of `page` tokens, page 0 for padding,
    `most_pages` of them a sequence at most."""

    def __init__(self, model: ServedModel, pages: int, page: int, most_pages: int, dtype: torch.dtype):
        self.page, self.most_pages = page, most_pages
        self._model = model
        self._cache = model.pages(pages, page, dtype)
        self._state = [x for layer in self._cache for x in layer]
        self._known: dict[tuple[str, int], Program] = {}

    @property
    def cache_bytes(self) -> int:
        """Memory of the cache."""
        return sum(x.nbytes for x in self._state)

    def decode(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits [rows, vocabulary] after the newest token of each sequence, which the cache then holds."""
        count = next(size for size in DECODING if size >= len(rows))
        padding = [Row(0, 1, (0,))] * (count - len(rows))
        every = [*rows, *padding]
        places = [(row.pages[(row.length - 1) // self.page], (row.length - 1) % self.page) for row in every]
        given = (
            torch.tensor([[row.token] for row in every]),
            torch.tensor([[row.length - 1] for row in every]),
            torch.tensor([page * self.page + place for page, place in places], dtype=torch.int32),
            self._tables([row.pages for row in every]),
            torch.tensor([row.length for row in every], dtype=torch.int32),
        )
        return self._run("decode", count, given)[: len(rows)]

    def read(self, tokens: Sequence[int], start: int, pages: Sequence[int]) -> torch.Tensor:
        """Logits [1, vocabulary] after a piece of a prompt, at most CHUNKS[-1] tokens at places from `start`
        on."""
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
        return self._run("read", count, given)

    def _tables(self, pages: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor([[*own, *[0] * (self.most_pages - len(own))] for own in pages], dtype=torch.int32)

    def _run(self, kind: str, size: int, given: tuple[torch.Tensor, ...]) -> torch.Tensor:
        program = self._known.get((kind, size))
        if program is None:
            program = capture_with_state(self._step, self._state, *given)
            program.forget_examples()
            self._known[kind, size] = program
        return program(*given)

    def _step(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        slots: torch.Tensor,
        tables: torch.Tensor,
        lengths: torch.Tensor,
        starts: torch.Tensor | None = None,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self._model.logits(tokens, positions, Step(self._cache, slots, tables, lengths, starts), rows)
