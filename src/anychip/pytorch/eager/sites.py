"""The native callable of each overload, and what is known of its calls. Flows in: the function that serves an
overload from Python. Flows out: what is registered in its place: native code that serves the signatures that
were recorded twice alike, and hands every other call to that function."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch._C._dynamo.guards import _empty_strided_cpu, _reinterpret_tensor  # pyright: ignore
from triton import knobs

from ...compiler import targets
from ...compiler.llvm.module import LLModule
from ...compiler.targets import llvm_versions, machine
from ...environment import SANITIZE
from ...ops.launching import launch_counts, launch_options, plans
from ...ops.launching.options import in_context
from ...ops.schemas import overload_of
from ...runtime import native
from ...runtime.cache import ObjectCache
from ...runtime.loader import LoadedCode, load
from ...runtime.native import python_api
from ...runtime.native.call import is_supported
from ...triton_backend import sanitizer
from .. import statistics
from ..observation import draws_random_numbers
from . import call, interface, numbers
from .recording import Recording, Trace
from .records import Record
from .structures import ENTRY, SITE, WORLD, Lazy

Function = Callable[..., Any]

_log = logging.getLogger(__name__)

RECORDS_KEPT, RECORDS_OF_ALL = 512, 8192
"""Signatures that one overload remembers, and records of all overloads; beyond, they are forgotten and all
begins anew."""

RECENT_RECORDS, IDLE_RECORDS, FEW_CALLS = 64, 2, 8
"""For so many records of the latest ones that fewer calls have met, a signature must be seen once more before
it is recorded."""

SMALLEST_TABLE = 8
_METH_VARARGS, _METH_KEYWORDS = 0x0001, 0x0002


def obstacle() -> str:
    """Why operators are called from Python throughout in this process, in words; "" where they are not."""
    if not is_supported():
        return "this Python has no interpreter lock"
    if sanitizer.wanted():
        return f"{SANITIZE} has every access of a kernel checked"
    return interface.missing()


_new_function = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)


class World:
    """What all sites share: the native code, its structure, and all sites."""

    def __init__(self) -> None:
        self.runtime = native.state()
        self._code = _load()
        hooks = knobs.runtime
        samples = (torch.float32, torch.strided, torch.contiguous_format)
        self._held = (
            in_context,
            hooks.launch_enter_hook.calls,
            hooks.launch_exit_hook.calls,
            "is_neg",
            "is_conj",
            _empty_strided_cpu,
            _reinterpret_tensor,
            _failed,
        )
        variable, enter, leave, is_negative, is_conjugate, allocate, reinterpret, fail = map(id, self._held)
        dtype, layout, memory_format = (id(type(sample)) for sample in samples)
        self.structure = WORLD.ctypes(
            state=self.runtime.address,
            context_options=variable,
            enter_calls=enter,
            exit_calls=leave,
            none=id(None),
            true=id(True),
            false=id(False),
            integer=id(int),
            floating=id(float),
            text=id(str),
            list=id(list),
            tuple=id(tuple),
            tensor=id(torch.Tensor),
            parameter=id(torch.nn.Parameter),
            dtype=dtype,
            layout=layout,
            memory_format=memory_format,
            is_negative=is_negative,
            is_conjugate=is_conjugate,
            offset=interface.handle_offset(),
            allocate=allocate,
            reinterpret=reinterpret,
            fail=fail,
        )
        self.address = ctypes.addressof(self.structure)
        self.definition = _MethodDefinition(
            b"operator",
            self._code[call.call.name],
            _METH_VARARGS | _METH_KEYWORDS,
            b"Serve one of PyTorch's operators on the CPU.",
        )
        self.nothing = (ENTRY.ctypes * SMALLEST_TABLE)()
        """A table without records."""
        self.sites: list[Site] = []
        self.records_made = 0
        self._selected: frozenset[str] = frozenset()
        self.recording = threading.Lock()
        self.settling = threading.Lock()
        self._thread = threading.local()
        plans.watch(self)
        launch_counts.sources.append(self.settle)
        statistics.native_clocks.append(self.seconds)

    def record_names(self) -> dict[int, str]:
        """The overload of each record that native code serves, by the record's address."""
        return {address: site.name for site in self.sites for address in site.addresses()}

    def settle(self) -> None:
        """Add what was counted natively to Python's counts."""
        for site in self.sites:
            site.settle()

    def seconds(self) -> float:
        """The time that the calling thread has spent in native calls."""
        number = getattr(self._thread, "clock", None)
        if number is None:
            number = self._thread.clock = call.clock_of(threading.get_ident())
        return self.structure.clocks[number] * 1e-9

    def plans_forgotten(self) -> None:
        """Operators plan anew: what was recorded of them is no longer what they do."""
        self.forget()

    def contexts_asked(self) -> None:
        """A context may have launch options of its own."""
        self.structure.by_context = 1

    def select(self, names: frozenset[str]) -> None:
        """These overloads are served from now on."""
        if names != self._selected:
            self.forget()
        self._selected = names

    def forget(self) -> None:
        """Have every overload begin anew."""
        for site in self.sites:
            site.forget()


