"""Values of a kernel at a line of its source, for one program instance of a launch.

Flows in: the TTIR of a launch, and a line. Flows out: the same kernel with one more effect: each time that
the program passes the line, the value computed there is stored behind a counter. It is compiled like any
other and runs that one program, on the launch's own memory, which is put back afterwards."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..compiler import pipeline, targets
from ..compiler.analysis.waiting import Waiting
from ..compiler.ir.core import Block, Module, Op, Region, Value
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.insertion import Inserter
from ..compiler.ir.parser import parse
from ..compiler.ir.printer import print_module
from ..compiler.ir.types import BF16, F16, F32, F64, I1, I8, I16, I32, I64, PointerType, ScalarType, TileType
from ..errors import AnychipError
from ..runtime.loader import load
from ..runtime.native.structures import ARENA, CACHE_LINE

MOST_VISITS = 256
"""Values that are kept, the first; later visits are counted."""

_DTYPES: dict[ScalarType, np.dtype[Any]] = {
    I1: np.dtype(np.uint8),
    I8: np.dtype(np.int8),
    I16: np.dtype(np.int16),
    I32: np.dtype(np.int32),
    I64: np.dtype(np.int64),
    F16: np.dtype(np.float16),
    F32: np.dtype(np.float32),
    F64: np.dtype(np.float64),
}


class CannotTrace(AnychipError):
    """There is no value to show at a line, or the kernel cannot run one program alone."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A kernel that tells of a line. `text` is its TTIR, whose last two arguments are the counter and the
    place of values of `type`; `operation` is what computes them, `others` what else the line computes."""

    text: str
    name: str
    operation: str
    type: TileType | ScalarType
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Visits:
    """What was seen: `values` is an array (visits, *shape of the tile), bfloat16 as float32; `passed` how
    often the program passed the line."""

    watched: Watched
    values: np.ndarray[Any, Any]
    passed: int


def watch(ttir: str, line: int, name: str = "") -> Watched:
    """The kernel that stores what `line` computes last, or the value whose name begins with `name`. Of a
    line that stores something it is the stored value. Raises CannotTrace."""
    module = parse(ttir)
    inline_calls(module)
    found = _values_at(module, line)
    chosen = [place for place in found if not name or place[2].name.startswith(name)]
    if not chosen:
        raise CannotTrace(_nothing(module, line, name, [value.name for _, _, value in found]))
    block, index, value = chosen[-1]
    others = tuple(f"%{other.name}: {other.type}" for _, _, other in found if other is not value)
    made_by = value.defining_op
    type_, operation = _stored_type(value), made_by.name if made_by is not None else "an argument"
    _insert(module, block, index, value)
    return Watched(print_module(module), value.name, operation, type_, others)


def run(
    watched: Watched,
    slots: Sequence[int],
    grid: tuple[int, int, int],
    program: tuple[int, int, int],
    owners: Sequence[Any] = (),
) -> Visits:
    """Run one program of a launch with its packed arguments, and give back what it stored. Tensors among
    `owners` are as before afterwards. Raises CannotTrace, and like the compiler."""
    if any(not 0 <= place < extent for place, extent in zip(program, grid)):
        raise CannotTrace(f"there is no program {program} in the grid {grid}")
    kernel = pipeline.compile_ttir(watched.text, targets.get("host"))
    if kernel.waiting != Waiting.NEVER:
        raise CannotTrace(
            f"programs of {kernel.name} wait for each other ({kernel.waits_at}); none runs alone"
        )
    size = watched.type.size if isinstance(watched.type, TileType) else 1
    element = watched.type.element if isinstance(watched.type, TileType) else watched.type
    assert isinstance(element, ScalarType)
    dtype = _DTYPES[element]
    counter, place = np.zeros(1, np.int64), np.zeros((MOST_VISITS, size), dtype)
    packed = (ctypes.c_uint64 * (len(slots) + 2))(*slots, counter.ctypes.data, place.ctypes.data)
    kept = _kept(owners)
    code = load(kernel.object_code, (kernel.symbol,))
    arena = np.zeros(kernel.arena_bytes + 2 * CACHE_LINE, np.uint8)
    attention = ctypes.c_int32(0)
    base = (arena.ctypes.data + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    status = ARENA.ctypes.from_address(base)
    status.attention = ctypes.addressof(attention)
    x, y, z = program
    first = x + grid[0] * (y + grid[1] * z)
    pointer, wide, narrow = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    entry = ctypes.CFUNCTYPE(None, pointer, wide, wide, narrow, narrow, narrow, pointer)(code[kernel.symbol])
    try:
        entry(ctypes.addressof(packed), first, first + 1, *grid, base)
    finally:
        for storage, content in kept:
            storage.copy_(content)
    passed = int(counter[0])
    values = place[: min(passed, MOST_VISITS)]
    shape = watched.type.shape if isinstance(watched.type, TileType) else ()
    return Visits(watched, values.reshape(len(values), *shape), passed)


def nests_of(ttir: str, line: int, file: str = "") -> list[str]:
    """The lines of the schedule that belong to a line of the source."""
    text = pipeline.explain(ttir, targets.get("host")).stages["nests"]
    mark = f"{Path(file).name}:{line}" if file else f":{line}"
    return [own.rstrip() for own in text.splitlines() if own.rstrip().endswith(mark)]


def _values_at(module: Module, line: int) -> list[tuple[Block, int, Value]]:
    """What the line computes, in order: the block, the position behind it, the value."""
    found: list[tuple[Block, int, Value]] = []

    def visit(region: Region) -> None:
        for block in region.blocks:
            for index, op in enumerate(block.ops):
                for inner in op.regions:
                    if op.name not in ("tt.reduce", "tt.scan", "tt.map_elementwise"):
                        visit(inner)
                if op.location.line == line:
                    found.extend((block, index + 1, value) for value in _shown(op))

    visit(module.kernel.body)
    return found


def _shown(op: Op) -> list[Value]:
    values = op.results or (op.operands[1:2] if op.name == "tt.store" else [])
    return [value for value in values if isinstance(value.element, ScalarType) and _is_known(value.element)]


def _is_known(element: ScalarType) -> bool:
    return element in _DTYPES or element == BF16


def _stored_type(value: Value) -> TileType | ScalarType:
    """The type that is stored: bfloat16 as float32, truth values as bytes."""
    element = {BF16: F32, I1: I8}.get(value.element, value.element)  # type: ignore[call-overload]
    assert isinstance(element, ScalarType)
    return TileType(value.shape, element) if value.shape else element


def _insert(module: Module, block: Block, index: int, value: Value) -> None:
    """Store the value behind the counter, and count."""
    entry = module.kernel.body.entry
    stored = _stored_type(value)
    element = stored.element if isinstance(stored, TileType) else stored
    assert isinstance(element, ScalarType)
    counter = entry.add_arg(PointerType(I64), "visits")
    place = entry.add_arg(PointerType(element), "values")
    for _ in range(2):
        if module.kernel.arg_attrs:
            module.kernel.arg_attrs.append({})
    near = block.ops[index - 1]
    insert = Inserter(block, index, near, "watch")
    size = stored.size if isinstance(stored, TileType) else 1
    seen = insert.op("tt.load", [counter], I64)
    room = insert.op("arith.cmpi", [seen, insert.constant(MOST_VISITS, I64)], I1, {"predicate": "slt"})
    first = insert.op("arith.muli", [seen, insert.constant(size, I64)], I64)
    base = insert.op("tt.addptr", [place, first], place.type)
    kept = value
    if value.element == BF16:
        kept = insert.op("arith.extf", [value], stored)
    elif value.element == I1:
        kept = insert.op("arith.extui", [value], stored)
    if isinstance(stored, TileType):
        flat = TileType((size,), element)
        numbers = insert.op("tt.make_range", [], TileType((size,), I32), {"start": 0, "end": size})
        pointers = TileType((size,), PointerType(element))
        places = insert.op("tt.addptr", [insert.op("tt.splat", [base], pointers), numbers], pointers)
        if len(stored.shape) != 1:
            kept = insert.op("tt.reshape", [kept], flat)
        insert.ops("tt.store", [places, kept, insert.op("tt.splat", [room], TileType((size,), I1))], [])
    else:
        insert.ops("tt.store", [base, kept, room], [])
    more = insert.op("arith.addi", [seen, insert.constant(1, I64)], I64)
    insert.ops("tt.store", [counter, more], [])


def _kept(owners: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Copies of the memory of tensors, each storage once."""
    storages = {
        owner.untyped_storage().data_ptr(): owner.untyped_storage()
        for owner in owners
        if isinstance(owner, torch.Tensor)
    }
    return [(storage, storage.clone()) for storage in storages.values()]


def _nothing(module: Module, line: int, name: str, there: Sequence[str]) -> str:
    if there:
        return f"line {line} computes no value whose name begins with {name!r}; it has {', '.join(there)}"
    known = sorted({op.location.line for op in module.kernel.body.walk() if op.location.line and _shown(op)})
    return (
        f"line {line} computes no value in this kernel; lines that do: {', '.join(map(str, known)) or 'none'}"
    )
