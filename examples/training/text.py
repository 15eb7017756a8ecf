"""Training text: bytes of the repository's sentences, and the windows of each step's global batch, which
depend on seed and step alone, so that every cut of the work and every random stream sees the same."""

from __future__ import annotations

import random
from pathlib import Path

import torch

SENTENCES = Path(__file__).parents[1] / "sentences.txt"


class Windows:
    """Batches of `batch` windows of `length` bytes, each with the bytes that follow."""

    def __init__(self, batch: int, length: int, seed: int, text: Path = SENTENCES):
        data = text.read_bytes()
        self.text = torch.frombuffer(bytearray(data), dtype=torch.uint8).long()
        self.batch = batch
        self.length = length
        self.seed = seed

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and targets of a step, int64 [batch, length] each."""
        draw = random.Random(f"{self.seed}-{step}")
        starts = [draw.randrange(len(self.text) - self.length) for _ in range(self.batch)]
        windows = torch.stack([self.text[start : start + self.length + 1] for start in starts])
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
