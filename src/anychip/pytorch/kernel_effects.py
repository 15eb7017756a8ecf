"""What kernels do to the memory behind their pointers, looked up by their source. In: where a launched kernel
came from. Out: the effects on its arguments, kept by the text of its TTIR."""

from __future__ import annotations

import functools
from typing import Any

from ..compiler.analysis.arguments import ArgumentEffects, argument_effects
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse


def effects_of(origin: Any) -> ArgumentEffects:
    """The effects of the kernel with an `origin` (see `runtime.launches.Launch`)."""
    return _effects_of_text(origin.ttir())


@functools.cache
def _effects_of_text(text: str) -> ArgumentEffects:
    module = parse(text)
    inline_calls(module)
    return argument_effects(module.kernel)
