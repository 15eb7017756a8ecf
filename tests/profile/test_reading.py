"""What profiles are made of, without a program: events, nesting of calls, perf's text, two profiles
compared."""

from __future__ import annotations

import itertools
import json
import struct
import sys
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

from anychip.profile import counters
from anychip.profile.events import Event, read
from anychip.profile.foreign_events import Span
from anychip.profile.result import KernelRow, OperatorRow, Profile, UnreadableProfile, from_json
from anychip.profile.rows import Callers
from anychip.profile.sampling import LONGEST, PERIOD, line_of, next_wait
from anychip.profile.table import compare, kernel_cells, remarks
from anychip.profile.work import KernelWork

RECORDED = """# started on Mon Nov 30 19:24:11 2026

<not supported>;;cycles;0;100.00;;
<not supported>;;instructions;0;100.00;;
0.62;msec;task-clock;621834;100.00;0.237;CPUs utilized
48;;page-faults;623130;100.00;77.191;K/sec
0;;context-switches:u;623130;100.00;0.000;K/sec
"""
"""As perf 6.1 wrote it on a virtual machine without counters."""

COUNTED = """
2000;;cycles:u;500;100.00;;
3000;;instructions:u;500;100.00;1.50;insn per cycle
12,5;msec;task-clock;1;100.00;1,0;CPUs utilized
"""

INTEGERS = """
module {
  tt.func public @products(%x: !tt.ptr<i8>, %y: !tt.ptr<i32>, %n: i32) {
    %zero = arith.constant dense<0> : tensor<16x16xi32>
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %p = tt.splat %x : !tt.ptr<i8> -> tensor<16x16x!tt.ptr<i8>>
    %q = tt.splat %y : !tt.ptr<i32> -> tensor<16x16x!tt.ptr<i32>>
    %sum = scf.for %k = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<16x16xi32>) : i32 {
      %a = tt.load %p : tensor<16x16x!tt.ptr<i8>>
      %d = tt.dot %a, %a, %acc : tensor<16x16xi8> * tensor<16x16xi8> -> tensor<16x16xi32>
      scf.yield %d : tensor<16x16xi32>
    }
    tt.store %q, %sum : tensor<16x16x!tt.ptr<i32>>
    tt.return
  }
}
"""


def event(kind: int, slots: tuple[int, ...] = ()) -> bytes:
    return struct.pack(
        f"<{12 + len(slots)}Q", 12 + len(slots), kind, 7, 10, 30, 1, 2, 18, 11, 4, 1, 1, *slots
    )


def test_events_are_read_until_the_first_that_found_no_room() -> None:
    found = list(read(event(0, (5, 6)) + event(1) + bytes(96)))
    assert found == [
        Event(0, 7, 10, 30, 1, 2, 18, 11, (4, 1, 1), (5, 6)),
        Event(1, 7, 10, 30, 1, 2, 18, 11, (0, 0, 0), ()),
    ]
    assert found[0].nanoseconds == 20


def test_own_time_leaves_out_calls_inside() -> None:
    calls = [
        Span("outer", 0, 100, 1),
        Span("inner", 10, 40, 1),
        Span("deep", 20, 30, 1),
        Span("other", 15, 95, 2),
    ]
    callers = Callers(calls)
    own = {call.name: time for call, time in zip(callers.calls, callers.own)}
    assert own == {"outer": 70, "inner": 20, "deep": 10, "other": 80}

    def around(thread: int, time: int) -> str:
        number = callers.around(thread, time)
        return callers.calls[number].name if number >= 0 else ""

    assert [around(1, t) for t in (5, 25, 35, 60, 101)] == ["outer", "deep", "inner", "outer", ""]
    assert around(2, 25) == "other"


def test_counters_that_a_machine_lacks_are_named() -> None:
    found = counters.parse(RECORDED)
    assert found.absent == ("cycles", "instructions")
    assert found.values == {"task-clock": 0.62, "page-faults": 48.0, "context-switches": 0.0}


def test_counters_are_read() -> None:
    found = counters.parse(COUNTED)
    assert found.values["instructions per cycle"] == 1.5
    assert found.values["task-clock"] == 12.5
    assert not found.absent


def test_integer_products_and_bytes_are_counted() -> None:
    kernel = KernelWork(INTEGERS)
    assert kernel.element == "i8"
    work = kernel.of(kernel.integers((0, 0, 5)), (3, 1, 1))
    assert work.operations == 3 * 5 * 2 * 16**3
    assert work.bytes == 3 * (5 * 256 + 4 * 256)


def made(seconds: float, launches: int) -> Profile:
    return Profile(
        command="program",
        seconds=1.0,
        processor_seconds=1.0,
        threads=2,
        kernels=(
            KernelRow("add", launches, seconds, 1.0, ("add.Tensor",), 100, None, least_seconds=seconds / 4),
        ),
        operators=(OperatorRow("add.Tensor", launches, seconds, seconds, seconds, launches),),
        memory=((0.0, 1 << 20, 0),),
        stacks=((("main", "kernel add"), 3),),
        left_out=("mm x2: PyTorch's own kernels",),
    )


def test_json_gives_the_profile_again() -> None:
    profile = made(0.5, 3)
    assert from_json(json.loads(json.dumps(profile.to_json()))) == profile
    with pytest.raises(UnreadableProfile, match="format 7"):
        from_json({**profile.to_json(), "format": 7})
    with pytest.raises(UnreadableProfile, match="no profile"):
        from_json([])


def test_the_largest_change_comes_first() -> None:
    before, after = made(0.5, 3), made(0.2, 4)
    changes = compare(before, after)
    assert [change.kind for change in changes] == ["kernel", "operator"]
    assert changes[0].calls == (3, 4)
    assert changes[0].difference == pytest.approx(-0.3)


def test_what_nobody_knows_is_not_a_number() -> None:
    cells = kernel_cells(made(0.5, 3))[0]
    assert cells[5] == "?"
    assert cells[6] == "25%"
    assert "left out: mm x2: PyTorch's own kernels" in remarks(made(0.5, 3))


def test_perf_comes_before_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters.shutil, "which", lambda name: None)
    assert counters.command(["python"], Path("file")) is None
    monkeypatch.setattr(counters.shutil, "which", lambda name: f"/usr/bin/{name}")
    command = counters.command(["python", "a.py"], Path("file"))
    assert command is not None
    assert command[:2] == ["/usr/bin/perf", "stat"]
    assert command[-3:] == ["--", "python", "a.py"]


def test_samples_are_taken_by_processor_time() -> None:
    assert next_wait(PERIOD, PERIOD) == PERIOD
    assert next_wait(PERIOD, PERIOD / 4) == 4 * PERIOD
    assert next_wait(PERIOD, 2 * PERIOD) == PERIOD
    assert next_wait(PERIOD, 0.0) == LONGEST


def test_lines_are_those_of_frames() -> None:
    def running() -> Generator[FrameType, None, None]:
        yield sys._getframe()
        raise AssertionError

    (frame,) = itertools.islice(stopped := running(), 1)
    assert line_of(frame.f_code, frame.f_lasti) == frame.f_lineno
    stopped.close()
