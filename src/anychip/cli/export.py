"""`anychip export`: a C library of a function, a recorded Program or a saved model, for another chip.

Flows in: FILE.py:NAME or a model saved by `torch.export`, and a chip. Flows out: a folder with the library,
and a table of its sizes; with --check, the example's run under the chip's emulator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import messages, output, table, write_json
from .needs import require_packages
from .options import AsJson


def export(
    subject: Annotated[
        str,
        typer.Argument(
            help="FILE.py:NAME, a function or module to capture with the arguments that the file's "
            "example_inputs() returns, a kernel whose grid and arguments by name the file's example_launch() "
            "returns, or a function without parameters that returns a Program; or MODEL.pt2."
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
    as_json: AsJson = False,
) -> None:
    """Write a C library for a chip that runs no Python: no allocation, no operating system needed.

    Nothing is written when the chip is unknown or cannot run the subject. Exit status 1 if the check fails.
    """
    require_packages("export")
    from ..compiler.foreign.routes import resolve
    from ..compiler.targets import Target
    from ..edge import folder
    from ..edge.check import check as run_check
    from ..edge.check import require_core
    from ..edge.report import rows
    from ..pytorch.loading import load_program

    target = resolve(chip)
    folder.require_free(directory)
    if check and isinstance(target, Target):
        require_core(target)
    program = load_program(subject)
    library = program.export(
        chip, directory, name=name or None, embed_weights=embed_weights, watchdog=watchdog
    )
    checked = run_check(directory) if check else None
    if as_json:
        result: dict[str, Any] = {"directory": str(directory), "report": library.report}
        if checked is not None:
            result["check"] = {"emulator": checked.emulator, "differences": checked.differences}
        write_json(result)
        return
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
    messages.print(f"Written to {directory}")
    if checked is not None:
        for tensor, relative in checked.differences.items():
            output.print(f"{tensor}: {relative:.1e} of the largest element from PyTorch ({checked.emulator})")


VERBS = {"export": export}
