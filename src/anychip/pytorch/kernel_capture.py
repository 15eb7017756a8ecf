"""A Triton kernel by itself as a Program: one launch, whose outputs are the tensors that the kernel writes.

In: a kernel, its grid and example arguments. Out: a Program that takes the tensors which the kernel reads,
by name, and returns those which it writes, in memory of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..compiler.analysis.arguments import argument_effects
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..runtime import launches
from .capture import capture
from .errors import CaptureError
from .program import Program


def capture_kernel(kernel: Any, grid: Any, arguments: Mapping[str, Any]) -> Program:
    """Record `kernel[grid](**arguments)` as a Program.

    Of a tensor that the kernel both reads and writes the Program takes the content before and returns the
    content after; what a kernel leaves unwritten of a tensor that it only writes is undefined. Raises
    CaptureError for a kernel that writes nothing, and like `capture`.
    """
    name = kernel.__name__
    given = {key: value for key, value in arguments.items() if isinstance(value, torch.Tensor)}
    read, written = _effects(kernel, grid, arguments)
    if not written:
        raise CaptureError(f"{name}: the kernel writes into none of its tensors ({', '.join(given)})")

    def launched(**tensors: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        results = {
            key: tensors[key].clone() if key in read else torch.empty_like(given[key]) for key in written
        }
        kernel[grid](**{**arguments, **tensors, **results})
        return next(iter(results.values())) if len(results) == 1 else list(results.values())

    launched.__name__ = name
    return capture(launched, **{key: given[key] for key in read})


def _effects(kernel: Any, grid: Any, arguments: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The tensors that one launch reads, and that it writes, by name; it runs on copies of them."""
    copies = {
        key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in arguments.items()
    }
    with launches.record() as seen:
        kernel[grid](**copies)
    if len(seen) != 1 or seen[0].origin is None:
        raise CaptureError(f"{kernel.__name__}: the grid {grid} launches nothing")
    module = parse(seen[0].origin.ttir())
    inline_calls(module)
    effects = argument_effects(module.kernel)
    slots = {id(argument): slot for slot, argument in seen[0].pointers}
    names = {
        key: slots[id(value)]
        for key, value in copies.items()
        if isinstance(value, torch.Tensor) and id(value) in slots
    }
    read = [key for key, slot in names.items() if slot in effects.read]
    return read, [key for key, slot in names.items() if slot in effects.written]
