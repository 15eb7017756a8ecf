"""What a launch has to do: operations and bytes, from the kernel's TTIR and the integers it was given.

Operations are floating-point ones, and those of integer matrix products. Bytes are what loads and stores
ask for, masked lanes included and caches aside. Both are counted by program instance, loops followed; None
where that depends on memory."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from ..compiler.analysis.operations import operations, own_operations
from ..compiler.ir.core import Func, Op, Value
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..compiler.ir.types import ScalarType
from ..errors import AnychipError

_LOADS = frozenset({"tt.load", "tt.descriptor_load", "tt.descriptor_gather"})
_STORES = {"tt.store": 1, "tt.descriptor_store": 1, "tt.descriptor_scatter": -1}
"""Operation -> which operand holds the values."""
_PRODUCTS = ("tt.dot", "tt.dot_scaled")
_ELEMENTS = {"f32": "f32", "f64": "f64", "bf16": "bf16", "f16": "f16", "i8": "i8"}


Integers = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Of one launch; None where nobody can tell. `element` is the type in which the products or the other
    operations are done."""

    operations: int | None
    bytes: int | None
    element: str


class KernelWork:
    """One kernel by its TTIR, whose launches are counted."""

    def __init__(self, ttir: str) -> None:
        module = parse(ttir)
        inline_calls(module)
        self._func: Func = module.kernel
        self.element = _element(self._func)
        self.of = functools.lru_cache(maxsize=4096)(self._count)
        """The work of a launch with these integers and grid."""

    def integers(self, slots: tuple[int, ...]) -> Integers:
        """Position and value of each integer among the slots; addresses do not matter."""
        return tuple(
            (number, _signed(slot, value.type.bits))
            for number, (value, slot) in enumerate(zip(self._func.args, slots))
            if isinstance(value.type, ScalarType) and not value.type.is_float
        )

    def _count(self, integers: Integers, grid: tuple[int, int, int]) -> Work:
        known = dict(integers)
        return Work(
            operations(self._func, known, grid, _operations),
            operations(self._func, known, grid, _bytes),
            self.element,
        )


@functools.lru_cache(maxsize=512)
def kernel_work(ttir: str) -> KernelWork | None:
    """The counter of a kernel, None where its TTIR cannot be read."""
    try:
        return KernelWork(ttir)
    except AnychipError:
        return None


def _operations(op: Op) -> int:
    """As for floating-point operations, products of integers too."""
    if op.name in _PRODUCTS:
        return 2 * math.prod(op.result.shape) * op.operands[0].shape[-1]
    return own_operations(op)


def _bytes(op: Op) -> int:
    if op.name in _LOADS:
        return _size(op.result)
    if op.name in _STORES:
        return _size(op.operands[_STORES[op.name]])
    if op.name.startswith("tt.atomic_"):
        return 2 * _size(op.result)
    return 0


def _size(value: Value) -> int:
    element = value.element
    bits = element.bits if isinstance(element, ScalarType) else 64
    return math.prod(value.shape) * max(8, bits) // 8


def _element(func: Func) -> str:
    """The type of products where there are any, else of the first floating-point result."""
    found = ""
    for op in func.body.walk():
        if op.name in _PRODUCTS:
            return _ELEMENTS.get(str(op.operands[0].element), "f32")
        if not found and op.results:
            found = _ELEMENTS.get(str(op.results[0].element), "") if op.name.startswith("arith.") else ""
    return found if found.startswith(("f", "bf")) else "f32"


def _signed(bits: int, width: int) -> int:
    value = bits & ((1 << width) - 1)
    return value - (1 << width) if width > 1 and value >> (width - 1) else value
