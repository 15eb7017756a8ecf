"""Decides, for every tile value, whether it is recomputed where it is needed or kept in a buffer.

A *site* is a point of the program at which values are needed: a store, a reduction, an operand
of `dot`, the end of a loop body. Walking the program backwards, each value learns the sites that
reach it through recomputed values, and is kept when recomputing would be wrong (memory may have
changed) or dear (needed at several sites, or once per element of a larger tile).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.combs import Combs
from ..analysis.effects import PURE_REGIONS, TERMINATORS, WRITES, ProgramOrder
from ..analysis.exchanges import KEEP
from ..analysis.overlap import same_or_apart, same_strides
from ..analysis.structure import Linear, Point, Structure, identity_point, operand_points
from ..ir.core import Block, Op, Region, Value
from ..ir.types import TileType
from .cost import BUFFER_READ, GATHER, WORTH_A_BUFFER, own_cost

INLINE_REDUCTION = 2
"""A reduction over an axis of at most this size is an expression, not a loop."""

BUFFERED = frozenset(
    {
        "tt.scan",
        "tt.dot",
        "tt.dot_scaled",
        "tt.histogram",
        "tt.atomic_rmw",
        "tt.atomic_cas",
        "scf.for",
        "scf.if",
        "scf.while",
        "anychip.region",
        "tt.atomic_load",
        "tt.atomic_poll",
    }
)
"""Operations whose tile results always live in buffers."""

_SAME_ROOT = frozenset(
    {"tt.addptr", "tt.splat", "tt.broadcast", "tt.expand_dims", "tt.reshape", "tt.trans", "tt.bitcast"}
)
"""Operations whose result points into what their first operand points into."""


@dataclass(frozen=True, eq=False, slots=True)
class Site:
    """A place where values are evaluated. `stores` are the writes done in the same nest."""

    position: int
    op: Op
    stores: tuple[Op, ...] = ()


def _has_steps(op: Op) -> bool:
    """Whether `op` does anything besides making values that are evaluated on demand."""
    if op.regions and op.name not in PURE_REGIONS:
        return True
    return not is_inline_op(op) and (op.name in WRITES or any(v.shape for v in op.operands))


def is_inline_reduction(op: Op) -> bool:
    """Whether a `tt.reduce` is evaluated as an expression of its elements."""
    return (
        op.name == "tt.reduce"
        and op.operands[0].shape[op.attrs["axis"]] <= INLINE_REDUCTION
        and bool(op.results[0].shape)
        and is_elementwise_region(op.regions[0])
    )


def is_elementwise_region(region: Region) -> bool:
    """Whether a region of scalars can be applied to whole vectors: straight-line and pure."""
    if len(region.blocks) != 1:
        return False
    return all(
        not op.regions and op.name not in WRITES and not op.name.startswith(("scf.", "cf.", "tt.call"))
        for op in region.entry.ops
    )


def is_inline_op(op: Op) -> bool:
    """Whether the tile results of `op` can be recomputed at any index."""
    if op.name in BUFFERED or op.name in TERMINATORS:
        return False
    if op.name == "tt.reduce":
        return is_inline_reduction(op)
    if op.name == "tt.map_elementwise":
        return is_elementwise_region(op.regions[0]) and op.attrs.get("pack", 1) == 1
    if op.regions:
        return False
    return bool(op.results) and isinstance(op.results[0].type, TileType)


class Placement:
    """`kept` holds every inline value that needs a buffer; `sites` where each value is read."""

    def __init__(self, body: Region, order: ProgramOrder, structure: Structure):
        self.order = order
        self.structure = structure
        self.distinct = distinct_arguments(body)
        self.kept: set[Value] = set()
        self.sites: dict[Value, set[Site]] = {}
        self.weight: dict[Value, int] = {}
        self._cost: dict[Value, float] = {}
        self._groups: dict[Op, Site] = {}
        self._keepers: dict[Value, Site] = {}
        self._written: dict[Site, set[Value | None]] = {}
        self._found: tuple[tuple[Site, int, int], dict[Op, set[Point]]] | None = None
        self._costs(body)
        self._backwards(body)

    # --- forward: costs and store groups -----------------------------------------------------
    def _costs(self, region: Region) -> None:
        for block in region.blocks:
            self._group_stores(block)
            for op in block.ops:
                if is_inline_op(op):
                    cost = own_cost(op, self.structure)
                    factor = 2.0 if op.name == "tt.reduce" else 1.0
                    for value in op.operands:
                        if value.shape:
                            cost += factor * self._cost.get(value, BUFFER_READ)
                    for result in op.results:
                        self._cost[result] = cost
                if op.name not in PURE_REGIONS:
                    for nested in op.regions:
                        self._costs(nested)

    def _group_stores(self, block: Block) -> None:
        group: list[Op] = []
        combs = Combs(self.distinct)

        def close() -> None:
            nonlocal combs
            combs = Combs(self.distinct)
            if group:
                site = Site(self.order.position[group[0]], group[0], tuple(group))
                for op in group:
                    self._groups[op] = site
                group.clear()

        for op in block.ops:
            if op.name == "tt.store" and op.operands[0].shape:
                pointer = op.operands[0]
                rank = len(pointer.shape)
                form = self.structure.of(pointer, identity_point(rank), rank)
                alike = not group or group[0].operands[0].shape == pointer.shape
                apart = combs.joins(root_pointer(pointer), form) and alike
                if not apart and not all(self._stores_mix(other, op) for other in group):
                    close()
                group.append(op)
            elif op.name == "tt.load" or _has_steps(op):
                close()
        close()

    def group_of(self, store: Op) -> Site:
        """The site of a store: the group of neighbouring stores that share its nest."""
        return self._groups[store]

    # --- backward: sites and decisions -------------------------------------------------------
    def _backwards(self, region: Region) -> None:
        for block in reversed(region.blocks):
            for op in reversed(block.ops):
                self._visit(op)

    def _visit(self, op: Op) -> None:
        if op.name not in PURE_REGIONS:
            for nested in reversed(op.regions):
                self._backwards(nested)
        if is_inline_op(op):
            self._decide(op)
            return
        site = self._groups.get(op) or Site(self.order.position[op], op)
        for value in op.operands:
            self._need(value, site, 1)
        for _, values in op.successors:
            for value in values:
                self._need(value, site, 1)
        if op.name in ("tt.scan", "tt.histogram"):
            self.kept.update(v for v in op.operands if v.shape)
        elif op.name == KEEP:
            self.kept.update(op.operands)
            self._keepers.update((v, site) for v in op.operands if self._is_beside(v, op))

    def _is_beside(self, value: Value, op: Op) -> bool:
        """Whether `value` is made in the block of `op`."""
        owner = value.defining_op
        return owner is not None and self.order.block_of[owner] is self.order.block_of[op]

    def _need(self, value: Value, site: Site, weight: int) -> None:
        if value.shape:
            self.sites.setdefault(value, set()).add(site)
            self.weight[value] = max(self.weight.get(value, 0), weight)

    def _decide(self, op: Op) -> None:
        sites: set[Site] = set().union(*(self.sites.get(r, set()) for r in op.results))
        if not sites:
            return
        weight = max(self.weight.get(r, 1) for r in op.results)
        keep = any(r in self.kept for r in op.results) or self._must_keep(op, sites)
        if not keep:
            repeats = len(sites) > 1 or weight > 1 or self._in_deeper_loop(op, sites)
            keep = repeats and self._cost[op.results[0]] > WORTH_A_BUFFER
        if keep:
            self.kept.update(r for r in op.results if self.sites.get(r))
            for result in op.results:
                self._cost[result] = BUFFER_READ
            keepers = {self._keepers[r] for r in op.results if r in self._keepers}
            sites = keepers or {Site(self.order.position[op], op)}
            weight = 1
        if op.name == "tt.gather":
            source = op.operands[0]
            self._need(source, Site(self.order.position[op], op), 1)
            self.kept.add(source)
        for k, value in enumerate(op.operands):
            if not value.shape or (op.name == "tt.gather" and k == 0):
                continue
            spread = op.name == "tt.broadcast" or op.name == "tt.reduce" or op.name == "tt.join"
            for site in sites:
                self._need(value, site, 2 if spread else weight)

    def _in_deeper_loop(self, op: Op, sites: set[Site]) -> bool:
        depth = len(self.order.loops[op])
        return any(len(self.order.loops[s.op]) > depth for s in sites)

    def _must_keep(self, op: Op, sites: set[Site]) -> bool:
        if op.name != "tt.load":
            return False
        if op.attrs.get("volatile"):
            return True
        return any(not self._may_move(op, site) for site in sites)

    # --- memory ------------------------------------------------------------------------------
    def _may_move(self, load: Op, site: Site) -> bool:
        """Whether `load` reads the same when done at `site` instead of where it stands."""
        order = self.order
        if order.written_between(order.position[load], site.position):
            return False
        outer = set(order.loops[load])
        if any(loop not in outer and order.writes_inside(loop) for loop in order.loops[site.op]):
            return False
        stores = site.stores or ((site.op,) if site.op.name in WRITES else ())
        return not stores or self._same_elements(load, stores, site)

    def _same_elements(self, load: Op, stores: tuple[Op, ...], site: Site) -> bool:
        """Whether, chunk by chunk, the load reads nothing that an earlier chunk's stores wrote."""
        rank = len(stores[0].operands[0].shape)
        read = load.operands[0]
        forms = [self.structure.of(read, point, rank) for point in self._loads_of(site, rank).get(load, ())]
        root = root_pointer(read)
        if site.stores and all(frozenset((root, x)) in self.distinct for x in self._roots(site)):
            return bool(forms)
        for pointer in (store.operands[0] for store in stores):
            written = self.structure.of(pointer, identity_point(rank), rank)
            if not all(self._mix(read, form, pointer, written) for form in forms):
                return False
        return bool(forms)

    def _roots(self, site: Site) -> set[Value | None]:
        """What the stores of a site write into."""
        found = self._written.get(site)
        if found is None:
            found = self._written[site] = {root_pointer(store.operands[0]) for store in site.stores}
        return found

    def _loads_of(self, site: Site, rank: int) -> dict[Op, set[Point]]:
        """Every index at which the site's roots read each load, in terms of the site's axes. What was found
        holds until another value is kept."""
        key = (site, rank, len(self.kept))
        if self._found is None or self._found[0] != key:
            self._found = (key, self._find_loads(site, rank))
        return self._found[1]

    def _find_loads(self, site: Site, rank: int) -> dict[Op, set[Point]]:
        found: dict[Op, set[Point]] = {}
        seen: set[tuple[Value, Point]] = set()
        own = identity_point(rank)
        pending = [(v, own) for op in (site.stores or (site.op,)) for v in op.operands if v.shape]
        while pending:
            value, point = pending.pop()
            if (value, point) in seen:
                continue
            seen.add((value, point))
            op = value.defining_op
            if op is None or value in self.kept or not is_inline_op(op):
                continue
            if op.name == "tt.load":
                found.setdefault(op, set()).add(point)
            mapped = operand_points(op, value, point)
            if mapped is None:
                mapped = [(Linear(None, (None,) * rank),) * len(v.shape) for v in op.operands]
            pending += [(v, p) for v, p in zip(op.operands, mapped, strict=True) if v.shape]
        return found

    def _stores_mix(self, first: Op, second: Op) -> bool:
        """Whether two stores may take turns chunk by chunk: where they overlap, the order stays."""
        one, other = first.operands[0], second.operands[0]
        if one.shape != other.shape:
            return False
        point = identity_point(len(one.shape))
        forms = [self.structure.of(pointer, point, len(point)) for pointer in (one, other)]
        return self._mix(one, forms[0], other, forms[1])

    def _mix(self, one: Value, first: Linear, other: Value, second: Linear) -> bool:
        """Whether accesses of these forms take turns without changing what they read and leave.

        Different arguments of a kernel are the same tensor, or do not overlap; which of the two, the
        kernel may say.
        """
        roots = [root_pointer(pointer) for pointer in (one, other)]
        if None not in roots and roots[0] is not roots[1]:
            return frozenset(roots) in self.distinct or same_strides(first, second, other.shape)
        return same_or_apart(first, second, other.shape)


