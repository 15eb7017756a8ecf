"""Instructions under QEMU: a kernel whose loop is written down executes as many as the loop says."""

from __future__ import annotations

import struct

import pytest

from anychip.compiler import targets
from anychip.compiler.targets import machine
from anychip.emulation.cores import core_for
from anychip.emulation.counting import count
from anychip.emulation.errors import EmulationError
from anychip.emulation.execution import program_of
from anychip.emulation.replay import Case, Download, KernelCode, Launch, Upload

SIGNATURE = "(ptr %args, i64 %first, i64 %last, i32 %x, i32 %y, i32 %z, ptr %arena)"
LOOP = f"""
define void @looping{SIGNATURE} {{
entry:
  %p = load ptr, ptr %args
  %slot = getelementptr i8, ptr %args, i64 8
  %n = load i64, ptr %slot
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%next, %loop]
  %v = load volatile i32, ptr %p
  %w = add i32 %v, 3
  store volatile i32 %w, ptr %p
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def counted(name: str, turns: int, launches: int = 1) -> int:
    target = targets.get(name)
    content = struct.pack("<i", 0)
    launched = [Launch("looping", (1, 1, 1), ((0, 0), (-1, turns)))] * launches
    case = Case([Upload(0, content, 4), *launched, Download(0, 4, 4)])
    kernels = {"looping": KernelCode("looping", machine.emit_object(LOOP, target), 64)}
    return count(core_for(target, emulate_native=True), [case], kernels)["looping"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-a76", "rv64gc"])
def test_each_turn_of_a_loop_costs_the_same(name: str) -> None:
    pytest.importorskip("ziglang")
    if program_of(core_for(targets.get(name))) is None:
        pytest.skip(f"what runs code for {name} is not installed")
    ten, twenty, thirty = (counted(name, turns) for turns in (10, 20, 30))
    assert thirty - twenty == twenty - ten
    assert 40 <= twenty - ten <= 80
    assert counted(name, 10, launches=3) == 3 * ten


def test_only_qemus_user_mode_counts() -> None:
    with pytest.raises(EmulationError, match="user mode"):
        count(core_for(targets.get("cortex-m4")), [], {})
