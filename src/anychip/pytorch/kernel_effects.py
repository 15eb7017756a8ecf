"""What kernels do to the memory behind their pointers, looked up by their source. In: where a launched kernel
came from. Out: the effects on its arguments, kept by what Triton knows the compiled kernel by."""

from __future__ import annotations

from typing import Any

from ..compiler.analysis.arguments import ArgumentEffects, argument_effects
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse


def effects_of(origin: Any) -> ArgumentEffects:
    """The effects of the kernel with an `origin` (see `runtime.launches.Launch`)."""
    key = origin.metadata.hash
    if key not in _known:
        module = parse(origin.ttir())
        inline_calls(module)
        _known[key] = argument_effects(module.kernel)
    return _known[key]


_known: dict[str, ArgumentEffects] = {}
