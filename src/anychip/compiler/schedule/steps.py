"""What the scheduler produces: a tree of steps over buffers, free of LLVM.

A program instance is a list of steps. A `Nest` is a loop nest over the shape of a tile with
roots in its body; everything else that the roots need is evaluated on demand inside it. The
other steps are control flow and the few operations with loops of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..analysis.waiting import WaitingLoops
from ..ir.core import Block, Op, Value
from ..ir.types import ElementType
from ..targets.dot_product import DotProduct


@dataclass(eq=False, slots=True)
class Buffer:
    """A place in the arena for a tile: `shape`, `element`, and `order`, the axes from outermost
    to innermost in memory. `any_order`: not decided yet (`layout` will). With `group`,
    that many neighbours along the last axis but one lie together, as dot-product instructions
    want the right operand of a matrix product. `slots` of them lie one after the other along
    `slot_axis`, so that they are one longer tile: what several iterations of a loop packed.
    `offset` (bytes) is assigned by the arena plan."""

    name: str
    shape: tuple[int, ...]
    element: ElementType
    order: tuple[int, ...] = ()
    any_order: bool = False
    group: int = 1
    slots: int = 1
    slot_axis: int = 0
    offset: int = -1

    def __post_init__(self) -> None:
        if not self.order:
            self.order = tuple(range(len(self.shape)))

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each axis."""
        strides = [0] * len(self.shape)
        step = 1
        for axis in reversed(self.order):
            strides[axis] = step
            step *= self.shape[axis] * (self.slots if axis == self.slot_axis else 1)
        return tuple(strides)

    @property
    def slot_bytes(self) -> int:
        """Bytes from one slot to the next."""
        return self.shape[self.slot_axis] * self.strides[self.slot_axis] * self.element.bytes

    @property
    def bytes(self) -> int:
        """Bytes of all slots together."""
        return math.prod(self.shape) * self.slots * self.element.bytes


@dataclass(eq=False, slots=True)
class Store:
    """A `tt.store` of a tile."""

    op: Op


@dataclass(eq=False, slots=True)
class Write:
    """Evaluate `value` at every index and keep it in `buffer`, converted to its element type."""

    value: Value
    buffer: Buffer


@dataclass(eq=False, slots=True)
class Reduce:
    """A `tt.reduce`; `buffers` hold its results, None for a result of rank 0 (a scalar)."""

    op: Op
    buffers: list[Buffer | None]

    @property
    def axis(self) -> int:
        """The axis that is reduced."""
        return self.op.attrs["axis"]


@dataclass(eq=False, slots=True)
class PerElement:
    """An operation done element by element, in order: atomics, printing, assertions, and
    functions with control flow, whose steps are `body`. `buffers` hold its results (None: not
    used)."""

    op: Op
    buffers: list[Buffer | None]
    body: Graph | None = None

    @property
    def whole_chunks(self) -> bool:
        """Whether many elements are done at once: only whether any fails matters to an assertion."""
        return self.op.name == "tt.assert"

    @property
    def pack(self) -> int:
        """Neighbouring elements (along the last axis) that are done together."""
        return self.op.attrs.get("pack", 1) if self.op.name == "tt.map_elementwise" else 1


Root = Store | Write | Reduce | PerElement


@dataclass(eq=False, slots=True)
class Nest:
    """A loop nest over `domain`. `axes` are its loops from outermost to innermost. A chunk of
    `lanes` elements covers `lane_extents[a]` elements of axis a, with `vector_axis` fastest.
    With `transposed_axis`, square blocks of that axis and the vector axis are transposed in registers
    before they are written: what is read lies along one axis, the buffers along the other.
    The body handles `unroll` chunks along the vector axis. With `loop`, they first run that whole
    loop, and the roots use the tiles that it carries as registers.
    `ahead`: an axis and how far along it memory is fetched into the cache before it is needed."""

    domain: tuple[int, ...]
    roots: list[Root]
    reduce_axis: int | None = None
    lanes: int = 1
    axes: tuple[int, ...] = ()
    lane_extents: tuple[int, ...] = ()
    vector_axis: int = 0
    transposed_axis: int | None = None
    unroll: int = 1
    loop: RegisterLoop | None = None
    ahead: tuple[int, int] | None = None


@dataclass(eq=False, slots=True)
class Scalar:
    """An operation on scalars, done where it stands."""

    op: Op


@dataclass(eq=False, slots=True)
class Dot:
    """A matrix product over packed operands: `a` [.., M, K] and `b` [.., K, N]; the accumulator
    starts from `c` (None: zero) and ends in `out` (which may be the same buffer as `c`).
    `instruction`: the operands are packed for it. With `in_place`, `a` may be read where it lies. `bias`
    is scratch memory that keeps the column sums of `b` from one program to the next."""

    op: Op
    a: Buffer
    b: Buffer
    c: Buffer | None
    out: Buffer
    instruction: DotProduct | None = None
    in_place: InPlaceOperand | None = None
    bias: Buffer | None = None


