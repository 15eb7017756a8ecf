"""Puts options of launches in force: for a context, or for the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .options import LaunchOptions, in_context, launch_options, set_of_process
from .plans import ask_contexts, forget_plans_of_process


@contextmanager
def launching(**changes: Any) -> Iterator[LaunchOptions]:
    """Launches in the block are by the caller's options with `changes`, which are fields of `LaunchOptions`:
    `with launching(tile_class="simt"): ...`. The block plans by itself and its plans go with its options.

    They are of this context (`contextvars`): other threads and other tasks of an event loop do not launch by
    them, unless they run in a copy of the context. A thread that is started in the block launches by the
    process's options, as Python gives it an empty context; so do PyTorch's own, in which backward passes run
    on GPUs.
    """
    chosen = replace(launch_options(), **changes)
    ask_contexts()
    token = in_context.set(chosen)
    try:
        yield chosen
    finally:
        in_context.reset(token)


def set_for_process(**changes: Any) -> None:
    """Change the process's options, by which every thread launches outside of `launching` blocks, threads to
    come included. Operators plan anew. A block keeps the options that it was opened with."""
    if set_of_process(**changes):
        forget_plans_of_process()
