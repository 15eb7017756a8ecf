"""From tile IR to steps: what is done where, in which nest, over which buffers.

In: a function whose calls are inlined. Out: a `Schedule`. Neighbouring roots of equal shape share
a nest when neither needs the other's finished result; everything else is evaluated on demand
inside the nests.
"""

from __future__ import annotations

from ..analysis.effects import ORDERED, TERMINATORS, ProgramOrder
from ..analysis.structure import Point, Structure, identity_point
from ..errors import UnsupportedOperation
from ..ir.core import Block, Func, Op, Region, Value
from ..ir.types import BF16, F16, F32, ElementType, ScalarType
from ..targets.dot_products import DotProduct, dot_product
from ..targets.target import Target
from . import arena
from .axes import root_values, walk_inline
from .carry import rewrite_carried
from .kept import keep_operands
from .layout import lay_out
from .placement import Placement, is_elementwise_region, is_inline_op
from .products import defer_products
from .steps import (
    Buffer,
    Dot,
    Each,
    For,
    Graph,
    Histogram,
    If,
    Jump,
    Nest,
    Reduce,
    Root,
    Scalar,
    Scan,
    Schedule,
    Step,
    Store,
    While,
    Write,
)
from .sweep import SweepFinder, settle


def schedule(func: Func, target: Target) -> Schedule:
    """Schedule one kernel for `target`. Raises `UnsupportedOperation` for what it cannot place."""
    rewrite_carried(func.body)
    return Scheduler(func, target).run()