@dataclass(eq=False, slots=True)
class InPlaceOperand:
    """A left operand that need not be packed in each iteration of a loop: the rows that `load` reads are
    contiguous, and each iteration goes on where the one before ended. `nest` packs it nevertheless,
    where elements are masked; `table` has room for the address of each row."""

    load: Op
    nest: Nest
    packed: Buffer
    table: Buffer


@dataclass(eq=False, slots=True)
class PackedOnce:
    """An operand of products in a loop, packed by `nest`, that stays right for the next program when the
    scalars `keys` are the same. `buffer` has room for `runs` runs of iterations and one more, and so has
    `bias`, where column sums are kept with it. `constant`: it is the same in every iteration."""

    nest: Nest
    buffer: Buffer
    keys: list[Value]
    constant: bool = False
    runs: int = 0
    bias: Buffer | None = None


@dataclass(eq=False, slots=True)
class Scan:
    """A `tt.scan` from buffers to buffers."""

    op: Op
    sources: list[Buffer]
    results: list[Buffer]


@dataclass(eq=False, slots=True)
class Histogram:
    """A `tt.histogram` of a buffer into a buffer, with an optional mask buffer."""

    op: Op
    source: Buffer
    mask: Buffer | None
    result: Buffer


@dataclass(eq=False, slots=True)
class For:
    """An `scf.for`. `carried[i]` is the buffer of iteration argument i; None for a scalar."""

    op: Op
    carried: list[Buffer | None]
    body: list[Step]


@dataclass(eq=False, slots=True)
class PackedLoop:
    """An `scf.for` that packs operands of matrix products, and `carried` like a `For`.

    Up to `slots` iterations are done one after the other, each filling its slot of the operands of
    `products`; then each of these is done once for all of them. What is `packed_once` is packed only
    where the program before did not leave the same."""

    op: Op
    carried: list[Buffer | None]
    body: list[Step]
    slots: int = 1
    products: list[Dot] = field(default_factory=list)
    packed_once: list[PackedOnce] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class RegisterLoop:
    """An `scf.for` that runs inside a nest, with the carried tiles in registers."""

    op: Op
    body: list[Scalar | RegisterLoop]

    def loops(self) -> Iterator[RegisterLoop]:
        """This loop and those inside."""
        yield self
        for step in self.body:
            if isinstance(step, RegisterLoop):
                yield from step.loops()


@dataclass(eq=False, slots=True)
class Sweep:
    """A loop over carried tiles turned inside out: each few chunks run the whole loop, so that
    what it carries stays in registers. `otherwise` are the same loop and what follows it over
    buffers: the way of more than `limit` iterations (None: the nest serves any number)."""

    nest: Nest
    otherwise: list[Step]
    limit: int | None = None

    @property
    def op(self) -> Op:
        """The loop that runs inside the nest."""
        assert self.nest.loop is not None
        return self.nest.loop.op


@dataclass(eq=False, slots=True)
class If:
    """An `scf.if`; `results[i]` is the buffer of result i, None for a scalar."""

    op: Op
    results: list[Buffer | None]
    then: list[Step]
    otherwise: list[Step]


@dataclass(eq=False, slots=True)
class While:
    """An `scf.while`; buffers for its arguments (before), and its results (after)."""

    op: Op
    carried: list[Buffer | None]
    results: list[Buffer | None]
    before: list[Step]
    after: list[Step]


@dataclass(eq=False, slots=True)
class Jump:
    """A terminator of a block in a graph of blocks: branch, conditional branch or return."""

    op: Op


@dataclass(eq=False, slots=True)
class Graph:
    """Blocks with branches: the body of a kernel, or an inlined function with early returns."""

    op: Op | None
    blocks: list[tuple[Block, list[Step]]]
    arguments: dict[Value, Buffer]
    results: list[Buffer | None] = field(default_factory=list)


Step = Nest | Scalar | Dot | Scan | Histogram | For | PackedLoop | Sweep | If | While | Jump | Graph


@dataclass(eq=False, slots=True)
class Schedule:
    """The steps of one program instance. `buffers` holds the place of every tile value that has
    one; `arena_bytes` is the size of the arena they share, including the status block. `y_fastest`: program
    instances follow each other along y, not along x. `waiting`: the loops in which a program waits for
    others."""

    body: Graph
    buffers: dict[Value, Buffer]
    arena_bytes: int = 64
    y_fastest: bool = False
    waiting: WaitingLoops = field(default_factory=WaitingLoops)
