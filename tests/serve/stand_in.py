"""A stand-in for a model: the next token depends on all tokens before it, as the cache's pages hold them."""

from __future__ import annotations

import torch

from anychip.serve.programs import CHUNKS

VOCABULARY, PAGE = 64, 4


def following(tokens: list[int]) -> int:
    """The token after these: any function of all of them in order."""
    total = 7
    for token in tokens:
        total = (total * 31 + token + 1) % 1_000_003
    return total % VOCABULARY


def continued(prompt: list[int], count: int) -> list[int]:
    """What a model alone would answer."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(following(tokens))
    return tokens[len(prompt) :]


class Steps:
    """Keeps tokens in pages and reads them back, so that a page that is used twice shows."""

    def __init__(self, pages: int):
        self.memory = [[-1] * PAGE for _ in range(pages + 1)]
        self.sizes: list[tuple[str, int]] = []
        self.read_tokens = 0
        self.fails_at = -1

    def decode(self, rows) -> torch.Tensor:
        self.sizes.append(("decode", len(rows)))
        if len(self.sizes) == self.fails_at:
            raise RuntimeError("a step fails")
        return torch.stack([self._after([row.token], row.length - 1, row.pages) for row in rows])

    def read(self, tokens, start: int, pages, hidden_alone: bool = False, adapter: int = 0) -> torch.Tensor:
        assert len(tokens) <= CHUNKS[-1]
        self.sizes.append(("read", len(tokens)))
        self.read_tokens += len(tokens)
        return self._after(tokens, start, pages)[None]

    def _after(self, tokens, start: int, pages) -> torch.Tensor:
        for k, token in enumerate(tokens, start):
            self.memory[pages[k // PAGE]][k % PAGE] = token
        held = [self.memory[pages[k // PAGE]][k % PAGE] for k in range(start + len(tokens))]
        assert -1 not in held
        return self.logits(held)

    def logits(self, held: list[int]) -> torch.Tensor:
        """After these tokens."""
        logits = torch.zeros(VOCABULARY)
        logits[following(held)] = 1.0
        return logits
