"""The launcher's side of kernels with checks: makes a launch's table, and reads what the kernel wrote down.

In: the kernel's `CheckTable`, and the objects behind its pointer arguments. Out: the table's address, which
is the kernel's last argument, and after the launch the findings, which are raised, or told to whoever
listens. Who follows what was written to memory (`anychip.debug`) says so by `follow`.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..compiler.codegen.check_table import RECORD, REGION, YES, Check, CheckTable
from .errors import failure
from .findings import Finding, View, first_nonfinite
from .slots import pointer_bits

Listener = Callable[[Sequence[Finding]], None]
Written = Callable[[Any], int]
"""Gives for an argument what to add to an address for the byte that says whether that was written; 0 where
all was."""

UNKNOWN = View(memory=(-(1 << 62), 1 << 62), known=False)
"""The memory behind an address of which nothing is known."""

_PAGES = 1 << 16
"""Bytes from which on a map is made of pages, which cost nothing before they are touched."""

_listeners: list[Listener] = []
_follower: list[Written] = []
_lasting: weakref.WeakSet[LaunchTable] = weakref.WeakSet()


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


class LaunchTable:
    """The table of one launch. `views` are those of the pointer arguments, `addresses` what they hold,
    `maps` what to add for the map of written bytes.
    `lasting`: the same table serves later launches on other memory, so that it says nothing of single bytes.
    """

    def __init__(
        self,
        name: str,
        table: CheckTable,
        views: Sequence[View],
        addresses: Sequence[int],
        programs: int,
        maps: Sequence[int] = (),
        lasting: bool = False,
    ):
        self.name, self.table, self.views = name, table, tuple(views)
        wanted = {site.check for site in table.sites}
        self._start = REGION.size * len(table.slots)
        self._memory = ctypes.create_string_buffer(self._start + RECORD.size * len(table.sites) + 1)
        if lasting:
            _lasting.add(self)
        self._maps: list[Any] = []
        self._shared: dict[tuple[int, int], tuple[int, int]] = {}
        self.address = ctypes.addressof(self._memory)
        regions = (REGION.ctypes * len(table.slots)).from_buffer(self._memory)
        for region, slot, view, address, written in zip(
            regions, table.slots, self.views, addresses, maps or [0] * len(table.slots)
        ):
            region.slot = slot
            region.memory_low, region.memory_high = view.memory
            region.low, region.high = (0, view.bytes) if view.known else view.memory
            if not view.known or lasting:
                continue
            if Check.BOUNDS in wanted:
                region.members = self._keep(members(view), address)
            begin, size = address + view.memory[0], view.memory[1] - view.memory[0]
            region.initialised = written
            if Check.RACE in wanted and size and programs > 1:
                region.writers, region.readers = self._of_launch(begin, size)

    def _keep(self, map: Any, address: int) -> int:
        """What to add to an address for its place in a map that begins at `address`."""
        if map is None:
            return 0
        self._maps.append(map)
        return ctypes.addressof(map) - address

    def _of_launch(self, begin: int, size: int) -> tuple[int, int]:
        """Two maps of some memory, zero, for this launch alone; arguments of one memory share them."""
        key = (begin, size)
        if key not in self._shared:
            self._shared[key] = (self._keep(_zeros(size), begin), self._keep(_zeros(size), begin))
        return self._shared[key]

    def findings(self) -> list[Finding]:
        """What was written down, which is forgotten by this."""
        records = (RECORD.ctypes * len(self.table.sites)).from_buffer(self._memory, self._start)
        by_slot = dict(zip(self.table.slots, self.views))
        found = []
        for site, record in zip(self.table.sites, records):
            if record.count:
                view = by_slot.get(site.slot, View(known=False))
                found.append(
                    Finding(
                        self.name,
                        site,
                        tuple(record.program),
                        record.lane,
                        record.offset,
                        record.detail,
                        record.count,
                        view,
                    )
                )
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


def of_launch(
    name: str,
    table: CheckTable,
    owners: Mapping[int, Any],
    slots: Sequence[int],
    programs: int,
    lasting: bool,
) -> LaunchTable:
    """The table of a launch whose pointers come from the objects `owners` (by slot)."""
    views = [view_of(owners[slot]) if slot in owners else UNKNOWN for slot in table.slots]
    maps = [_follower[-1](owners.get(slot)) if _follower else 0 for slot in table.slots]
    return LaunchTable(name, table, views, [slots[slot] for slot in table.slots], programs, maps, lasting)


def _zeros(size: int) -> Any:
    if size < _PAGES:
        return ctypes.create_string_buffer(size)
    return (ctypes.c_char * size).from_buffer(mmap.mmap(-1, size))
