"""Linking of object code: symbols of the process, missing symbols, memory given back."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable

import pytest
from tests.memory import least_growth, needs_resident_bytes
from tests.runtime import handwritten

from anychip.compiler import targets
from anychip.compiler.targets import machine
from anychip.runtime import function, loader
from anychip.runtime.binary import pack, unpack
from anychip.runtime.errors import CorruptBinary, LoadError
from anychip.runtime.function import share

CALLER = """
declare i64 @strlen(ptr)
define i64 @length(ptr %text) {
  %n = call i64 @strlen(ptr %text)
  ret i64 %n
}
"""

MISSING = """
declare void @no_such_function_anywhere()
define void @entry() {
  call void @no_such_function_anywhere()
  ret void
}
"""

BULK = (
    '@bulk = global [1000000 x i8] c"' + "x" * 1_000_000 + '"\n' + "define ptr @where() { ret ptr @bulk }\n"
)


def compiled(text: str) -> bytes:
    return machine.emit_object(text, targets.host())


def test_objects_may_call_what_the_process_exports():
    code = loader.load(compiled(CALLER), ("length",))
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(code["length"])(b"seven..") == 7


def test_addresses_can_be_given_for_symbols():
    callback = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(lambda text: 123)
    address = ctypes.cast(callback, ctypes.c_void_p).value or 0
    code = loader.load(compiled(CALLER), ("length",), {"strlen": address})
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(code["length"])(b"") == 123


def test_a_symbol_found_nowhere_is_named(capfd):
    with pytest.raises(LoadError, match="entry"):
        loader.load(compiled(MISSING), ("entry",))
    assert "no_such_function_anywhere" in capfd.readouterr().err


def test_damaged_objects_are_refused():
    with pytest.raises(LoadError, match="length: cannot be linked"):
        loader.load(compiled(CALLER)[:100], ("length",))


@needs_resident_bytes
def test_memory_of_dropped_code_is_given_back():
    bulk = compiled(BULK)

    def load(times: int) -> None:
        for _ in range(times):
            loader.load(bulk, ("where",))

    load(5)
    assert least_growth(lambda: load(20), times=3) < 7_000_000


def test_equal_binaries_are_loaded_once_while_they_are_held():
    data = pack(handwritten.binary("shared", handwritten.TALLY, ("!tt.ptr<i64>",)))
    target = unpack(data).target
    first = share(data, target)
    assert share(bytes(bytearray(data)), target) is first
    reference = weakref.ref(first)
    del first
    gc.collect()
    assert reference() is None
    with pytest.raises(CorruptBinary, match="this process needs another"):
        share(data, "another")


def test_a_child_loads_though_a_thread_of_its_parent_was_loading():
    data = pack(handwritten.binary("child", handwritten.TALLY, ("!tt.ptr<i64>",)))
    target = unpack(data).target
    with loader._lock, function._sharing:
        assert in_a_child(lambda: share(data, target)) == 0


def test_a_child_compiles_and_loads_while_threads_of_its_parent_do():
    """Whatever the threads are at: in LLVM's passes, its code generator or its linker."""
    target = targets.host()
    done, ended = [0, 0], threading.Event()

    def compile_and_load() -> None:
        assert loader.load(machine.emit_object(CALLER, target), ["length"])["length"]

    def work(number: int) -> None:
        while not ended.is_set():
            compile_and_load()
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(done))]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            time.sleep(number * 1e-3)
            assert in_a_child(compile_and_load) == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert min(done) > 0


def in_a_child(work: Callable[[], object]) -> int:
    """The exit status of a forked child that does `work`: negative where it stood still."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(30)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
