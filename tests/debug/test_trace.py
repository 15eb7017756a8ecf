"""`anychip debug trace`: values of a line in one program, compared with what NumPy computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anychip.cli.debug.trace import trace
from anychip.cli.errors import CommandError
from anychip.debug.watching import MOST_VISITS, CannotTrace, run, watch

TTIR = """
#a = loc("kernel.py":10:4)
#b = loc("kernel.py":11:4)
#c = loc("kernel.py":12:4)
module {
  tt.func public @sums(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %n: i32) {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c8 = arith.constant 8 : i32
    %zero = arith.constant dense<0.0> : tensor<2x4xf32>
    %pid = tt.get_program_id x : i32
    %start = arith.muli %pid, %c8 : i32
    %r = tt.make_range {end = 8 : i32, start = 0 : i32} : tensor<8xi32>
    %s = tt.splat %start : i32 -> tensor<8xi32>
    %o = arith.addi %r, %s : tensor<8xi32>
    %o2 = tt.reshape %o : tensor<8xi32> -> tensor<2x4xi32>
    %p = tt.splat %x : !tt.ptr<f32> -> tensor<2x4x!tt.ptr<f32>>
    %px = tt.addptr %p, %o2 : tensor<2x4x!tt.ptr<f32>>, tensor<2x4xi32>
    %t = scf.for %k = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<2x4xf32>) : i32 {
      %v = tt.load %px : tensor<2x4x!tt.ptr<f32>> loc(#a)
      %next = arith.addf %acc, %v : tensor<2x4xf32> loc(#b)
      scf.yield %next : tensor<2x4xf32>
    }
    %q = tt.splat %y : !tt.ptr<f32> -> tensor<2x4x!tt.ptr<f32>>
    %py = tt.addptr %q, %o2 : tensor<2x4x!tt.ptr<f32>>, tensor<2x4xi32>
    tt.store %py, %t : tensor<2x4x!tt.ptr<f32>> loc(#c)
    tt.return
  }
}
"""

PROGRAM = """
import torch, triton, triton.language as tl

@triton.jit
def scale(x, n, B: tl.constexpr):
    k = tl.program_id(0) * B + tl.arange(0, B)
    value = tl.load(x + k, mask=k < n)
    twice = value * 2
    tl.store(x + k, twice, mask=k < n)

x = torch.arange(10.0)
for _ in range(2):
    scale[(3,)](x, 10, B=4)
print(x.tolist())
"""


def test_a_value_in_a_loop_is_shown_each_time_it_is_passed() -> None:
    x, y = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    visits = run(watch(TTIR, 11), (x.ctypes.data, y.ctypes.data, 3), (4, 1, 1), (2, 0, 0))
    tile = x[16:24].reshape(2, 4)
    assert visits.passed == 3
    np.testing.assert_array_equal(visits.values, np.stack([tile, 2 * tile, 3 * tile]))
    many = run(watch(TTIR, 11), (x.ctypes.data, y.ctypes.data, MOST_VISITS + 5), (4, 1, 1), (0, 0, 0))
    assert many.passed == MOST_VISITS + 5
    assert len(many.values) == MOST_VISITS


def test_of_a_store_it_is_the_stored_value() -> None:
    x, y = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    watched = watch(TTIR, 12)
    assert str(watched.type) == "tensor<2x4xf32>"
    visits = run(watched, (x.ctypes.data, y.ctypes.data, 2), (4, 1, 1), (1, 0, 0))
    np.testing.assert_array_equal(visits.values[0], 2 * x[8:16].reshape(2, 4))


def test_lines_without_values_and_programs_outside_are_refused() -> None:
    with pytest.raises(CannotTrace, match="lines that do: 10, 11, 12"):
        watch(TTIR, 9)
    with pytest.raises(CannotTrace, match="begins with 'other'; it has next"):
        watch(TTIR, 11, "other")
    with pytest.raises(CannotTrace, match="no program"):
        run(watch(TTIR, 12), (0, 0, 0), (4, 1, 1), (4, 0, 0))


def test_a_program_goes_on_as_if_nobody_had_looked(tmp_path: Path) -> None:
    script, array = tmp_path / "script.py", tmp_path / "values.npy"
    script.write_text(PROGRAM)
    command = [
        sys.executable, "-m", "anychip", "debug", "trace", "--json", "--line", "8", "--program", "1",
        "--launch", "1", "--save", str(array), "scale", str(script),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr
    assert str([4.0 * k for k in range(10)]) in done.stderr
    found = json.loads(done.stdout)
    assert found["visits"] == [{"visit": 0, "value": [16.0, 20.0, 24.0, 28.0]}]
    np.testing.assert_array_equal(np.load(array), [[16.0, 20.0, 24.0, 28.0]])


def test_an_option_behind_the_script_is_the_scripts_own() -> None:
    with pytest.raises(CommandError, match=r"(?s)a line is needed.*--line 12 scale script\.py"):
        trace("scale", ["script.py", "--line", "8"])
