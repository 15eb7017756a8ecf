"""What the verbs of `anychip tune` share: options, and PyTorch with a number of threads."""

from __future__ import annotations

from typing import Annotated

import typer

from .needs import require_packages

Threads = Annotated[int, typer.Option(min=0, help="Threads (0: PyTorch's default).")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def prepare(threads: int) -> None:
    """Set PyTorch's number of threads (0: as it is). Raises MissingPackage without PyTorch."""
    require_packages("tune")
    import torch

    if threads:
        torch.set_num_threads(threads)
