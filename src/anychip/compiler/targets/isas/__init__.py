"""The instruction sets that code can be made for, one file each: what is true of one is said there alone.

A file's `INSTRUCTION_SET` names its cores and everything that code generation, the runtime and the emulators
must know of them; the file is all that a new instruction set needs.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from ..instruction_set import InstructionSet


@functools.cache
def instruction_sets() -> Mapping[str, InstructionSet]:
    """Every instruction set by name, in the order of the names. LLVM is not asked."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (importlib.import_module(f"{__name__}.{name}").INSTRUCTION_SET for name in modules)
    return MappingProxyType({isa.name: isa for isa in found})
