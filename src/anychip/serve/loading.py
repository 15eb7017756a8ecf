"""From a path to an engine that runs. Flows in: a GGUF file or a folder of safetensors, what may be used of
the machine. Flows out: model, tokenizer and engine, and what memory they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..packages import require
from . import adapters, model, tokenizer
from .draft import Draft
from .errors import ModelError
from .gguf_file import GgufFile
from .local_engine import WAITING, Limits, LocalEngine
from .programs import DECODING, Programs

CACHES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "int8": torch.int8}
"""What the cache may be kept in, by the names that users give."""
PAGE = 32
"""Tokens of a page."""
DEFAULT_CONTEXT = 4096
"""Tokens of context where a user asks for none, if the model has as many."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answers. Bytes are those of weights and of the cache; `adapters` are names in the order of
    the engine's numbers."""

    name: str
    engine: LocalEngine
    tokenizer: tokenizer.Tokenizer
    weight_bytes: int
    cache_bytes: int
    cache_tokens: int
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """What may be used of the machine: `context_length` in tokens of one request (None: the model's, at most
    DEFAULT_CONTEXT), `cache_tokens` in tokens of all (None: of so many `contexts`), kept in `cache`, one of
    CACHES; how many requests may run and wait. `deterministic`: the same bits whatever else is served;
    `guessed`: tokens that prompt look-up guesses at most; `adapters`: folders by the name that requests give
    as their model; `draft`: a smaller model with the same tokens, which guesses `drafted` of them at most."""

    context_length: int | None = None
    cache_tokens: int | None = None
    contexts: int = 1
    cache: str = "f16"
    running: int = DECODING[-1]
    waiting: int = WAITING
    deterministic: bool = False
    guessed: int = 0
    adapters: Mapping[str, Path] = field(default_factory=dict[str, Path])
    draft: Path | None = None
    drafted: int = 4


def load(
    path: Path, room: Room | None = None, progress: model.Progress = lambda done, of: None, name: str = ""
) -> Served:
    """Serve a model under its `name` (its file's by default). Raises ModelError, and MissingPackage."""
    room = room or Room()
    require("serving models", ["torch", "transformers", "tokenizers", "gguf"])
    if room.draft is not None and room.guessed:
        raise ModelError("a draft and prompt look-up guess both.", "Leave one of them out.")
    if room.cache not in CACHES:
        raise ModelError(f"a cache of {room.cache} is not served; {', '.join(CACHES)} are.")
    made, words = _read(path, progress)
    smaller = None if room.draft is None else _draft(room.draft, words, made.vocabulary)
    if room.adapters:
        adapters.attach(made, [adapters.read(one, folder) for one, folder in room.adapters.items()])
    called = name or (path.stem if path.is_file() else path.name)
    if called in room.adapters:
        raise ModelError(f"an adapter is called {called}, as the model is.", "Give one of them another name.")
    context = min(made.context_length, room.context_length or DEFAULT_CONTEXT)
    tokens = max(context, room.cache_tokens or room.contexts * context)
    limits = Limits(context, -(-tokens // PAGE), PAGE, room.running, room.waiting, room.guessed)
    kept = CACHES[room.cache]
    programs = Programs(made, limits.pages + 1, PAGE, limits.most_pages, kept, room.deterministic)
    weight_bytes, cache_bytes, draft = made.weight_bytes, programs.cache_bytes, None
    if smaller is not None:
        own = Programs(smaller, limits.pages + 1, PAGE, limits.most_pages, kept)
        draft = Draft(own, room.drafted)
        weight_bytes, cache_bytes = weight_bytes + smaller.weight_bytes, cache_bytes + own.cache_bytes
    engine = LocalEngine(
        programs, limits, made.vocabulary, words.text, words.end_tokens, made.adapters, draft
    )
    names, tokens = tuple(room.adapters), limits.pages * PAGE
    return Served(called, engine, words, weight_bytes, cache_bytes, tokens, names)


def _read(path: Path, progress: model.Progress) -> tuple[model.ServedModel, tokenizer.Tokenizer]:
    if path.is_dir():
        made = model.from_folder(path, progress)
        return made, tokenizer.from_folder(path, made.model.config)
    if path.is_file():
        file = GgufFile(path)
        return model.from_gguf(file, progress), tokenizer.from_gguf(file)
    raise ModelError(
        f"{path} is neither a file nor a folder.", "Give a GGUF file or a folder of safetensors."
    )


def _draft(path: Path, words: tokenizer.Tokenizer, vocabulary: int) -> model.ServedModel:
    """A smaller model whose tokens are those of the served one. Raises ModelError."""
    made, own = _read(path, lambda done, of: None)
    known = min(words.vocabulary, own.vocabulary)
    other = next((k for k in range(known) if words.piece(k) != own.piece(k)), None)
    if other is not None or words.vocabulary != own.vocabulary or made.vocabulary > vocabulary:
        told = (
            f"{words.vocabulary} tokens and {own.vocabulary}" if other is None else f"token {other} differs"
        )
        raise ModelError(
            f"{path} cannot be a draft: its tokens are not those of the served model ({told}).",
            "Take a smaller model of the same family.",
        )
    return made
