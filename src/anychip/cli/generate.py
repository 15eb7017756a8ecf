"""`anychip generate` and `anychip chat`: a language model from a file, on the chip at hand.

Flows in: a model and a prompt, or what a user types. Flows out: the text as it is written, or JSON with text,
tokens and rates.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import messages, progress, write_json
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from ..serve.loading import Served

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A GGUF file, or a folder of safetensors.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")]
Context = Annotated[int | None, typer.Option(min=2, help="Tokens of context (default: up to 4,096).")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]
Cache = Annotated[str, typer.Option(help="What keys and values are kept in: f32, bf16, f16 or int8.")]

Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", help="The same bits, however a prompt is cut and whatever else is served."
    ),
]

LookUp = Annotated[
    int, typer.Option(min=0, max=15, help="Tokens guessed from what was said before, where that is faster.")
]

DraftModel = Annotated[
    Path | None,
    typer.Option("--draft", metavar="MODEL", help="A smaller model that guesses, where that is faster."),
]
Drafted = Annotated[
    int, typer.Option("--draft-tokens", min=1, max=15, help="Tokens that it guesses at most.")
]


def generate(
    model: Model,
    prompt: Annotated[str, typer.Option(help="The text to go on with, as it is, without a template.")],
    max_tokens: MaxTokens = 128,
    temperature: Temperature = 0.0,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest tokens of this share.")] = 1.0,
    seed: Seed = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Do not end at an end token.")] = False,
    context: Context = None,
    cache: Cache = "f16",
    deterministic: Deterministic = False,
    look_up: LookUp = 0,
    draft: DraftModel = None,
    drafted: Drafted = 4,
    as_json: AsJson = False,
) -> None:
    """Go on with a text. With --json: text, tokens, finish_reason and tokens per second."""
    served = _load("generate", model, context, cache, as_json, deterministic, look_up, draft, drafted)
    from ..serve.requests import Request, Sampling

    asked = Request(
        served.tokenizer.completion_prompt(prompt),
        max_tokens,
        Sampling(temperature, top_p, seed=seed),
        ignore_eos=ignore_eos,
    )
    answer = _answer(served, asked, shown=not as_json)
    served.engine.close()
    if as_json:
        write_json(answer)
    else:
        messages.print(
            f"{len(answer['tokens'])} tokens ({answer['finish_reason']}): prompt "
            f"{answer['prompt_tokens_per_second']:.1f} tokens/s, answer "
            f"{answer['decode_tokens_per_second']:.1f} tokens/s"
        )


def chat(
    model: Model,
    system: Annotated[str, typer.Option(help="What the model is told before the conversation.")] = "",
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.7,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest tokens of this share.")] = 0.95,
    seed: Seed = None,
    context: Context = None,
    cache: Cache = "f16",
    as_json: AsJson = False,
) -> None:
    """Talk with a model by its own chat template. An empty line or ctrl-D ends the conversation; with --json
    the answers are written then."""
    served = _load("chat", model, context, cache, as_json)
    from ..serve.requests import Request, Sampling

    said: list[dict[str, str]] = [{"role": "system", "content": system}] if system else []
    sampling = Sampling(temperature, top_p, seed=seed)
    answers: list[dict[str, Any]] = []
    while text := _typed():
        said.append({"role": "user", "content": text})
        asked = Request(served.tokenizer.chat_prompt(said), max_tokens, sampling)
        answers.append(_answer(served, asked, shown=not as_json))
        said.append({"role": "assistant", "content": answers[-1]["text"]})
    served.engine.close()
    if as_json:
        write_json(answers)


def _load(
    verb: str,
    model: Path,
    context: int | None,
    cache: str,
    quiet: bool,
    deterministic: bool = False,
    look_up: int = 0,
    draft: Path | None = None,
    drafted: int = 4,
) -> Served:
    require_packages(verb)
    from ..serve.loading import Room, load

    with progress(quiet=quiet) as display:
        task = display.add_task(f"loading {model.name}", total=None)
        room = Room(
            context, cache=cache, deterministic=deterministic, guessed=look_up, draft=draft, drafted=drafted
        )
        return load(model, room, lambda done, of: display.update(task, completed=done, total=of))


def _typed() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""


def _answer(served: Served, asked: Any, shown: bool) -> dict[str, Any]:
    """The answer to a request, written to standard output as it comes if it is to be shown."""
    from ..serve.engine import events
    from ..serve.requests import TokenEvent

    tokens: list[int] = []
    pieces: list[str] = []
    data: dict[str, Any] = {}
    for event in events(served.engine, asked):
        pieces.append(event.text)
        if shown:
            sys.stdout.write(event.text)
            sys.stdout.flush()
        if isinstance(event, TokenEvent):
            tokens.append(event.token)
            continue
        if event.error is not None:
            raise event.error
        timing, usage = event.timing, event.usage
        decoding, reading = timing.last_token - timing.first_token, timing.first_token - timing.started
        data = {
            "text": "".join(pieces),
            "tokens": tokens,
            "finish_reason": event.reason.value,
            "prompt_tokens": usage.prompt_tokens,
            "prompt_tokens_per_second": (usage.prompt_tokens - usage.cached_tokens) / reading,
            "decode_tokens_per_second": (len(tokens) - 1) / decoding if decoding else 0.0,
        }
    if shown:
        sys.stdout.write("\n")
    return data


VERBS = {"generate": generate, "chat": chat}
