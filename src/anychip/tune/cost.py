"""What a launch would take: a cost model over the scheduled kernel, without compiling it.

Flows in: TTIR, the scheduler's choices, arguments, grid, a `Machine`. Flows out: cycles of the whole launch,
good for comparing candidates and for nothing else, and what tells the code apart from that of other
candidates. Counted are vector operations, the latency of reductions, spilled registers, bytes by the cache
that they come from, and what starts of loops, programs and threads cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..compiler.analysis.polynomial import ONE, ZERO
from ..compiler.analysis.structure import Structure, identity_point
from ..compiler.ir.core import Value
from ..compiler.ir.inline import inline_calls
from ..compiler.ir.parser import parse
from ..compiler.schedule.axes import nest_values, walk_inline
from ..compiler.schedule.choices import Choices
from ..compiler.schedule.decompose import decompose
from ..compiler.schedule.printer import print_schedule
from ..compiler.schedule.scheduler import schedule
from ..compiler.schedule.steps import (
    Buffer,
    Dot,
    For,
    Graph,
    Histogram,
    If,
    Nest,
    PackedLoop,
    Reduce,
    Scalar,
    Scan,
    Schedule,
    Step,
    Store,
    Sweep,
    While,
    Write,
)
from ..compiler.schedule.unrolling import REDUCING, operations_of, registers_of
from .machine import ITERATION, LATENCY, LAUNCH, OPERATIONS_A_CYCLE, PROGRAM, Machine
from .scalars import TRIPS, Scalars

SCALAR = 0.5
SPILL = 2.0
TEMPORARIES = 3
"""Registers that a chunk needs besides what it carries."""
PER_SCANNED, PER_COUNTED = 3.0, 4.0
"""Cycles for a chunk of a scan, and for an element of a histogram."""
PIECES = 8
"""Pieces of a thread's part of the grid by the runtime's rule."""
PACKED_ONCE = 8.0
"""Program instances that use an operand which one of them packed."""
BLOCK_COLUMNS = 3
"""Vectors of columns that a product's inner block holds."""
CLAIM = 60.0
"""Cycles for taking a piece."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """`cycles` of a launch; launches of equal `code` run the same code over the same grid in the same way."""

    cycles: float
    code: tuple[Any, ...]


def estimate(
    ttir: str,
    arguments: Sequence[Any],
    grid: Sequence[int],
    choices: Choices,
    machine: Machine,
    bytes: float = math.inf,
) -> Estimate:
    """A launch over `grid`. `arguments` are those of the kernel in order, without constants; `bytes` is how
    much memory the tensors among them hold. Raises `CompileError` like the compiler."""
    grid = (*grid, 1, 1)[:3]
    module = parse(ttir)
    inline_calls(module)
    func = module.kernel
    decompose(func)
    planned = schedule(func, machine.target, choices)
    numbers = [a if isinstance(a, int | float) else None for a in arguments]
    scalars = Scalars(dict(zip(func.args, numbers, strict=False)), grid)
    each = PROGRAM + _Walk(planned, scalars, machine, bytes).steps([planned.body])
    programs = math.prod(grid)
    grain = choices.grain or max(1, programs // machine.threads // PIECES)
    pieces = -(-programs // grain)
    turns = -(-pieces // min(machine.threads, max(1, pieces)))
    turned = planned.y_fastest and min(grid[0], grid[1]) > 1
    code = (ttir, print_schedule(planned), *grid, turned, pieces if machine.threads > 1 else 1)
    return Estimate(LAUNCH + turns * (CLAIM + min(grain, programs) * each), tuple(map(hash, code)))


class _Walk:
    """Adds up the cycles of one program instance."""

    def __init__(self, planned: Schedule, scalars: Scalars, machine: Machine, bytes: float):
        self.planned = planned
        self.scalars = scalars
        self.machine = machine
        self.far = machine.bytes_a_cycle(bytes)
        self.near = machine.bytes_a_cycle(planned.arena_bytes)
        self.structure = Structure()
        self.buffers: dict[Value, Buffer] = planned.buffers

    def steps(self, steps: Sequence[Step]) -> float:
        return sum(self._step(step) for step in steps)

    def _step(self, step: Step) -> float:
        match step:
            case Nest():
                return self._nest(step)
            case Scalar():
                return SCALAR
            case For():
                return self.scalars.trips(step.op) * (ITERATION + self.steps(step.body))
            case PackedLoop():
                return self._packed_loop(step)
            case Sweep():
                inside = step.limit is None or self.scalars.trips(step.op) <= step.limit
                return self._nest(step.nest) if inside else self.steps(step.otherwise)
            case If():
                return max(self.steps(step.then), self.steps(step.otherwise))
            case While():
                return TRIPS * (self.steps(step.before) + self.steps(step.after))
            case Graph():
                return sum(self.steps(inner) for _, inner in step.blocks)
            case Dot():
                return self._dot(step, 1)
            case Scan():
                elements = math.prod(step.sources[0].shape)
                return PER_SCANNED * elements / self.machine.target.lanes(32)
            case Histogram():
                return PER_COUNTED * math.prod(step.source.shape)
            case _:
                return 0.0

    def _packed_loop(self, loop: PackedLoop) -> float:
        trips = self.scalars.trips(loop.op)
        in_place = {dot.in_place.nest for dot in loop.products if dot.in_place}
        packed_once = {operand.nest for operand in loop.packed_once}
        body = sum(
            self._step(step) / (PACKED_ONCE if step in packed_once else 1.0)
            for step in loop.body
            if step not in in_place
        )
        return trips * (ITERATION + body + sum(self._dot(dot, loop.slots) for dot in loop.products))

    def _dot(self, dot: Dot, slots: int) -> float:
        """A product, of which `slots` are done in one go: the accumulator is read and written once for
        all."""
        *batch, m, k = dot.a.shape
        n = dot.b.shape[-1]
        lanes = self.machine.target.lanes(32)
        columns = -(-n // lanes)
        chunks = math.prod(batch) * m * columns
        accumulated = 2.0 * chunks * lanes * 4 / self.near / slots
        read = math.prod(batch) * m * k * -(-columns // BLOCK_COLUMNS) * 4 / self.near
        return chunks * k / OPERATIONS_A_CYCLE + accumulated + read / lanes

    # --- nests -------------------------------------------------------------------------------------
    def _nest(self, nest: Nest) -> float:
        chunks = max(1, math.prod(nest.domain) // max(1, nest.lanes))
        iterations = chunks / nest.unroll
        trips = math.prod(self.scalars.trips(loop.op) for loop in nest.loop.loops()) if nest.loop else 1.0
        operations = operations_of(nest, self.buffers) * nest.unroll
        busy = (operations + self._spills(nest, operations)) / OPERATIONS_A_CYCLE
        compute = iterations * trips * (ITERATION + max(busy, self._chain(nest)))
        return compute + trips * self._memory(nest, iterations) + ITERATION * self._starts(nest)

    def _chain(self, nest: Nest) -> float:
        """Cycles that the body of a reduction waits for its accumulators."""
        if not any(isinstance(root, Reduce) for root in nest.roots):
            return 0.0
        column = nest.reduce_axis != nest.vector_axis
        return LATENCY * (1.0 if column else nest.unroll / min(nest.unroll, REDUCING))

    def _spills(self, nest: Nest, operations: int) -> float:
        """Operations for registers that there are not."""
        carried = registers_of(nest, self.machine.target) if nest.loop is not None else 1
        wanted = nest.unroll * (carried + min(TEMPORARIES, operations // max(1, nest.unroll)))
        return SPILL * max(0, wanted - self.machine.target.vector_registers)

    def _starts(self, nest: Nest) -> float:
        """How often the innermost loop begins."""
        total = 1.0
        for axis in nest.axes[:-1]:
            total *= max(1, nest.domain[axis] // nest.lane_extents[axis])
        return total

    def _memory(self, nest: Nest, iterations: float) -> float:
        """Cycles for what the nest loads and stores, in turns of the loop that its loop makes."""
        rank = len(nest.domain)
        cycles = 0.0
        for root in nest.roots:
            if isinstance(root, Store):
                pointer, value = root.op.operands[:2]
                cycles += self._access(nest, pointer, value.element.bits, iterations)
            elif isinstance(root, Write):
                cycles += root.buffer.bytes / self.near
        for value, point, leaf in walk_inline(nest_values(nest), rank, lambda v: v in self.buffers):
            op = value.defining_op
            if leaf and value in self.buffers:
                cycles += math.prod(nest.domain) * self.buffers[value].element.bytes / self.near
            elif op is not None and op.name == "tt.load" and point == identity_point(rank):
                cycles += self._access(nest, op.operands[0], getattr(value.element, "bits", 64), iterations)
        return cycles

    def _access(self, nest: Nest, pointer: Value, bits: int, iterations: float) -> float:
        """Cycles of a load or store of the user's memory over the whole nest."""
        linear = self.structure.of(pointer, identity_point(len(nest.domain)), len(nest.domain))
        along = linear.strides[nest.vector_axis] if linear.strides else ZERO
        distinct = math.prod(n for n, s in zip(nest.domain, linear.strides, strict=True) if s != ZERO)
        cycles = distinct * bits / 8 / self.far
        if along not in (ONE, ZERO):
            cycles += iterations * nest.unroll * nest.lanes / OPERATIONS_A_CYCLE
        return cycles
