"""What the verbs of `anychip bench` share: options, formats, and the machine made ready to be measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import CommandError, did_you_mean
from ..needs import require_packages

FORMATS = ("table", "json", "csv", "markdown")

Output = Annotated[str, typer.Option("-o", "--output", help=f"Write {', '.join(FORMATS)}.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads for every candidate (0: PyTorch's default).")]
Seconds = Annotated[float, typer.Option(min=0.05, help="How long to measure each row.")]
Peers = Annotated[
    list[str] | None, typer.Option("--peer", help="Also inductor, onnxruntime, jax or all (repeatable).")
]
CpuTime = Annotated[
    bool,
    typer.Option("--cpu-time", help="Count the processor's time for this process: for busy machines."),
]


def chosen_format(
    output_format: str, as_json: bool, default: str = "table", formats: Sequence[str] = FORMATS
) -> str:
    """The format that `-o` names, or JSON where `--json` asks for it. Raises CommandError for what is no
    format, and for `--json` beside another one than a verb's default."""
    if output_format not in formats:
        raise CommandError(
            f"-o {output_format}: the formats are {', '.join(formats)}.", did_you_mean(output_format, formats)
        )
    if as_json and output_format not in (default, "json"):
        raise CommandError(f"--json and -o {output_format} exclude each other.")
    return "json" if as_json else output_format


def prepare(threads: int) -> None:
    """Keep freed memory, and set PyTorch's number of threads (0: as it is). Raises MissingPackage."""
    require_packages("bench")
    import torch

    from ...bench.measure import keep_memory

    keep_memory()
    if threads:
        torch.set_num_threads(threads)


def thread_count() -> int:
    """How many threads PyTorch uses, and so do we."""
    import torch

    return torch.get_num_threads()


def command() -> str:
    """The command line, without the files that it writes and without this machine's folders."""
    words = iter(sys.argv[1:])
    kept = ["anychip"]
    for word in words:
        if word in ("--save", "--plot"):
            next(words, None)
        else:
            kept.append(Path(word).name if word.startswith("/") else word)
    return " ".join(kept)
