"""The native part of the runtime: written in LLVM IR, compiled once and kept as object code.

`call` is what Python calls for a launch, with `packing` of its arguments; `grid` runs launches over
threads, `cooperative` those whose programs wait for each other; `team` has the threads, `pool` those of
processes without OpenMP; `job` is a launch while it runs, `memory` its scratch memory; `interrupt` ends
launches at a signal, `fault` explains a death; `events` writes launches down for who profiles; `replay`
runs a recorded list of launches by `interpreter`. `structures` describes the structures that they share
with Python. `state()` compiles or loads all this and gives the one `Native` object of the process."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import NoReturn

from ...compiler import targets
from ...compiler.llvm.module import LLModule
from ...compiler.targets import llvm_versions, machine
from .. import openmp
from ..cache import ObjectCache
from ..loader import LoadedCode, load
from ..slots import Opcodes
from . import call, python_api
from .events import note_call
from .fault import FAULTS, watch_faults
from .fault import is_supported as handles_faults
from .grid import run
from .memory import trim
from .replay import replay
from .structures import STATE

ENTRY_POINTS = (run, trim, call.launch, replay, watch_faults, note_call)


class Native:
    """The native runtime, loaded. `state` is shared memory: see `layout.STATE`."""

    def __init__(self) -> None:
        main_thread = threading.main_thread().ident or 0
        self.state = STATE.ctypes(thread_limit=_thread_limit(), main_thread=main_thread)
        self.address = ctypes.addressof(self.state)
        self._is_child = False
        self._code = _load()
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self.run = ctypes.CFUNCTYPE(
            ctypes.c_int32, pointer, pointer, pointer, integer, integer, integer, pointer
        )(self._code[run.name])
        self.replay = ctypes.CFUNCTYPE(ctypes.c_int32, pointer, pointer, pointer, pointer)(
            self._code[replay.name]
        )
        self._trim = ctypes.CFUNCTYPE(None, pointer)(self._code[trim.name])
        self._definition = call.make_definition(self._code[call.launch.name])
        self._watch_faults()
        self.attach_threads()
        os.register_at_fork(after_in_child=self._after_fork)

    @property
    def replay_address(self) -> int:
        """Where the interpreter of launch lists is, for native code of others."""
        return self._code[replay.name]

    @property
    def note_call_address(self) -> int:
        """Where the function is that writes down calls, for native code of others."""
        return self._code[note_call.name]

    def _watch_faults(self) -> None:
        """Have faults in kernels explained, unless ANYCHIP_FAULTS=0 says that nobody wants that."""
        if handles_faults() and os.environ.get("ANYCHIP_FAULTS") != "0":
            watch = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)(self._code[watch_faults.name])
            for signal in FAULTS:
                watch(self.address, signal)

    def launcher(
        self, opcodes: Opcodes, fallback: Callable[..., None], fail: Callable[..., None]
    ) -> Callable[..., None] | None:
        """The native launcher of a kernel (see `call`), or None on an interpreter without one."""
        if not call.is_supported():
            return None
        return call.make_launcher(self._definition, self.address, opcodes, fallback, fail)

    def attach_threads(self) -> bool:
        """Use the OpenMP runtime of this process, if one is loaded by now. Returns whether."""
        if self.state.run_team or self._is_child:
            return bool(self.state.run_team)
        runtime = openmp.find()
        if runtime is None:
            return False
        self.state.team_member = runtime.team_member
        self.state.in_team = runtime.in_team
        if not self.state.thread_count:
            self.state.thread_count = runtime.thread_count
        self.state.run_team = runtime.run_team
        return True

    def count_threads_by(self, address: int) -> None:
        """Ask the C function `int f(void)` at `address` how many threads a launch may use, instead
        of OpenMP's maximum, which each new thread of the program has at its default."""
        self.state.thread_count = address

    def raise_interruption(self) -> NoReturn:
        """Raise what Python's handlers of a signal raised during the launch that this thread just made."""
        state = self.state
        raised = (state.raised_type, state.raised_value, state.raised_traceback)
        state.raised_type = state.raised_value = state.raised_traceback = None
        restore = ctypes.pythonapi.PyErr_Restore
        restore.argtypes = (ctypes.c_void_p,) * 3
        restore.restype = None
        restore(*raised)
        raise AssertionError("a launch was interrupted by nothing")

    def divert(self, change: int) -> None:
        """While the sum of changes is not zero, launches go through Python."""
        self.state.diverted += change

    def trim(self) -> None:
        """Give scratch memory that no launch holds back to the system."""
        self._trim(self.address)

    def _after_fork(self) -> None:
        """A child has none of its parent's threads, and locks may have been held by them. GNU
        OpenMP waits for them for ever, so the child uses a pool of our own, and operators of PyTorch's
        own, which would wait, run on one thread."""
        self._is_child = True
        if self.state.run_team and (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(1)
        self.state.lock = 0
        self.state.pool = None
        self.state.run_team = None
        self.state.in_team = None
        self.state.main_thread = threading.get_ident()
        self.state.current = None


@functools.cache
def state() -> Native:
    """The native runtime of this process."""
    return Native()


def _thread_limit() -> int:
    """Threads for launches in a process without OpenMP: as OMP_NUM_THREADS says, which OpenMP would
    obey, else one for each processor that this process may use."""
    wish = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _key(text: str, target: targets.Target) -> str:
    """The name of the object code in the cache: what it is made from, for and by. A build of llvmlite may
    bring another LLVM than the one of the same version that PyPI has."""
    maker = f"llvmlite {version('llvmlite')};LLVM {llvm_versions.installed_text()}"
    return hashlib.sha256(f"{text};{target};{maker}".encode()).hexdigest()


def text() -> str:
    """The native part as LLVM IR: the entry points and all that they call."""
    module = LLModule()
    for entry in ENTRY_POINTS:
        entry.define(module)
    return str(module)


def _load() -> LoadedCode:
    ir, target = text(), targets.host()
    key = _key(ir, target)
    cache = ObjectCache("native")
    code = cache.get(key)
    if code is None:
        code = machine.emit_object(ir, target)
        cache.put(key, code)
    return load(code, [entry.name for entry in ENTRY_POINTS], python_api.imports())
