"""What the verbs of `anychip tune` share: options, PyTorch with a number of threads, the end of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..console import messages
from ..errors import INTERRUPTED
from ..needs import require_packages

if TYPE_CHECKING:
    from ...measurements.database import Database

Threads = Annotated[int, typer.Option(min=0, help="Threads (0: PyTorch's default).")]
BudgetSeconds = Annotated[float, typer.Option("--budget", min=0.1, help="Seconds to search.")]
CpuTime = Annotated[
    bool,
    typer.Option("--cpu-time", help="Count this thread's processor time, on one thread: for busy machines."),
]


def prepare(threads: int) -> None:
    """Set PyTorch's number of threads (0: as it is). Raises MissingPackage without PyTorch."""
    require_packages("tune")
    import torch

    if threads:
        torch.set_num_threads(threads)


def end(interrupted: bool, database: Database) -> None:
    """Say where the results are; after ctrl-C, end with its status."""
    what = "interrupted; what was found until then is kept" if interrupted else "kept"
    messages.print(f"{what} in {database.file}")
    if interrupted:
        raise typer.Exit(INTERRUPTED)
