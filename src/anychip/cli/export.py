"""`anychip export`: a C library of a function, a recorded Program, a saved model or a language model, for
another chip.

Flows in: FILE.py:NAME, a model saved by `torch.export` or a GGUF file, and a chip. Flows out: a folder with
the library, and a table of its sizes; with --check, the example's run under the chip's emulator.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import messages, output, progress, table, write_json
from .errors import CommandError
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from ..edge.export import Library


def export(
    subject: Annotated[
        str,
        typer.Argument(
            help="FILE.py:NAME, a function or module to capture with the arguments that the file's "
            "example_inputs() returns, a kernel whose grid and arguments by name the file's example_launch() "
            "returns, or a function without parameters that returns a Program; or MODEL.pt2; or a language "
            "model, MODEL.gguf or a folder of safetensors, whose library decodes token by token."
        ),
    ],
    chip: Annotated[str, typer.Option(help="A chip, or a target such as cortex-m55.")],
    directory: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    name: Annotated[str, typer.Option(help="Prefix of the C names.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Run the example and compare with PyTorch.")] = False,
    embed_weights: Annotated[
        bool | None,
        typer.Option("--embed-weights/--separate-weights", help="Weights in the library, or beside it."),
    ] = None,
    watchdog: Annotated[
        bool,
        typer.Option("--watchdog", help="Add functions by which a timer stops a robot whose program stalls."),
    ] = False,
    context: Annotated[
        int | None, typer.Option(min=1, help="Language models: tokens that the cache holds (up to 512).")
    ] = None,
    cache: Annotated[
        str | None, typer.Option(help="Language models: f32, bf16 or f16 (default) in the cache.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Language models: what the example continues by 32 tokens.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a C library for a chip that runs no Python: no allocation, no operating system needed.

    Nothing is written when the chip is unknown or cannot run the subject. Exit status 1 if the check fails.
    """
    is_model = subject.endswith(".gguf") or Path(subject).is_dir()
    require_packages("export MODEL.gguf" if is_model else "export")
    from ..compiler.foreign.routes import resolve
    from ..compiler.targets import Target
    from ..edge import folder
    from ..edge.check import check as run_check
    from ..edge.check import require_core
    from ..pytorch.loading import load_program

    target = resolve(chip)
    folder.require_free(directory)
    if check and isinstance(target, Target):
        require_core(target)
    decoding = {"context_length": context, "cache": cache, "prompt": prompt}
    decoding = {option: value for option, value in decoding.items() if value is not None}
    if is_model:
        if watchdog:
            raise CommandError("--watchdog is for programs of robots, not for language models.")
        library = _language_model(Path(subject), chip, directory, decoding, name, embed_weights, as_json)
    elif decoding:
        raise CommandError(
            f"{subject} is no language model, and --context, --cache and --prompt are for these.",
            "Leave them out, or name a GGUF file.",
        )
    else:
        library = load_program(subject).export(
            chip, directory, name=name or None, embed_weights=embed_weights, watchdog=watchdog
        )
    checked = run_check(directory) if check else None
    if as_json:
        result: dict[str, Any] = {"directory": str(directory), "report": library.report}
        if checked is not None:
            result["check"] = {"emulator": checked.emulator, "differences": checked.differences}
        write_json(result)
        return
    _show(library, chip)
    messages.print(f"Written to {directory}")
    if checked is not None:
        source = "this machine's" if is_model else "PyTorch"
        for tensor, relative in checked.differences.items():
            output.print(
                f"{tensor}: {relative:.1e} of the largest element from {source} ({checked.emulator})"
            )


def _language_model(
    path: Path,
    chip: str,
    directory: Path,
    options: dict[str, Any],
    name: str,
    embed_weights: bool | None,
    quiet: bool,
) -> Library:
    from ..serve.export import Decoding, export_model

    with progress(quiet=quiet) as display:
        task = display.add_task(f"loading {path.name}", total=None)
        return export_model(
            path,
            chip,
            directory,
            Decoding(**options),
            name=name,
            embed_weights=embed_weights,
            progress=lambda done, of: display.update(task, completed=done, total=of),
        )


def _show(library: Library, chip: str) -> None:
    """The report as tables."""
    from ..edge.report import rows

    output.print(table(("", ("", "right")), rows(library.report), title=f"{library.name} for {chip}"))
    kernels = [
        (
            row["kernel"],
            row["launches"],
            row["code_bytes"],
            row["stack_bytes"],
            "" if row["flops"] is None else row["flops"],
            row["bytes_moved"],
        )
        for row in library.report["kernels"]
    ]
    numbers = [(text, "right") for text in ("launches", "code bytes", "stack", "flops", "bytes moved")]
    output.print(table(("kernel", *numbers), kernels))
    needed = sorted(symbol for kind in library.report["undefined_symbols"].values() for symbol in kind)
    output.print(f"Needs from elsewhere: {', '.join(needed) or 'nothing'}.")


VERBS = {"export": export}
