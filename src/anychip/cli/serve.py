"""`anychip serve`: a language model from a file behind OpenAI's HTTP interface.

Flows in: a model, an address, limits. Flows out: the memory plan and the address, then answers until a signal
comes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import messages, progress, write_json
from .errors import CommandError
from .generate import Cache, Context, Deterministic, Drafted, DraftModel, LookUp, Model
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from ..serve.loading import Served

LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEY = "ANYCHIP_API_KEY"
CONTEXTS = 8
"""Whole contexts that the cache holds, where nobody says."""


def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Where to listen; this machine alone by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    name: Annotated[str, typer.Option(help="What the model is called (default: as its file).")] = "",
    api_key: Annotated[
        str,
        typer.Option(envvar=KEY, show_envvar=True, help="What clients must show. Other users see arguments."),
    ] = "",
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same from the first line of a file.")
    ] = None,
    context: Context = None,
    cache: Cache = "f16",
    cache_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens that the cache holds (default: 8 contexts).")
    ] = None,
    running: Annotated[int, typer.Option(min=1, max=32, help="Answers side by side at most.")] = 32,
    waiting: Annotated[
        int, typer.Option(min=1, help="Requests that wait at most; more get status 429.")
    ] = 256,
    body_bytes: Annotated[int, typer.Option(min=1, help="Bytes of a request at most (status 413).")] = 4
    << 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time of a request at most (status 503).")] = 600.0,
    drain_seconds: Annotated[
        float, typer.Option(min=0.0, help="Time that answers under way get after SIGTERM.")
    ] = 30.0,
    deterministic: Deterministic = False,
    look_up: LookUp = 0,
    draft: DraftModel = None,
    drafted: Drafted = 4,
    lora: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="An adapter as peft saves it, asked for as model NAME."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve a model by OpenAI's HTTP interface until ctrl-C or SIGTERM. With --json: the plan and the
    address, once connections are taken."""
    require_packages("serve")
    key = _key(api_key, api_key_file)
    if host not in LOOPBACK and not key:
        messages.print(f"[yellow]{host} is reached from other machines, and no key is asked for.[/yellow]")
    from ..serve.http.guard import Bounds
    from ..serve.http.run import Address
    from ..serve.http.run import serve as run
    from ..serve.loading import Room, load

    adapters = _adapters(lora or [])
    room = Room(
        context,
        cache_tokens,
        CONTEXTS,
        cache,
        running,
        waiting,
        deterministic,
        look_up,
        adapters,
        draft,
        drafted,
    )
    with progress(quiet=as_json) as display:
        task = display.add_task(f"loading {model.name}", total=None)
        served = load(
            model,
            room,
            lambda done, of: display.update(task, completed=done, total=of),
            name,
        )
    bounds = Bounds(key, body_bytes, seconds, running + waiting)
    run(served, bounds, Address(host, port, drain_seconds), lambda url: _tell(served, url, cache, as_json))


def _key(given: str, file: Path | None) -> str:
    if file is None:
        return given
    try:
        key = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--api-key-file {file}: {error}") from None
    if not key:
        raise CommandError(f"--api-key-file {file}: its first line is empty.")
    return key


def _adapters(given: list[str]) -> dict[str, Path]:
    """Folders by name out of NAME=FOLDER."""
    found: dict[str, Path] = {}
    for one in given:
        name, _, folder = one.partition("=")
        if not name or not folder or name in found:
            raise CommandError(f"--lora {one}: expected NAME=FOLDER, each name once.")
        found[name] = Path(folder)
    return found


def _tell(served: Served, url: str, cache: str, as_json: bool) -> None:
    """The memory plan and the address."""
    plan: dict[str, Any] = {
        "url": f"{url}/v1",
        "model": served.name,
        "adapters": list(served.adapters),
        "pid": os.getpid(),
        "weight_bytes": served.weight_bytes,
        "cache_bytes": served.cache_bytes,
        "cache_tokens": served.cache_tokens,
        "context_length": served.engine.context_length,
    }
    if as_json:
        write_json(plan)
        return
    million = 1e6
    messages.print(
        f"{served.name}: weights {served.weight_bytes / million:,.0f} MB, cache "
        f"{served.cache_bytes / million:,.0f} MB ({served.cache_tokens:,} tokens in {cache}, "
        f"{served.engine.context_length:,} of them a request at most)"
    )
    if served.adapters:
        messages.print(f"adapters: {', '.join(served.adapters)}")
    messages.print(f"serving {plan['url']}")


VERBS = {"serve": serve}
