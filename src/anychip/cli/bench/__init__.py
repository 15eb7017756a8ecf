"""`anychip bench`: kernels, operators and models against PyTorch and other peers, in turns, each checked."""

from __future__ import annotations

import typer

from .compiling import compilation
from .figures import figures, model, page
from .kernels import kernels, llm, op, tutorials
from .operators import ops
from .overhead import overhead
from .saved import compare, report
from .scaling import scaling
from .serving import serve

application = typer.Typer(
    help="Time kernels against PyTorch eager and other peers, interleaved and checked.", no_args_is_help=True
)
for name, verb in (
    ("kernels", kernels),
    ("op", op),
    ("llm", llm),
    ("model", model),
    ("compare", compare),
    ("report", report),
    ("tutorials", tutorials),
    ("page", page),
    ("figures", figures),
    ("overhead", overhead),
    ("ops", ops),
    ("scaling", scaling),
    ("serve", serve),
    ("compile", compilation),
):
    application.command(name)(verb)

VERBS = {"bench": application}
