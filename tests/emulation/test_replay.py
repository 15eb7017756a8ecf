"""Launches replayed in another process: memory comes back as the kernels left it, in any byte order, and a
case that dies costs itself alone."""

from __future__ import annotations

import struct

import pytest

from anychip.compiler import targets
from anychip.compiler.targets import machine
from anychip.emulation.cores import core_for
from anychip.emulation.execution import program_of
from anychip.emulation.replay import Case, Download, KernelCode, Launch, Upload, replay, swapped

SIGNATURE = "(ptr %args, i64 %first, i64 %last, i32 %x, i32 %y, i32 %z, ptr %arena)"
DOUBLE = f"""
define void @double_it{SIGNATURE} {{
  %p = load ptr, ptr %args
  %v = load i32, ptr %p
  %slot = getelementptr i8, ptr %args, i64 8
  %wide = load i64, ptr %slot
  %n = trunc i64 %wide to i32
  %r = mul i32 %v, %n
  store i32 %r, ptr %p
  ret void
}}
"""
TRAP = f"""
declare void @llvm.trap()
define void @trap{SIGNATURE} {{
  call void @llvm.trap()
  unreachable
}}
"""


def _case(kernel: str, value: int) -> Case:
    content = struct.pack("=i", value)
    return Case([Upload(0, content, 4), Launch(kernel, (1, 1, 1), ((0, 0), (-1, 3))), Download(0, 4, 4)])


def _replay(name: str, engine: str = "wasmtime") -> None:
    pytest.importorskip("ziglang")
    target = targets.get(name)
    core = core_for(target, engine=engine)
    if program_of(core) is None:
        pytest.skip(f"what runs code for {name} is not installed")
    kernels = {
        symbol: KernelCode(symbol, machine.emit_object(text, target), 64)
        for symbol, text in (("double_it", DOUBLE), ("trap", TRAP))
    }
    cases = [_case("double_it", 7), _case("trap", 1), _case("double_it", -5)]
    first, dead, last = replay(core, cases, kernels)
    assert struct.unpack("=i", first.memories[0]) == (21,)
    assert "the program" in dead.error
    assert struct.unpack("=i", last.memories[0]) == (-15,)


def test_on_this_machine():
    _replay("x86-64-v2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-a53", "z14", "cortex-a15", "wasm32"])
def test_on_other_chips(name: str):
    _replay(name)


@pytest.mark.slow
def test_in_node() -> None:
    _replay("wasm32", "node")


def test_bytes_of_elements_are_reversed():
    assert swapped(b"abcdefgh", 4) == b"dcbahgfe"
    assert swapped(b"abcdefgh", 1) == b"abcdefgh"
    assert swapped(swapped(b"abcdefghij", 8), 8) == b"abcdefghij"