def distinct_arguments(body: Region) -> set[frozenset[Value | None]]:
    """Pairs of pointers among the kernel's arguments of which it assumes, by `tl.assume`, that they are
    not equal."""
    found: set[frozenset[Value | None]] = set()
    pending = [op.operands[0] for op in body.entry.ops if op.name == "llvm.intr.assume"]
    while pending:
        op = pending.pop().defining_op
        if op is not None and op.name == "arith.andi":
            pending += op.operands
        if op is None or op.name != "arith.cmpi" or op.attrs["predicate"] != "ne":
            continue
        casts = [value.defining_op for value in op.operands]
        if all(cast is not None and cast.name == "tt.ptr_to_int" for cast in casts):
            found.add(frozenset(root_pointer(cast.operands[0]) for cast in casts if cast is not None))
    return {pair for pair in found if len(pair) == 2 and None not in pair}


def root_pointer(pointer: Value) -> Value | None:
    """The scalar that a tile of pointers starts from; None when there is no one."""
    while (op := pointer.defining_op) is not None and op.name in _SAME_ROOT:
        pointer = op.operands[0]
    return None if pointer.shape or pointer.defining_op is not None else pointer


__all__ = ["GATHER", "Placement", "Site", "is_elementwise_region", "is_inline_op", "is_inline_reduction"]
