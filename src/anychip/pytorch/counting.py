"""How many floating-point operations the launches of a Program do.

Flows in: a recorded launch, whose origin knows the kernel's TTIR. Flows out: the number, None where it
depends on what is in memory.
"""

from __future__ import annotations

import functools

from ..compiler.analysis.operations import operations
from ..compiler.ir.core import Func
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..compiler.ir.types import ScalarType
from ..runtime.program import RecordedLaunch


def flops(launch: RecordedLaunch) -> int | None:
    """The floating-point operations of a launch, masked lanes included."""
    if launch.origin is None:
        return None
    text = launch.origin.ttir()
    pointers = {pointer.slot for pointer in launch.pointers}
    slots = tuple(0 if k in pointers else value for k, value in enumerate(launch.slots))
    return _counted(text, slots, launch.grid)


@functools.lru_cache(maxsize=64)
def _kernel(text: str) -> Func:
    module = parse(text)
    inline_calls(module)
    return module.kernel


@functools.lru_cache(maxsize=1024)
def _counted(text: str, slots: tuple[int, ...], grid: tuple[int, int, int]) -> int | None:
    func = _kernel(text)
    integers = {}
    for k, (value, slot) in enumerate(zip(func.args, slots)):
        if isinstance(value.type, ScalarType) and not value.type.is_float:
            integers[k] = _signed(slot, value.type.bits)
    return operations(func, integers, grid)


def _signed(bits: int, width: int) -> int:
    """The integer of `width` bits that the lowest bits of a slot are; a truth value stays 0 or 1."""
    value = bits & ((1 << width) - 1)
    return value - (1 << width) if width > 1 and value >> (width - 1) else value
