"""What a model loses by a cache of fewer bits: a text is read piece by piece, and what the model expects
after each token is compared with what it expects with a cache of float32.

    python -m tools.serving.caches MODEL.gguf TEXT [--tokens 384]

Prints, for each type of cache: bytes of a token, the mean Kullback-Leibler divergence in nats, and the share
of places where the likeliest token is another.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from anychip.serve.gguf_file import GgufFile
from anychip.serve.loading import CACHES, PAGE
from anychip.serve.model import ServedModel, from_gguf
from anychip.serve.modules import Step
from anychip.serve.tokenizer import from_gguf as tokenizer_of

PIECE = 128
"""Tokens of a piece."""


def expected(model: ServedModel, tokens: list[int], kind: torch.dtype) -> tuple[torch.Tensor, int]:
    """Logarithms of probabilities [tokens, vocabulary] float64, and the cache's bytes of a token."""
    count = -(-len(tokens) // PAGE)
    pages = model.pages(count + 1, PAGE, kind)
    tables = torch.arange(1, count + 1, dtype=torch.int32)[None]
    found = []
    with torch.no_grad():
        for first in range(0, len(tokens), PIECE):
            piece = tokens[first : first + PIECE]
            places = torch.arange(first, first + len(piece))
            lengths = torch.tensor([first + len(piece)], dtype=torch.int32)
            starts = torch.tensor([first], dtype=torch.int32)
            step = Step(pages, (places + PAGE).int(), tables, lengths, starts)
            found.append(model.logits(torch.tensor([piece]), places[None], step, None))
    size = sum(x.nbytes for layer in pages for x in layer) // ((count + 1) * PAGE)
    return torch.cat(found).double().log_softmax(-1), size


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=384)
    given = parser.parse_args()
    file = GgufFile(given.model)
    model = from_gguf(file)
    tokens = list(tokenizer_of(file).completion_prompt(given.text.read_text(encoding="utf-8")))
    tokens = tokens[: given.tokens]
    wanted, _ = expected(model, tokens, torch.float32)
    for name, kind in CACHES.items():
        got, size = expected(model, tokens, kind)
        divergence = (wanted.exp() * (wanted - got)).sum(-1).mean()
        other = (wanted.argmax(-1) != got.argmax(-1)).double().mean()
        print(f"{name}: {size} bytes a token, {divergence:.2e} nats, {other:.2%} of {len(tokens)} places")


if __name__ == "__main__":
    main()
