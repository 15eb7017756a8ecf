"""A language model as a C library for another chip: one step of decoding as a Program whose cache is memory
of the caller. Flows in: a file of weights, a chip. Flows out: a folder with the library, and an example that
continues a prompt as the model does here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..edge import export as edge
from ..edge import folder
from ..edge.exported import ExportedFunction, Generation, identifier
from ..packages import require
from ..pytorch.capture import capture_with_state
from ..pytorch.export import ExampleCall, exported_function
from ..pytorch.program import Program
from . import model, tokenizer
from .errors import ModelError
from .gguf_file import GgufFile
from .loading import CACHES, PAGE
from .model import ServedModel
from .modules import Step

CONTEXT = 512
"""Tokens that the library's cache holds where nobody says, if the model has as many."""
PROMPT = "The capital of France is"
ANSWER = 32
"""Tokens by which the example continues its prompt."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a library is to be: its cache holds `context_length` tokens (None: CONTEXT, or what the model
    has), in one of CACHES; its example continues `prompt` by `answer` tokens."""

    context_length: int | None = None
    cache: str = "f16"
    prompt: str = PROMPT
    answer: int = ANSWER


def export_model(
    path: Path,
    chip: str,
    directory: Path,
    decoding: Decoding | None = None,
    *,
    name: str = "",
    embed_weights: bool | None = None,
    progress: model.Progress = lambda done, of: None,
) -> edge.Library:
    """Write a library of the model in a GGUF file or a folder of safetensors, under its `name` (the file's by
    default). Raises ModelError, ExportError, UnknownTarget and MissingPackage before a file is written."""
    folder.require_free(directory)
    exported = exported_model(path, decoding or Decoding(), name, progress)
    return edge.export(exported, chip, directory, embed_weights=embed_weights)


def exported_model(
    path: Path,
    decoding: Decoding,
    name: str = "",
    progress: model.Progress = lambda done, of: None,
) -> ExportedFunction:
    """What is exported of the model. Raises like `export_model`."""
    require("exporting language models", ["torch", "transformers", "tokenizers", "gguf"])
    if decoding.cache not in CACHES:
        raise ModelError(f"a cache of {decoding.cache} is not served; {', '.join(CACHES)} are.")
    if path.is_dir():
        made = model.from_folder(path, progress)
        words = tokenizer.from_folder(path, made.model.config)
    elif path.is_file():
        file = GgufFile(path)
        made, words = model.from_gguf(file, progress), tokenizer.from_gguf(file)
    else:
        raise ModelError(f"{path} is neither a file nor a folder.", "Give a GGUF file.")
    return described(made, decoding, words.completion_prompt(decoding.prompt), name or path.stem)


def described(made: ServedModel, decoding: Decoding, prompt: Sequence[int], name: str) -> ExportedFunction:
    """A model in memory as what is exported; `prompt` are the tokens that its example continues. Raises
    ModelError where these do not fit."""
    context = decoding.context_length or min(CONTEXT, made.context_length)
    _require_context(made, context, prompt, decoding.answer)
    cache = made.pages(-(-context // PAGE), PAGE, CACHES[decoding.cache])
    with torch.no_grad():
        program = step_program(made, cache)
        for layer in cache:
            for part in layer:
                part.zero_()
        generation, first = continued(program, prompt, decoding.answer)
    exported = exported_function(program, identifier(name), first, "cache")
    below = {"token": made.vocabulary, "position": context}
    return replace(exported, below=below, generation=generation)


def _require_context(made: ServedModel, asked: int, prompt: Sequence[int], answer: int) -> None:
    most = made.context_length
    if not 1 <= asked <= most:
        raise ModelError(f"a context of {asked} tokens is not served; the model has 1 to {most}.")
    if not prompt or answer < 1:
        raise ModelError("the example needs a prompt, and at least one token to continue it by.")
    steps = len(prompt) + answer - 1
    if steps > asked:
        raise ModelError(
            f"the example's prompt of {len(prompt)} tokens and {answer} more do not fit into a "
            f"context of {asked}.",
            "Export with a longer context, or give a shorter prompt.",
        )


def step_program(made: ServedModel, cache: list[tuple[torch.Tensor, ...]]) -> Program:
    """One step as a Program: `token` and `position` [1] int64 to `logits` [vocabulary] float32 and
    `next_token` [1] int64, the likeliest one. Pages of the cache lie in order, so that a token's position is
    its place."""
    table = torch.arange(len(cache[0][0]), dtype=torch.int32)[None]

    def decode(token: torch.Tensor, position: torch.Tensor) -> dict[str, torch.Tensor]:
        step = Step(cache, position, table, position + 1, None)
        logits = made.logits(token.view(1, 1), position.view(1, 1), step, None)
        return {"logits": logits[0], "next_token": logits.argmax(-1)}

    state = [part for layer in cache for part in layer]
    zero = torch.zeros(1, dtype=torch.int64)
    return capture_with_state(decode, state, token=zero, position=zero.clone())


def continued(program: Program, prompt: Sequence[int], count: int) -> tuple[Generation, ExampleCall]:
    """The prompt continued by `count` of the likeliest tokens from a cache of zeros, and the first call."""
    answer: list[int] = []
    calls: list[ExampleCall] = []
    leads: list[float] = []
    for place in range(len(prompt) + count - 1):
        token = prompt[place] if place < len(prompt) else answer[-1]
        given = torch.tensor([token]), torch.tensor([place])
        made = program(token=given[0], position=given[1])
        calls = [*calls[:1], ExampleCall(given, list(made.values()))]
        if place >= len(prompt) - 1:
            answer.append(int(made["next_token"]))
            best, second = made["logits"].topk(2).values.tolist()
            leads.append((best - second) / float(made["logits"].abs().max()))
    logits = calls[-1].results[0].numpy().tobytes()
    return Generation(tuple(prompt), tuple(answer), logits, min(leads)), calls[0]
