"""Calls are replaced by what they call, with the meaning and the locations kept."""

from __future__ import annotations

import pytest

from anychip.compiler.errors import UnsupportedOperation
from anychip.compiler.ir.core import Module
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse
from anychip.compiler.ir.verifier import verify


def _inlined(text: str) -> Module:
    module = parse(f"module {{\n{text}\n}}")
    verify(module)
    inline_calls(module)
    verify(module)
    return module


TWICE = """
  tt.func private @twice(%x: f32) -> f32 {
    %y = arith.addf %x, %x : f32 loc("user.py":20:5)
    tt.return %y : f32
  }"""

EARLY = """
  tt.func private @early(%x: f32, %c: i1) -> f32 {
    %y = arith.addf %x, %x : f32 loc("user.py":30:5)
    cf.cond_br %c, ^bb1, ^bb2(%y : f32)
  ^bb1:
    tt.return %x : f32
  ^bb2(%z: f32):
    %w = arith.mulf %z, %y : f32
    tt.return %w : f32
  }"""


def test_single_block_callee_is_spliced() -> None:
    module = _inlined(f"""
      tt.func public @kernel(%p: !tt.ptr<f32>, %f: f32) {{
        %a = tt.call @twice(%f) : (f32) -> f32 loc("user.py":3:9)
        %b = tt.call @twice(%a) : (f32) -> f32 loc("user.py":4:9)
        tt.store %p, %b : !tt.ptr<f32>
        tt.return
      }}{TWICE}""")
    ops = module.kernel.body.entry.ops
    assert [op.name for op in ops] == ["arith.addf", "arith.addf", "tt.store", "tt.return"]
    assert ops[0].operands == [module.kernel.args[1]] * 2
    assert ops[1].operands == [ops[0].result] * 2
    assert ops[2].operands[1] is ops[1].result
    assert list(module.funcs) == ["kernel"]


def test_location_of_a_spliced_operation_gets_the_call() -> None:
    module = _inlined(f"""
      tt.func public @kernel(%f: f32) {{
        %a = tt.call @twice(%f) : (f32) -> f32 loc("user.py":3:9)
        tt.return
      }}{TWICE}""")
    location = module.kernel.body.entry.ops[0].location
    assert str(location) == "user.py:20"
    assert [str(caller) for caller in location.callers] == ["user.py:3"]


def test_callee_with_early_return_becomes_a_region() -> None:
    module = _inlined(f"""
      tt.func public @kernel(%p: !tt.ptr<f32>, %f: f32, %c: i1) {{
        %a = tt.call @early(%f, %c) : (f32, i1) -> f32 loc("user.py":3:9)
        %b = tt.call @early(%a, %c) : (f32, i1) -> f32 loc("user.py":4:9)
        tt.store %p, %b : !tt.ptr<f32>
        tt.return
      }}{EARLY}""")
    first, second, store, _ = module.kernel.body.entry.ops
    assert (first.name, second.name) == ("anychip.region", "anychip.region")
    assert store.operands[1] is second.result
    entry, taken, other = first.regions[0].blocks
    assert entry.args == []
    assert entry.ops[0].operands == [module.kernel.args[1]] * 2
    assert [target for target, _ in entry.terminator.successors] == [taken, other]
    assert entry.terminator.successors[1][1] == [entry.ops[0].result]
    assert taken.terminator.operands == [module.kernel.args[1]]
    assert second.regions[0].entry.ops[0].operands == [first.result] * 2
    assert not set(first.walk()) & set(second.walk())
    assert [str(caller) for caller in entry.ops[0].location.callers] == ["user.py:3"]


def test_calls_in_loops_and_in_callees() -> None:
    module = _inlined(f"""
      tt.func public @kernel(%p: !tt.ptr<f32>, %f: f32, %n: i32, %c: i1) {{
        %r = scf.for %k = %n to %n step %n iter_args(%x = %f) -> (f32) : i32 {{
          %a = tt.call @outer(%x, %c) : (f32, i1) -> f32 loc("user.py":3:9)
          %b = scf.if %c -> (f32) {{
            %d = tt.call @twice(%a) : (f32) -> f32
            scf.yield %d : f32
          }} else {{
            scf.yield %a : f32
          }}
          scf.yield %b : f32
        }}
        tt.store %p, %r : !tt.ptr<f32>
        tt.return
      }}
      tt.func private @outer(%x: f32, %c: i1) -> f32 {{
        %y = tt.call @twice(%x) : (f32) -> f32 loc("user.py":40:5)
        %z = tt.call @early(%y, %c) : (f32, i1) -> f32 loc("user.py":41:5)
        tt.return %z : f32
      }}{TWICE}{EARLY}""")
    names = [op.name for op in module.kernel.body.walk()]
    assert "tt.call" not in names
    assert names.count("anychip.region") == 1
    add = next(op for op in module.kernel.body.walk() if op.name == "arith.addf")
    assert [str(caller) for caller in add.location.callers] == ["user.py:40", "user.py:3"]


def test_callee_that_returns_its_arguments() -> None:
    module = _inlined("""
      tt.func public @kernel(%p: !tt.ptr<f32>, %f: f32, %g: f32) {
        %a:2 = tt.call @swap(%f, %g) : (f32, f32) -> (f32, f32)
        %b:2 = tt.call @swap(%a#0, %a#1) : (f32, f32) -> (f32, f32)
        tt.store %p, %b#0 : !tt.ptr<f32>
        tt.return
      }
      tt.func private @swap(%x: f32, %y: f32) -> (f32, f32) {
        tt.return %y, %x : f32, f32
      }""")
    store, _ = module.kernel.body.entry.ops
    assert store.operands[1] is module.kernel.args[1]


def test_unused_functions_are_dropped() -> None:
    module = _inlined(f"tt.func public @kernel() {{\n tt.return\n}}{TWICE}")
    assert list(module.funcs) == ["kernel"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("tt.call @a() : () -> ()", "'a' calls itself"),
        ("tt.call @b() : () -> ()", "'a' calls itself through another one"),
    ],
)
def test_recursion_is_refused_with_the_users_line(body: str, message: str) -> None:
    module = parse(f"""
      module {{
        tt.func public @kernel() {{
          tt.call @a() : () -> ()
          tt.return
        }}
        tt.func private @a() {{
          {body} loc("user.py":9:1)
          tt.return
        }}
        tt.func private @b() {{
          tt.call @a() : () -> () loc("user.py":12:1)
          tt.return
        }}
      }}""")
    verify(module)
    with pytest.raises(UnsupportedOperation, match=message) as caught:
        inline_calls(module)
    assert "user.py" in str(caught.value)