class Site:
    """One overload. `functions` are those of all overloads that are registered beside it, by name."""

    def __init__(self, world: World, name: str, function: Function):
        self.name = name
        self._world = world
        self._function = function
        self._seen: dict[bytes, int | Trace | None] = {}
        """How often a signature was seen, its trace once it was recorded, None once it has a record."""
        self._patience = 1
        """How often a signature is seen before it is recorded."""
        self._records: dict[bytes, tuple[int, Record]] = {}
        self._recent: deque[Record] = deque(maxlen=RECENT_RECORDS)
        self._missed = self.missed
        self.functions: Mapping[str, Function] = {}
        self._entries: Any = None
        self.structure = SITE.ctypes(
            world=world.address,
            function=id(function),
            missed=id(self._missed),
            lazy=int(_lazy(name)),
            open=int(name in numbers.OPEN),
        )
        self._fill()
        self.callable = self._make_callable()
        """What is registered."""
        world.sites.append(self)

    def _make_callable(self) -> Function:
        pointer = ctypes.c_void_p(ctypes.addressof(self.structure))
        return _new_function(ctypes.addressof(self._world.definition), (bytes(pointer), self), None)

    @functools.cached_property
    def _overload(self) -> Any:
        return overload_of(self.name)

    @property
    def served(self) -> int:
        """Signatures that native code serves."""
        return sum(record.is_served for _, record in self._records.values())

    @property
    def native_calls(self) -> int:
        """Calls that native code served with the records at hand."""
        return sum(record.structure.calls for _, record in self._records.values())

    def addresses(self) -> list[int]:
        """Where native code finds the records."""
        return [record.address for _, record in list(self._records.values())]

    def settle(self) -> None:
        """Add what was counted natively to Python's counts."""
        with self._world.settling:
            for _, record in list(self._records.values()):
                record.settle()

    def forget(self) -> None:
        """Let go of all that is known."""
        self.settle()
        self._seen.clear()
        self._patience = 1
        self._records = {}
        self._recent.clear()
        self._fill()

    def _close(self) -> None:
        """Numbers are part of the signature from now on."""
        _log.debug("%s does not hand its numbers to kernels as they are", self.name)
        self.structure.open = 0
        self.forget()

    def missed(self, key: bytes, hash: int, arguments: tuple[Any, ...], keywords: Any) -> Any:
        """Make a call whose signature has no record: the first as ever, the next two watched. Where records
        turn out to be of little use, because a number is another one each time, more calls go before."""
        named = keywords or {}
        before = self._seen.get(key, 0)
        if isinstance(before, int) and before < self._patience:
            if len(self._seen) >= RECORDS_KEPT:
                self.forget()
            self._seen[key] = before + 1
            return self._function(*arguments, **named)
        if draws_random_numbers(self._overload, arguments, named):
            self._insert(key, hash, Record(key, 0), "it draws random numbers")
            return self._function(*arguments, **named)
        if not self._world.recording.acquire(blocking=False):
            return self._function(*arguments, **named)
        try:
            return self._watched(key, hash, arguments, named)
        finally:
            self._world.recording.release()

    def _watched(self, key: bytes, hash: int, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        values = list(_leaves((*arguments, *keywords.values())))
        tensors = [x for x in values if isinstance(x, torch.Tensor)]
        recording = Recording(self.functions, tensors)
        options = launch_options()
        result = recording.run(self._function, arguments, keywords)
        trace = recording.trace(result)
        if trace is not None and self.structure.open:
            trace = numbers.handed(trace, numbers.of_values(values))
            if trace is None:
                self._close()
        if key not in self._seen or options is not launch_options():
            return result  # forgotten meanwhile
        before = self._seen[key]
        if trace is None:
            self._insert(key, hash, Record(key, len(tensors)), recording.refusal)
        elif not isinstance(before, Trace):
            self._seen[key] = trace
        elif before != trace:
            self._insert(key, hash, Record(key, len(tensors)), "two calls did not do the same")
        else:
            self._insert(key, hash, Record(key, len(tensors), trace), "")
        return result

    def _insert(self, key: bytes, hash: int, record: Record, reason: str) -> None:
        if reason:
            _log.debug("%s is called from Python: %s", self.name, reason)
        if sum(len(site._records) for site in self._world.sites) >= RECORDS_OF_ALL:
            self._world.forget()
        self._seen[key] = None
        self._records[key] = hash, record
        self._world.records_made += 1
        if record.is_served:
            self._recent.append(record)
            idle = sum(recent.structure.calls < FEW_CALLS for recent in self._recent)
            self._patience = 1 + idle // IDLE_RECORDS
        if self._entries is not self._world.nothing and 2 * len(self._records) < self.structure.mask:
            self._place(self._entries, self.structure.mask, hash, record)
        else:
            self._fill()

    @staticmethod
    def _place(entries: Any, mask: int, hash: int, record: Record) -> None:
        """Put a record into a table that has room. The interpreter lock is held: no call looks meanwhile."""
        place = hash & mask
        while entries[place].record:
            place = (place + 1) & mask
        entries[place].hash, entries[place].record = hash, record.address

    def _fill(self) -> None:
        """Make the table of records anew, for twice as many. Sites without any share one that stays empty."""
        size = SMALLEST_TABLE
        while size < 4 * len(self._records):
            size *= 2
        entries = (ENTRY.ctypes * size)() if self._records else self._world.nothing
        for hash, record in self._records.values():
            self._place(entries, size - 1, hash, record)
        self.structure.entries = ctypes.addressof(entries)
        self.structure.mask = size - 1
        self._entries = entries


@functools.cache
def world() -> World | None:
    """What all sites share, or None where there is an `obstacle`."""
    return None if obstacle() else World()


@functools.cache
def site(name: str, function: Function) -> Site:
    """The site of an overload that `function` serves, where there is no `obstacle`. PyTorch keeps what is
    registered, so that there is one for each overload."""
    shared = world()
    assert shared is not None
    return Site(shared, name, function)


def natively(functions: Mapping[str, Function]) -> dict[str, Function]:
    """What is registered for functions that serve overloads on the CPU; what was recorded beside others,
    which it may have called, is forgotten. Without native code it is the functions themselves."""
    shared = world()
    if shared is None:
        return dict(functions)
    shared.select(frozenset(functions))
    made: dict[str, Function] = {}
    for name, function in functions.items():
        own = site(name, function)
        own.functions = functions
        made[name] = own.callable
    return made


@contextmanager
def through_python() -> Iterator[None]:
    """No call of the process is served by native code in the block."""
    shared = world()
    if shared is None:
        yield
        return
    shared.structure.closed += 1
    try:
        yield
    finally:
        shared.structure.closed -= 1


def _leaves(values: Sequence[Any]) -> Iterator[Any]:
    """Values with those in lists, in the order in which native code reads them."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value


LAZY_KEYS = {"Negative": Lazy.SIGN, "Conjugate": Lazy.CONJUGATION}
"""PyTorch's dispatch keys under which operators are registered that take tensors as they are."""


def _lazy(name: str) -> Lazy:
    """What may still be to be done to tensors that arrive at an overload."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    found = Lazy(0)
    for key, flag in LAZY_KEYS.items():
        if has(f"aten::{name}", key):
            found |= flag
    return found


def _failed(record: Record, step: int, code: int, x: int, y: int, z: int) -> None:
    """Raise what the launches of a native call came to."""
    record.fail(step, code, x, y, z)


class _MethodDefinition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def _load() -> LoadedCode:
    """The native code, compiled or from the cache."""
    module = LLModule()
    call.call.define(module)
    text, target = str(module), targets.host()
    maker = f"llvmlite {version('llvmlite')};LLVM {llvm_versions.installed_text()}"
    key = hashlib.sha256(f"{text};{target};{maker}".encode()).hexdigest()
    cache = ObjectCache("native")
    code = cache.get(key)
    if code is None:
        code = machine.emit_object(text, target)
        cache.put(key, code)
    imports = (
        python_api.imports()
        | interface.addresses()
        | {
            call.replay.name: native.state().replay_address,
            call.note_call.name: native.state().note_call_address,
        }
    )
    return load(code, [call.call.name], imports)
