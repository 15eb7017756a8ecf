"""What all code generation of one kernel shares: builder, target, scalars, buffers, the record of
memory accesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..ir.core import Block, Location, Op, Value
from ..llvm.builder import Builder, Phi
from ..llvm.module import LLModule
from ..llvm.types import I1, I64, PTR, Val
from ..schedule.steps import Buffer
from ..targets.target import Target
from .checks import Checks
from .linear import LinearArithmetic

TRUE = Val("true", I1)


@dataclass(frozen=True, slots=True)
class Access:
    """How one load, store or atomic of the user's kernel came out.

    `verdict`: "vector", "broadcast", "strided", "gather", "scalar"; `mask`: "none", "bound" (whole
    chunks run without it), "mask".
    """

    kind: str
    verdict: str
    mask: str
    element: str
    shape: tuple[int, ...]
    location: Location


@dataclass(eq=False, slots=True)
class OpenGraph:
    """A graph of blocks that is being written: the `labels` of its blocks, the phis of their `arguments` as
    soon as a branch or the block itself asks for them (None: a tile, which is in a buffer), where a return
    goes (`end`), and the block and the scalars of each return."""

    labels: dict[Block, str]
    end: str
    arguments: dict[Block, list[Phi | None]] = field(default_factory=dict)
    returns: list[tuple[str, list[Val]]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Context:
    """The state of one kernel's code generation. `truth` is true in every launch, which LLVM cannot know;
    `slots` the number (i64) of the slot at hand, of buffers that have several (without it, the first).
    `symbol` is the kernel's name in the object file; `waits` are the operations in which a program waits for
    others, and lets them run (see `cooperative`). If the kernel is `interruptible`, loops without a known
    end look for signals; `endless` says that there are some (see `interruption`). A program's return goes
    to the label `leave`; `graphs` are the graphs of blocks around the step at hand, the innermost last.
    `checks` are those of the kernel's accesses, if there are any. `user_memory`, `arena_memory` and
    `check_memory` are the alias metadata of tensors, of the arena, and of what is known of tensors.
    """

    module: LLModule
    b: Builder
    target: Target
    buffers: dict[Value, Buffer]
    arena: Val
    program: tuple[Val, Val, Val] = ()  # type: ignore[assignment]
    grid: tuple[Val, Val, Val] = ()  # type: ignore[assignment]
    scalars: dict[Value, Val] = field(default_factory=dict)
    available: set[Value] = field(default_factory=set)
    accesses: dict[tuple[Op, int], Access] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    user_memory: str = ""
    arena_memory: str = ""
    check_memory: str = ""
    leave: str = ""
    graphs: list[OpenGraph] = field(default_factory=list)
    truth: Val = TRUE
    slots: dict[Buffer, Val] = field(default_factory=dict)
    symbol: str = ""
    waits: Mapping[Op, object] = field(default_factory=dict)
    interruptible: bool = False
    endless: bool = False
    checks: Checks | None = None

    @property
    def linear(self) -> LinearArithmetic:
        """Arithmetic on linear forms, written at the builder's insertion point."""
        return LinearArithmetic(self.b)

    def filled(self, values: Sequence[Value], buffers: Sequence[Buffer | None]) -> None:
        """Those of `values` that have a buffer can be read there from now on."""
        self.available.update(v for v, buffer in zip(values, buffers, strict=True) if buffer is not None)

    def buffer_address(self, buffer: Buffer) -> Val:
        """The address of a buffer of this thread's arena, or of the slot at hand."""
        start, slot = self.buffer_start(buffer), self.slots.get(buffer)
        if slot is None:
            return start
        return self.b.gep(start, self.b.mul(slot, self.b.int(buffer.slot_bytes, I64)))

    def buffer_start(self, buffer: Buffer) -> Val:
        """The address of a buffer's first slot."""
        return self.b.raw(PTR, f"getelementptr inbounds i8, {self.arena}, i64 {buffer.offset}")

    def note(self, op: Op, kind: str, verdict: str, mask: str) -> None:
        """Record how an access came out; the general form of a chunk does not hide the usual one."""
        element = op.operands[0].element
        pointee = str(getattr(element, "pointee", element))
        key = (op, 0)
        if key not in self.accesses:
            self.accesses[key] = Access(kind, verdict, mask, pointee, op.operands[0].shape, op.location)