class Scheduler:
    """Builds the steps of one function; see `schedule`."""

    def __init__(self, func: Func, target: Target):
        self.func = func
        self.target = target
        self.order = ProgramOrder.of(func.body)
        self.structure = Structure()
        self.placement = Placement(func.body, self.order, self.structure)
        self.buffers: dict[Value, Buffer] = {}
        self.lifetimes: dict[Buffer, arena.Lifetime] = {}
        self.returns: list[list[Buffer | None]] = []
        self.steps: list[Step] = []
        self.nest: Nest | None = None
        self.deferred: list[Scalar] = []
        self.opened = self.here = 0

    def run(self) -> Schedule:
        body = self._graph(None, self.func.body, [])
        SweepFinder(self.buffers, self.placement, self.order, self._touch).turn([body])
        lay_out(body, self.structure, self.buffers, self.target)
        settle([body], self.target)
        return Schedule(body, self.buffers, arena.plan(self.lifetimes))

    # --- buffers -----------------------------------------------------------------------------
    def _buffer(self, value: Value, element: ElementType | None = None) -> Buffer:
        buffer = Buffer(value.name, value.shape, element or value.element, any_order=True)
        self.lifetimes[buffer] = arena.Lifetime(self.here, self.here)
        return buffer

    def _place(self, value: Value, buffer: Buffer) -> None:
        """Let `value` live in `buffer` from here until its last use."""
        self.buffers[value] = buffer
        self._touch(buffer, self.here)
        for site in self.placement.sites.get(value, ()):
            self._touch(buffer, self._end_of_use(site.op, value))

    def _end_of_use(self, op: Op, value: Value) -> int:
        """The last position at which `op` may read `value`: the end of a loop that repeats it."""
        position = self.order.end[op]
        owner = value.defining_op
        home = set(self.order.loops[owner]) if owner is not None else self._home(value)
        for loop in self.order.loops[op]:
            if loop not in home:
                position = max(position, self.order.end[loop])
        return position

    def _home(self, value: Value) -> set[Op]:
        """The loops around a block argument."""
        block = value.owner
        assert isinstance(block, Block)
        return set(self.order.loops[block.ops[0]])

    def _touch(self, buffer: Buffer, position: int) -> None:
        self.lifetimes[buffer].touch(position)

    # --- nests -------------------------------------------------------------------------------
    def _flush(self) -> None:
        if self.nest is not None:
            self._hold(self.nest)
            self.steps += [self.nest, *self.deferred]
            self.nest, self.deferred = None, []

    def _hold(self, nest: Nest) -> None:
        """Everything a nest reads or writes is alive from its first root until it runs, which is here."""
        for root in nest.roots:
            written = [root.buffer] if isinstance(root, Write) else getattr(root, "buffers", [])
            for buffer in [*written, *self._reads(root, nest.domain)]:
                if buffer is not None:
                    self._touch(buffer, self.opened)
                    self._touch(buffer, self.here)

    def _add(self, root: Root, domain: tuple[int, ...]) -> None:
        reduce_axis = root.axis if isinstance(root, Reduce) else None
        nest = self.nest
        if nest is None or not self._joins(nest, root, domain, reduce_axis):
            self._flush()
            nest = self.nest = Nest(domain, [], reduce_axis)
            self.opened = self.here
        nest.roots.append(root)
        if nest.reduce_axis is None:
            nest.reduce_axis = reduce_axis

    def _reads(self, root: Root, domain: tuple[int, ...]) -> list[Buffer]:
        found = walk_inline(root_values(root), len(domain), lambda v: v in self.buffers)
        return [self.buffers[v] for v, _, leaf in found if leaf and v in self.buffers]

    def _joins(self, nest: Nest, root: Root, domain: tuple[int, ...], reduce_axis: int | None) -> bool:
        if nest.domain != domain or isinstance(root, Each) or isinstance(nest.roots[0], Each):
            return False
        stores = [r for r in nest.roots if isinstance(r, Store)]
        if stores or isinstance(root, Store):
            if len(stores) != len(nest.roots) or not isinstance(root, Store):
                return False
            return self.placement.group_of(root.op) is self.placement.group_of(stores[0].op)
        if None not in (nest.reduce_axis, reduce_axis) and nest.reduce_axis != reduce_axis:
            return False
        finished = self._late()
        written = {r.buffer for r in nest.roots if isinstance(r, Write)}
        for value, point, leaf in walk_inline(root_values(root), len(domain), lambda v: v in self.buffers):
            op = value.defining_op
            if value in finished or (op is not None and any(v in finished for v in op.operands)):
                return False
            if leaf and self.buffers.get(value) in written and not _is_identity(point):
                return False
        if isinstance(root, Write):
            return _packed_alike(nest, root) and not self._reads_elsewhere(nest, root.buffer, domain)
        return True

    def _reads_elsewhere(self, nest: Nest, buffer: Buffer, domain: tuple[int, ...]) -> bool:
        """Whether an earlier root of the nest reads `buffer` at another index than its own."""
        values = [v for r in nest.roots for v in root_values(r)]
        for value, point, leaf in walk_inline(values, len(domain), lambda v: v in self.buffers):
            if leaf and self.buffers.get(value) is buffer and not _is_identity(point):
                return True
        return False

    def _keep(self, value: Value, buffer: Buffer | None = None) -> Buffer:
        """Add a root that evaluates `value` into a buffer of its own (or `buffer`)."""
        if value in self.buffers:
            return self.buffers[value]
        buffer = buffer or self._buffer(value)
        self._add(Write(value, buffer), value.shape)
        self._place(value, buffer)
        return buffer

    # --- blocks ------------------------------------------------------------------------------
    def _collect(self, block: Block) -> list[Step]:
        outer_steps, outer_nest = self.steps, self.nest
        assert outer_nest is None
        self.steps = []
        for op in block.ops:
            self.here = self.order.position[op]
            self._op(op)
        self._flush()
        steps, self.steps = self.steps, outer_steps
        return steps

    def _graph(self, op: Op | None, region: Region, results: list[Buffer | None]) -> Graph:
        arguments: dict[Value, Buffer] = {}
        for block in region.blocks[1:]:
            for arg in block.args:
                if arg.shape:
                    arguments[arg] = self._persistent(arg, op)
        blocks = [(block, self._collect(block)) for block in region.blocks]
        return Graph(op, blocks, arguments, results)

    def _persistent(self, value: Value, op: Op | None) -> Buffer:
        """A buffer that lives as long as `op` (None: the whole program instance)."""
        buffer = self._buffer(value)
        self.buffers[value] = buffer
        first = self.order.position[op] if op is not None else 0
        last = self.order.end[op] if op is not None else len(self.order.position)
        self._touch(buffer, first)
        self._touch(buffer, last)
        return buffer

    def _op(self, op: Op) -> None:
        handler = _HANDLERS.get(op.name)
        if handler is not None and not (op.name in _MAYBE_INLINE and is_inline_op(op)):
            handler(self, op)
        elif is_inline_op(op):
            for result in op.results:
                if result in self.placement.kept:
                    self._keep(result)
        elif op.name in TERMINATORS:
            return
        else:
            self._scalar(op)

    def _scalar(self, op: Op) -> None:
        """An operation on scalars: it may overtake a waiting nest unless they depend; what is made of
        the nest's totals waits behind it, so that another reduction can still join."""
        tiles = [v for v in op.operands if v.shape]
        if tiles:
            if op.name not in ("tt.unsplat",):
                raise UnsupportedOperation(op, "no rule places this operation on tiles")
            self._flush()
        if self.nest is not None:
            late = self._late()
            waits = any(v in late for v in op.operands)
            if op.name in ORDERED or (
                op.name == "tt.load" and (waits or any(isinstance(r, Store | Each) for r in self.nest.roots))
            ):
                self._flush()
            elif waits:
                self.deferred.append(Scalar(op))
                return
        self.steps.append(Scalar(op))

    def _late(self) -> set[Value]:
        """The scalars that are known only after the waiting nest."""
        assert self.nest is not None
        made = [r.op for r in self.nest.roots if not isinstance(r, Write)]
        return {v for op in (*made, *(s.op for s in self.deferred)) for v in op.results}

    # --- memory and reductions ---------------------------------------------------------------
    def _store(self, op: Op) -> None:
        if op.operands[0].shape:
            self._add(Store(op), op.operands[0].shape)
        else:
            self._scalar(op)

    def _load(self, op: Op) -> None:
        if not op.results[0].shape:
            self._scalar(op)
        elif op.results[0] in self.placement.kept:
            self._keep(op.results[0])

    def _each(self, op: Op) -> None:
        shapes = [v.shape for v in op.operands if v.shape]
        if not shapes:
            self._scalar(op)
            return
        self._flush()
        body = self._graph(op, op.regions[0], []) if op.regions else None
        buffers = [self._buffer(r) if r.shape and self.placement.sites.get(r) else None for r in op.results]
        self.here = self.order.position[op]
        self._add(Each(op, buffers, body), shapes[0])
        for result, buffer in zip(op.results, buffers, strict=True):
            if buffer is not None:
                self._place(result, buffer)
        self._flush()

    def _print(self, op: Op) -> None:
        self._flush()
        self._each(op)

    def _reduce(self, op: Op) -> None:
        if not is_elementwise_region(op.regions[0]):
            raise UnsupportedOperation(
                op,
                "the combine function has control flow",
                "write it with tl.where instead of an if statement",
            )
        buffers = [self._buffer(r) if r.shape else None for r in op.results]
        self._add(Reduce(op, buffers), op.operands[0].shape)
        for result, buffer in zip(op.results, buffers, strict=True):
            if buffer is not None:
                self._place(result, buffer)

    def _scan(self, op: Op) -> None:
        if not is_elementwise_region(op.regions[0]):
            raise UnsupportedOperation(
                op,
                "the combine function has control flow",
                "write it with tl.where instead of an if statement",
            )
        sources = [self._source(v) for v in op.operands]
        self._flush()
        results = [self._buffer(r) for r in op.results]
        for result, buffer in zip(op.results, results, strict=True):
            buffer.any_order = False
            self._place(result, buffer)
        self.steps.append(Scan(op, sources, results))

    def _histogram(self, op: Op) -> None:
        source = self._source(op.operands[0])
        mask = self._source(op.operands[1]) if len(op.operands) > 1 else None
        self._flush()
        result = self._buffer(op.result)
        self._place(op.result, result)
        self.steps.append(Histogram(op, source, mask, result))

    def _source(self, value: Value) -> Buffer:
        """The buffer of an operand that a step reads whole."""
        buffer = self._keep(value)
        buffer.any_order = False
        self._touch(buffer, self.here)
        return buffer

    # --- dot ---------------------------------------------------------------------------------
    def _dot(self, op: Op) -> None:
        a, b, c = op.operands[:3]
        instruction = self._instruction(op)
        if instruction is None:
            element = _dot_element(a.element, op.result.element)
            packed = [self._pack(a, element, any_order=True), self._pack(b, element)]
        else:
            packed = [self._pack(a, a.element), self._pack(b, b.element, group=instruction.group)]
        out = self._accumulator(op)
        start: Buffer | None = out
        if c in self.buffers:
            start = self.buffers[c]
        elif _is_zero(c):
            start = None
        else:
            self._add(Write(c, out), c.shape)
        self._flush()
        self._place(op.result, out)
        out.any_order = False
        if start is not None:
            start.any_order = False
            self._touch(start, self.here)
        self.steps.append(Dot(op, packed[0], packed[1], start, out, instruction))

    def _instruction(self, op: Op) -> DotProduct | None:
        """The dot-product instruction that serves `op`: where the shapes fill its vectors."""
        a, b = op.operands[:2]
        if a.element != b.element or op.result.element.name not in ("f32", "i32"):  # type: ignore[union-attr]
            return None
        found = dot_product(self.target, a.element.name)  # type: ignore[union-attr]
        if found is None or a.shape[-1] < 4 * found.group or b.shape[-1] < self.target.lanes(32):
            return None
        return found

    def _pack(self, value: Value, element: ElementType, any_order: bool = False, group: int = 1) -> Buffer:
        buffer = Buffer(f"{value.name}.packed", value.shape, element, any_order=any_order, group=group)
        self.lifetimes[buffer] = arena.Lifetime(self.here, self.here)
        self._add(Write(value, buffer), value.shape)
        return buffer

    def _accumulator(self, op: Op) -> Buffer:
        """Where a dot leaves its result: the accumulator's own buffer when nobody else reads it."""
        home = self._inherited(op)
        return home if home is not None else self._buffer(op.result)

    def _inherited(self, op: Op) -> Buffer | None:
        """The buffer of the loop argument that the accumulator of `op` updates element by element,
        if nothing reads that argument later and `op` runs once in each iteration."""
        start = op.operands[2]
        reads: dict[Value, bool] = {}
        for value, point, leaf in walk_inline([start], len(start.shape), lambda v: v in self.buffers):
            if leaf and value in self.buffers:
                reads[value] = reads.get(value, True) and _is_identity(point)
        if start in self.buffers:
            reads = {start: True}
        for value, at_own_index in reads.items():
            if at_own_index and value.type == op.result.type and isinstance(value.owner, Block):
                last = max((site.position for site in self.placement.sites.get(value, ())), default=-1)
                once = set(self.order.loops[op]) == self._home(value)
                if last <= self.here and once and self._is_carried(value):
                    return self.buffers[value]
        return None

    def _is_carried(self, value: Value) -> bool:
        """Whether a block argument is carried by the innermost loop around it."""
        loops = self.order.loops[value.owner.ops[0]]  # type: ignore[union-attr]
        return bool(loops) and any(
            region.blocks and region.entry is value.owner for region in loops[-1].regions
        )

    # --- control flow ------------------------------------------------------------------------
    def _carried(self, op: Op, initial: list[Value], args: list[Value]) -> list[Buffer | None]:
        carried: list[Buffer | None] = []
        for value, arg in zip(initial, args, strict=True):
            if not arg.shape:
                carried.append(None)
                continue
            buffer = self._buffer(arg)
            self._touch(buffer, self.order.position[op])
            self._touch(buffer, self.order.end[op])
            self._add(Write(value, buffer), arg.shape)
            carried.append(buffer)
        self._flush()
        return carried

    def _assign(self, values: list[Value], buffers: list[Buffer | None], flush: bool = True) -> None:
        """Evaluate `values` into `buffers` as if all at once (the end of a loop's body)."""
        pairs = [(v, b) for v, b in zip(values, buffers, strict=True) if b is not None]
        pairs = [(v, b) for v, b in pairs if self.buffers.get(v) is not b]
        targets = {id(b) for _, b in pairs}
        ready: list[Write] = []
        together = False
        for value, buffer in pairs:
            shared = all(v.shape == value.shape for v, _ in pairs)
            others = [
                shared and _is_identity(point)
                for v, point, leaf in walk_inline([value], len(value.shape), lambda v: v in self.buffers)
                if leaf and id(self.buffers.get(v)) in targets and self.buffers.get(v) is not buffer
            ]
            hazard = not all(others)
            together = together or any(others)
            if (hazard or _reads_itself_elsewhere(value, buffer, self.buffers)) and value not in self.buffers:
                self._keep(value)
                self._touch(self.buffers[value], self.here)
            elif hazard:
                copy = self._buffer(value)
                self._add(Write(value, copy), value.shape)
                value = _alias(value)
                self.buffers[value] = copy
            ready.append(Write(value, buffer))
        self._flush()
        if together:
            # Each chunk of a nest is read by all roots before any writes it.
            self.nest = Nest(ready[0].value.shape, list(ready))
            self.opened = self.here
        else:
            for root in sorted(ready, key=lambda root: root.value.shape):
                self._add(root, root.value.shape)
        if flush:
            self._flush()

    def _for(self, op: Op) -> None:
        self._flush()
        body = op.regions[0].entry
        carried = self._carried(op, op.operands[3:], body.args[1:])
        for arg, buffer in zip(body.args[1:], carried, strict=True):
            if buffer is not None:
                self._place(arg, buffer)
        steps = self._body(body, carried)
        for result, buffer in zip(op.results, carried, strict=True):
            if buffer is not None:
                self.here = self.order.end[op]
                self._place(result, buffer)
        found = For(op, carried, steps)
        for buffer in defer_products(found, self.structure, self.buffers, self.target.cache_bytes // 8):
            first, last = self.order.position[op], self.order.end[op]
            self.lifetimes.setdefault(buffer, arena.Lifetime(first, last))
            self._touch(buffer, first)
            self._touch(buffer, last)
        found.kept = keep_operands(found, self.func, self.order, self.target.cache_bytes // 2)
        for kept in found.kept:
            for buffer in (kept.buffer, kept.bias):
                if buffer is not None:
                    self.lifetimes[buffer] = arena.Lifetime(0, len(self.order.position))
        self.steps.append(found)

    def _body(self, block: Block, targets: list[Buffer | None], operands: slice = slice(None)) -> list[Step]:
        """The steps of a block that ends by assigning its terminator's operands to `targets`."""
        outer, self.steps = self.steps, []
        for op in block.ops[:-1]:
            self.here = self.order.position[op]
            self._op(op)
        self.here = self.order.position[block.terminator]
        self._assign(block.terminator.operands[operands], targets)
        steps, self.steps = self.steps, outer
        return steps

    def _result_buffers(self, op: Op) -> list[Buffer | None]:
        buffers: list[Buffer | None] = []
        for result in op.results:
            buffers.append(self._buffer(result) if result.shape else None)
            if buffers[-1] is not None:
                self._touch(buffers[-1], self.order.end[op])
        return buffers

    def _place_results(self, op: Op, buffers: list[Buffer | None]) -> None:
        self.here = self.order.end[op]
        for result, buffer in zip(op.results, buffers, strict=True):
            if buffer is not None:
                self._place(result, buffer)

    def _if(self, op: Op) -> None:
        self._flush()
        results = self._result_buffers(op)
        branches = [self._body(region.entry, results) if region.blocks else [] for region in op.regions]
        self._place_results(op, results)
        self.steps.append(If(op, results, branches[0], branches[1] if len(branches) > 1 else []))

    def _while(self, op: Op) -> None:
        self._flush()
        before, after = op.regions[0].entry, op.regions[1].entry
        carried = self._carried(op, op.operands, before.args)
        for arg, buffer in zip(before.args, carried, strict=True):
            if buffer is not None:
                self._place(arg, buffer)
        results = self._result_buffers(op)
        for buffer in results:
            if buffer is not None:
                self._touch(buffer, self.order.position[op])
        first = self._body(before, results, slice(1, None))
        for arg, buffer in zip(after.args, results, strict=True):
            if buffer is not None:
                self._place(arg, buffer)
        second = self._body(after, carried)
        self._place_results(op, results)
        self.steps.append(While(op, carried, results, first, second))

    def _region(self, op: Op) -> None:
        self._flush()
        results = self._result_buffers(op)
        for buffer in results:
            if buffer is not None:
                self._touch(buffer, self.order.position[op])
        self.returns.append(results)
        self.steps.append(self._graph(op, op.regions[0], results))
        self.returns.pop()
        self._place_results(op, results)

    def _jump(self, op: Op) -> None:
        for block, values in op.successors:
            if any(v.shape for v in values):
                self._assign(values, [self.buffers.get(arg) for arg in block.args])
        self._flush()
        self.steps.append(Jump(op))

    def _return(self, op: Op) -> None:
        if self.returns and any(v.shape for v in op.operands) and op.name == "tt.return":
            self._assign(op.operands, self.returns[-1])
        self._flush()
        self.steps.append(Jump(op))


def _packed_alike(nest: Nest, root: Write) -> bool:
    """Whether the buffers of a nest may be written in one order and grouping."""
    mine = (root.buffer.group, root.buffer.any_order)
    return all((r.buffer.group, r.buffer.any_order) == mine for r in nest.roots if isinstance(r, Write))


def _alias(value: Value) -> Value:
    """Another name for a value, to be found in a buffer of its own."""
    return Value(value.type, f"{value.name}.copy")


def _is_identity(point: Point) -> bool:
    return point == identity_point(len(point))


def _reads_itself_elsewhere(value: Value, buffer: Buffer, buffers: dict[Value, Buffer]) -> bool:
    found = walk_inline([value], len(value.shape), lambda v: v in buffers)
    return any(leaf and buffers.get(v) is buffer and not _is_identity(point) for v, point, leaf in found)


def _is_zero(value: Value) -> bool:
    op = value.defining_op
    return op is not None and op.name == "arith.constant" and op.attrs["value"] == 0


def _dot_element(operand: ElementType, result: ElementType) -> ElementType:
    """The element type in which a dot multiplies: small floats widen to f32, integers to the result."""
    assert isinstance(operand, ScalarType)
    if operand.is_float:
        return F32 if operand.bits < 32 or operand in (F16, BF16) else operand
    return result


_MAYBE_INLINE = frozenset({"tt.reduce", "tt.map_elementwise"})
"""Operations that are a step of their own only when they cannot be evaluated on demand."""

_HANDLERS = {
    "tt.store": Scheduler._store,
    "tt.load": Scheduler._load,
    "tt.atomic_rmw": Scheduler._each,
    "tt.atomic_cas": Scheduler._each,
    "tt.print": Scheduler._print,
    "tt.assert": Scheduler._each,
    "tt.map_elementwise": Scheduler._each,
    "tt.map_elementwise.return": Scheduler._return,
    "tt.reduce": Scheduler._reduce,
    "tt.scan": Scheduler._scan,
    "tt.histogram": Scheduler._histogram,
    "tt.dot": Scheduler._dot,
    "scf.for": Scheduler._for,
    "scf.if": Scheduler._if,
    "scf.while": Scheduler._while,
    "anychip.region": Scheduler._region,
    "cf.br": Scheduler._jump,
    "cf.cond_br": Scheduler._jump,
    "tt.return": Scheduler._return,
}
