"""The launcher's side of kernels with checks: makes a launch's table, and reads what the kernel wrote down.

In: the kernel's `CheckTable`, and the objects behind its pointer arguments. Out: the table's address, which
is the kernel's last argument, and after the launch the findings, which are raised, or told to whoever
listens. Who follows what was written to memory (`anychip.debug`) says so by `follow`.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..compiler.codegen.check_table import RECORD, REGION, YES, Check, CheckTable, Kind
from .errors import failure
from .findings import Finding, View, first_nonfinite
from .maps import Map, give_back, lend
from .slots import pointer_bits

Listener = Callable[[Sequence[Finding]], None]
Written = Callable[[Any], int]
"""Gives for an argument what to add to an address for the byte that says whether that was written; 0 where
all was."""

UNKNOWN = View(memory=(-(1 << 62), 1 << 62), known=False)
"""The memory behind an address of which nothing is known."""

_REGION = struct.Struct(f"{len(REGION.fields)}q")
"""All fields of a region are i64."""

_listeners: list[Listener] = []
_follower: list[Written] = []
_lasting: weakref.WeakSet[LaunchChecks] = weakref.WeakSet()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` what checks find, instead of raising it, while the context is open."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def follow(written: Written) -> Iterator[None]:
    """Ask `written` of the memory of arguments, while the context is open."""
    _follower.append(written)
    try:
        yield
    finally:
        _follower.remove(written)


def view_of(value: Any) -> View:
    """How the memory of a pointer argument is laid out: a tensor's, nothing for None, and not known for other
    objects."""
    if value is None:
        return View((0,), (1,))
    find = getattr(value, "untyped_storage", None)
    if find is None:
        return UNKNOWN
    storage = find()
    low = storage.data_ptr() - pointer_bits(value)
    size = value.element_size()
    return View(tuple(value.shape), tuple(value.stride()), size, (low, low + storage.nbytes()))


@functools.lru_cache(maxsize=64)
def members(view: View) -> Any:
    """A map of the bytes between a view's first and last element that are its elements'; None where all are,
    or elements overlap."""
    axes = [(stride * view.size, n) for n, stride in zip(view.shape, view.strides) if n > 1 and stride]
    pattern = bytes((YES,)) * view.size
    gaps = False
    for step, n in sorted(axes):
        if step < len(pattern):
            return None
        gaps = gaps or step > len(pattern)
        pattern = pattern.ljust(step, b"\0") * (n - 1) + pattern
    return ctypes.create_string_buffer(pattern, len(pattern)) if gaps and view.bytes else None


class KernelChecks:
    """What is the same for all launches of one kernel with checks."""

    def __init__(self, name: str, table: CheckTable):
        self.name, self.table = name, table
        wanted = {site.check for site in table.sites}
        self.looks_at_views = Check.BOUNDS in wanted
        self.start = REGION.size * len(table.slots)
        self.size = self.start + RECORD.size * len(table.sites)
        self.nothing_found = bytes(RECORD.size * len(table.sites))
        races = [site for site in table.sites if site.check is Check.RACE]
        self.read = frozenset(site.slot for site in races if site.kind is Kind.READ)
        self.written = frozenset(site.slot for site in races if site.kind is Kind.WRITE)

    def launch(
        self, owners: Mapping[int, Any], slots: Sequence[int], programs: int, lasting: bool
    ) -> LaunchChecks:
        """The checks of a launch whose pointers come from the objects `owners` (by slot)."""
        views = [view_of(owners[slot]) if slot in owners else UNKNOWN for slot in self.table.slots]
        addresses = [slots[slot] for slot in self.table.slots]
        shifts = [_follower[-1](owners.get(slot)) for slot in self.table.slots] if _follower else ()
        return LaunchChecks(self, views, addresses, programs, shifts, lasting)


class LaunchChecks:
    """The table of one launch. `views` are those of the pointer arguments, `addresses` what they hold,
    `shifts` what to add for the map of written bytes. `lasting`: the same table serves later launches on
    other memory, so that it says nothing of single bytes."""

    def __init__(
        self,
        kernel: KernelChecks,
        views: Sequence[View],
        addresses: Sequence[int],
        programs: int,
        shifts: Sequence[int] = (),
        lasting: bool = False,
    ):
        self.kernel, self.views = kernel, tuple(views)
        self._memory = ctypes.create_string_buffer(kernel.size + 1)
        self.address = ctypes.addressof(self._memory)
        self._kept: list[Any] = []
        self._lent: list[Map] = []
        if lasting:
            _lasting.add(self)
        detailed = not lasting
        between = self._between_programs(addresses) if detailed and programs > 1 and kernel.written else {}
        for number, (slot, view, address) in enumerate(zip(kernel.table.slots, self.views, addresses)):
            low, high = (0, view.bytes) if view.known else view.memory
            gaps, written, writers, readers = 0, 0, 0, 0
            if view.known and detailed:
                if kernel.looks_at_views and (map := members(view)) is not None:
                    self._kept.append(map)
                    gaps = ctypes.addressof(map) - address
                written = shifts[number] if shifts else 0
                writers, readers = between.get(slot, (0, 0))
            fields = (low, high, *view.memory, gaps, written, writers, readers, slot)
            _REGION.pack_into(self._memory, number * REGION.size, *fields)

    def _between_programs(self, addresses: Sequence[int]) -> dict[int, tuple[int, int]]:
        """What to add to an address, by slot, for the maps of writers and of readers: of memory that the
        kernel writes. Where it reads none of it, one map serves for both."""
        kernel = self.kernel
        slots: dict[tuple[int, int], list[int]] = {}
        for slot, view, address in zip(kernel.table.slots, self.views, addresses):
            begin, end = (address + bound for bound in view.memory)
            if view.known and begin < end:
                slots.setdefault((begin, end - begin), []).append(slot)
        found: dict[int, tuple[int, int]] = {}
        for (begin, size), own in slots.items():
            if kernel.written.isdisjoint(own):
                continue
            writers = readers = self._lend(size) - begin
            if not kernel.read.isdisjoint(own):
                readers = self._lend(size) - begin
            found.update((slot, (writers, readers)) for slot in own)
        return found

    def _lend(self, size: int) -> int:
        """The address of zeros for this launch."""
        map = lend(size)
        self._lent.append(map)
        return map.address

    def findings(self) -> list[Finding]:
        """What was written down, which is forgotten by this."""
        kernel = self.kernel
        while self._lent:
            give_back(self._lent.pop())
        if self._memory.raw[kernel.start : -1] == kernel.nothing_found:
            return []
        records = (RECORD.ctypes * len(kernel.table.sites)).from_buffer(self._memory, kernel.start)
        by_slot = dict(zip(kernel.table.slots, self.views))
        found = []
        for site, record in zip(kernel.table.sites, records):
            if record.count:
                view = by_slot.get(site.slot, View(known=False))
                place = (tuple(record.program), record.lane, record.offset, record.detail, record.count)
                found.append(Finding(kernel.name, site, *place, view))
                record.count = 0
        order = list(Check)
        return first_nonfinite(sorted(found, key=lambda finding: order.index(finding.site.check)))

    def tell(self) -> None:
        """Raise the first finding, or tell all of them to whoever listens. Raises `CheckFailed`."""
        found = self.findings()
        if not found:
            return
        if not _listeners:
            raise failure(found[0])
        for listener in tuple(_listeners):
            listener(found)


def tell_replayed() -> None:
    """What the launches of a list that was replayed have found. Raises `CheckFailed`."""
    for table in tuple(_lasting):
        table.tell()
