"""Which roots share a nest: the one nest that is open takes every root that fits it.

In: roots in program order. Out: steps, in which neighbouring roots of equal shape are one nest where
neither needs the other's finished result.
"""

from __future__ import annotations

from ..analysis.structure import Point, identity_point
from ..ir.core import Value
from .axes import root_values, walk_inline
from .buffers import Buffers
from .placement import Placement
from .steps import Buffer, Nest, PerElement, Reduce, Root, Scalar, Step, Store, Write


class NestBuilder:
    """The steps of the block at hand, and the nest that waits for more roots (`open`, from position
    `opened` on). `deferred` are scalar operations that need a total of the open nest."""

    def __init__(self, buffers: Buffers, placement: Placement):
        self.buffers = buffers
        self.placement = placement
        self.steps: list[Step] = []
        self.open: Nest | None = None
        self.deferred: list[Scalar] = []
        self.opened = 0

    def flush(self) -> None:
        """Close the open nest: it becomes a step."""
        if self.open is not None:
            self._hold(self.open)
            self.steps += [self.open, *self.deferred]
            self.open, self.deferred = None, []

    def _hold(self, nest: Nest) -> None:
        """Everything a nest reads or writes is alive from its first root until it runs, which is here."""
        known: set[tuple[Value, Point]] = set()
        for root in nest.roots:
            written = [root.buffer] if isinstance(root, Write) else getattr(root, "buffers", [])
            for buffer in [*written, *self._reads(root, nest.domain, known)]:
                if buffer is not None:
                    self.buffers.touch(buffer, self.opened)
                    self.buffers.touch(buffer, self.buffers.here)

    def add(self, root: Root, domain: tuple[int, ...]) -> None:
        """Put a root into the open nest if it fits there, else into a new one."""
        reduce_axis = root.axis if isinstance(root, Reduce) else None
        nest = self.open
        if nest is None or not self._joins(nest, root, domain, reduce_axis):
            self.flush()
            nest = self.open = Nest(domain, [], reduce_axis)
            self.opened = self.buffers.here
        nest.roots.append(root)
        if nest.reduce_axis is None:
            nest.reduce_axis = reduce_axis

    def _reads(self, root: Root, domain: tuple[int, ...], known: set[tuple[Value, Point]]) -> list[Buffer]:
        """The buffers that a root reads; `known` are values that another root was seen to need."""
        own = root_values(root)
        if any(v in self.buffers for v in own):
            known = set()  # a root's own value is no read of its buffer, which for another root it may be
        found = walk_inline(own, len(domain), lambda v: v in self.buffers, known)
        return [self.buffers[v] for v, _, leaf in found if leaf and v in self.buffers]

    def _joins(self, nest: Nest, root: Root, domain: tuple[int, ...], reduce_axis: int | None) -> bool:
        if nest.domain != domain or isinstance(root, PerElement) or isinstance(nest.roots[0], PerElement):
            return False
        stores = [r for r in nest.roots if isinstance(r, Store)]
        if stores or isinstance(root, Store):
            if len(stores) != len(nest.roots) or not isinstance(root, Store):
                return False
            return self.placement.group_of(root.op) is self.placement.group_of(stores[0].op)
        if None not in (nest.reduce_axis, reduce_axis) and nest.reduce_axis != reduce_axis:
            return False
        finished = self.late()
        written = {r.buffer for r in nest.roots if isinstance(r, Write)}
        for value, point, leaf in walk_inline(root_values(root), len(domain), lambda v: v in self.buffers):
            op = value.defining_op
            if value in finished or (op is not None and any(v in finished for v in op.operands)):
                return False
            if leaf and self.buffers.get(value) in written and not is_identity(point):
                return False
        if isinstance(root, Write):
            return _packed_alike(nest, root) and not self._reads_elsewhere(nest, root.buffer, domain)
        return True

    def _reads_elsewhere(self, nest: Nest, buffer: Buffer, domain: tuple[int, ...]) -> bool:
        """Whether an earlier root of the nest reads `buffer` at another index than its own."""
        if buffer not in self.buffers.values():
            return False
        values = [v for r in nest.roots for v in root_values(r)]
        for value, point, leaf in walk_inline(values, len(domain), lambda v: v in self.buffers):
            if leaf and self.buffers.get(value) is buffer and not is_identity(point):
                return True
        return False

    def keep(self, value: Value, buffer: Buffer | None = None) -> Buffer:
        """Add a root that evaluates `value` into a buffer of its own (or `buffer`)."""
        if value in self.buffers:
            return self.buffers[value]
        buffer = buffer or self.buffers.new(value)
        self.add(Write(value, buffer), value.shape)
        self.buffers.place(value, buffer)
        return buffer

    def late(self) -> set[Value]:
        """The scalars that are known only after the waiting nest."""
        assert self.open is not None
        made = [r.op for r in self.open.roots if not isinstance(r, Write)]
        return {v for op in (*made, *(s.op for s in self.deferred)) for v in op.results}


def _packed_alike(nest: Nest, root: Write) -> bool:
    """Whether the buffers of a nest may be written in one order and grouping."""
    mine = (root.buffer.group, root.buffer.any_order)
    return all((r.buffer.group, r.buffer.any_order) == mine for r in nest.roots if isinstance(r, Write))


def is_identity(point: Point) -> bool:
    """Whether a value is read at the very index at which its reader is evaluated."""
    return point == identity_point(len(point))
