"""The tile IR: values, operations, blocks, regions, functions.

One class for every operation, as in MLIR: an operation is a name, operands, results,
attributes, regions and successors. What the parser puts into `attrs` for each operation is
listed in `ops.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .types import ElementType, Type, element_of, shape_of


@dataclass(frozen=True, slots=True)
class Location:
    """Where in the user's source an operation comes from.

    `callers` holds the call sites outwards when the operation was inlined; `line` and `column`
    count from 1; a `line` of 0 means unknown.
    """

    file: str = "<unknown>"
    line: int = 0
    column: int = 0
    name: str = ""
    callers: tuple[Location, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


UNKNOWN = Location()


class Value:
    """One result of an operation, or one argument of a block. `shape` and `element` are those of its type."""

    __slots__ = ("element", "index", "name", "owner", "shape", "type")

    def __init__(self, type: Type, name: str = "", owner: Op | Block | None = None, index: int = 0):
        self.type = type
        self.name = name
        self.owner = owner
        self.index = index
        self.shape: tuple[int, ...] = shape_of(type)
        self.element: ElementType = element_of(type)

    @property
    def defining_op(self) -> Op | None:
        """The operation that made the value; None for a block argument."""
        owner = self.owner
        return owner if isinstance(owner, Op) else None

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@dataclass(eq=False, slots=True)
class Op:
    """An operation. `successors` are (block, arguments) pairs of a `cf` branch."""

    name: str
    operands: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    successors: list[tuple[Block, list[Value]]] = field(default_factory=list)
    location: Location = UNKNOWN

    def add_result(self, type: Type, name: str = "") -> Value:
        """Add a result of a type to the operation, and return it."""
        value = Value(type, name, self, len(self.results))
        self.results.append(value)
        return value

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    def walk(self) -> Iterator[Op]:
        """This operation and everything nested in it, in program order."""
        yield self
        for region in self.regions:
            yield from region.walk()

    def __repr__(self) -> str:
        operands = ", ".join(value.name for value in self.operands)
        return f"{', '.join(map(repr, self.results))} = {self.name}({operands})"


@dataclass(eq=False, slots=True)
class Block:
    """A straight line of operations that ends in a terminator."""

    args: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    label: str = ""

    def add_arg(self, type: Type, name: str = "") -> Value:
        """Add an argument of a type to the block, and return it."""
        value = Value(type, name, self, len(self.args))
        self.args.append(value)
        return value

    @property
    def terminator(self) -> Op:
        """The last operation, which says where control goes."""
        return self.ops[-1]


@dataclass(eq=False, slots=True)
class Region:
    """A list of blocks; the first is the entry."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def entry(self) -> Block:
        """The first block."""
        return self.blocks[0]

    def walk(self) -> Iterator[Op]:
        """All operations, those of nested regions included, in the order of the text."""
        for block in self.blocks:
            for op in block.ops:
                yield from op.walk()


@dataclass(eq=False, slots=True)
class Func:
    """A function: the kernel (public), or a function that it calls."""

    name: str
    body: Region
    result_types: list[Type] = field(default_factory=list)
    arg_attrs: list[dict[str, Any]] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)
    public: bool = True
    location: Location = UNKNOWN

    @property
    def args(self) -> list[Value]:
        """The function's parameters."""
        return self.body.entry.args


@dataclass(eq=False, slots=True)
class Module:
    """All functions of one TTIR module, by name."""

    funcs: dict[str, Func] = field(default_factory=dict)

    @property
    def kernel(self) -> Func:
        """The one public function."""
        (func,) = [f for f in self.funcs.values() if f.public]
        return func
