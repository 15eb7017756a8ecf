"""`anychip debug reduce`: the smallest kernel that still fails.

Flows in: `FILE.py:KERNEL` that does not compile, or a command that shows its fault. Flows out: a small file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import messages, write_json
from ..errors import CommandError
from ..options import AsJson


def reduce(
    kernel: Annotated[str, typer.Argument(metavar="FILE.py:KERNEL", help="The kernel with the fault.")],
    test: Annotated[
        str, typer.Option(metavar="COMMAND", help="Ends with status 0 for a file ({}) that shows the fault.")
    ] = "",
    target: Annotated[str, typer.Option(help="What it fails to compile for.")] = "host",
    sig: Annotated[list[str] | None, typer.Option(metavar="NAME=TYPE", help="As for `explain`.")] = None,
    const: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="As for `explain`.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="[FILE.reduced.py]")] = None,
    as_json: AsJson = False,
) -> None:
    """Shrink a kernel that fails to compile, or computes wrongly, to the smallest that still does.

    Without --test, the compiler's error must stay the same; with it, the command decides, so that a wrong
    result can be one: a script that imports the file, runs the kernel, and ends with 0 where the result is
    wrong."""
    from ...debug import reducing, same_fault

    name, colon, function = kernel.rpartition(":")
    if not colon:
        raise CommandError(f"{kernel!r} names no kernel.", "Write FILE.py:KERNEL.")
    file = Path(name)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
    shows = (
        same_fault.by_command(test)
        if test
        else same_fault.compile_error(text, function, sig or [], const or [], target)
    )
    with messages.status("asking about smaller kernels"):
        found = reducing.reduce(text, function, shows)
    written = out or file.with_suffix(".reduced.py")
    written.write_text(found.text, encoding="utf-8")
    lines = len(found.text.splitlines())
    if as_json:
        write_json(
            {
                "written": str(written),
                "lines": lines,
                "questions": found.questions,
                "unfinished": found.unfinished,
            }
        )
        return
    messages.print(f"wrote {written}: {lines} lines, after {found.questions} questions")
    if found.unfinished:
        messages.print("it may be smaller still: reduce the written file again")
