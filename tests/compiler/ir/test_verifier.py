"""The verifier finds what is wrong in modules that can be parsed, and says where."""

from __future__ import annotations

import pytest

from anychip.compiler.errors import VerifyError
from anychip.compiler.ir.core import Block, Func, Module, Op, Region
from anychip.compiler.ir.ops import OPS
from anychip.compiler.ir.parser import parse
from anychip.compiler.ir.type_rules import RULES
from anychip.compiler.ir.verifier import verify

from .texts import module_text

REDUCE = """%r = "tt.reduce"(%tf) <{{axis = {axis} : i32}}> ({{
^bb0(%a: f32, %c: {element}):
  %s = arith.addf %a, %a : f32
  {end}
}}) : (tensor<8xf32>) -> {result}"""

BAD = [
    ('%r = "new.thing"(%i) : (i32) -> i32', "unknown operation 'new.thing'"),
    ("%r = arith.addi %i, %l : i32", "types differ: i32 and i64"),
    ("%r = arith.addi %ti, %i : tensor<8xi32>", "types differ"),
    ("%r = arith.addi %f, %g : f32", "f32 is no integer type"),
    ("%r = arith.addf %i, %j : i32", "i32 is no float type"),
    ("%r = arith.addi %i : i32", "arith.addi has 1 operands"),
    ("%r = arith.addi %i, %j, %i : i32", "arith.addi has 3 operands"),
    ("%r = arith.cmpf olt, %i, %j : i32", "no float type"),
    ("%r = arith.cmpi slt, %ti, %i : tensor<8xi32>", "the second operand is i32"),
    ("%r = arith.select %tb, %i, %j : i32", "the condition is tensor<8xi1>, not i1"),
    ("%r = arith.extsi %l : i64 to i32", "goes the wrong way"),
    ("%r = arith.truncf %f : f32 to f64", "goes the wrong way"),
    ("%r = arith.sitofp %f : f32 to f32", "f32 is no integer type"),
    ("%r = arith.bitcast %f : f32 to i64", "the width is 64, not 32"),
    ("%r = tt.bitcast %tf : tensor<8xf32> -> tensor<4xi32>", "shapes differ"),
    ("%r = arith.constant dense<1.0> : tensor<3xf32>", "no power of two"),
    ("%r = arith.constant dense<1.0> : tensor<65536x65536xf32>", "has 4294967296 elements"),
    ("%r = tt.addptr %i, %j : i32, i32", "no pointer type"),
    ("%r = tt.addptr %tp, %i : tensor<8x!tt.ptr<f32>>, i32", "the shape of the offset"),
    ("%r = tt.make_range {end = 8 : i32, start = 0 : i32} : tensor<16xi32>", "the result is tensor<16xi32>"),
    ("%r = tt.make_range {end = 0 : i32, start = 0 : i32} : tensor<1xi32>", "is empty"),
    ("%r = tt.splat %ti : tensor<8xi32> -> tensor<8xi32>", "is a tile"),
    ("%r = tt.splat %i : i32 -> tensor<8xi64>", "not tensor<8xi32>"),
    ("%r = tt.unsplat %tf : tensor<8xf32>", "does not have one element"),
    ("%r = tt.expand_dims %ti {axis = 2 : i32} : tensor<8xi32> -> tensor<8x1xi32>", "axis 2 is none of 2"),
    ("%r = tt.expand_dims %ti {axis = 0 : i32} : tensor<8xi32> -> tensor<8x1xi32>", "not tensor<1x8xi32>"),
    ("%r = tt.broadcast %ti : tensor<8xi32> -> tensor<16xi32>", "cannot become"),
    ("%r = tt.reshape %m : tensor<4x8xf32> -> tensor<64xf32>", "cannot become"),
    (
        "%r = tt.trans %m {order = array<i32: 0, 0>} : tensor<4x8xf32> -> tensor<8x4xf32>",
        "no order of the axes",
    ),
    (
        "%r = tt.trans %m {order = array<i32: 1, 0>} : tensor<4x8xf32> -> tensor<4x8xf32>",
        "not tensor<8x4xf32>",
    ),
    ("%r = tt.join %tf, %ti : tensor<8xf32> -> tensor<8x2xf32>", "the second operand"),
    ("%r, %s = tt.split %m : tensor<4x8xf32> -> tensor<4xf32>", "does not have two elements"),
    ("%r = tt.cat %tf, %tg : tensor<8xf32> -> tensor<32xf32>", "the size of the result"),
    ("%r = tt.load %tp, %b : tensor<8x!tt.ptr<f32>>", "the mask is i1"),
    ("%r = tt.load %tp, %tb, %ti : tensor<8x!tt.ptr<f32>>", "the other value is tensor<8xi32>"),
    ("tt.store %tp, %ti : tensor<8x!tt.ptr<f32>>", "the value is tensor<8xi32>"),
    ("%r = tt.atomic_rmw add, acq_rel, gpu, %p, %f : (!tt.ptr<f32>, f32) -> f32", "no integer type"),
    ("%r = tt.atomic_cas acq_rel, gpu, %q, %i, %f : (!tt.ptr<i32>, i32, f32) -> i32", "the value is f32"),
    (
        "%r = tt.dot %mh, %mh, %acc : tensor<16x32xf16> * tensor<16x32xf16> -> tensor<16x16xf32>",
        "the inner size of b is 16, not 32",
    ),
    ("%r = tt.dot %mh, %nh, %m : tensor<16x32xf16> * tensor<32x16xf16> -> tensor<4x8xf32>", "the shape of c"),
    (
        "%r = tt.gather %tf[%tg] {axis = 0 : i32} : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>",
        "no integer type",
    ),
    ("%r = tt.histogram %m : tensor<4x8xf32> -> tensor<4xi32>", "cannot be counted"),
    ('tt.assert %ti, "x" : tensor<8xi32>', "the element of the condition is i32"),
    (REDUCE.format(axis=1, element="f32", end="tt.reduce.return %s : f32", result="f32"), "axis 1 is none"),
    (
        REDUCE.format(axis=0, element="i32", end="tt.reduce.return %s : f32", result="f32"),
        "block's arguments",
    ),
    (
        REDUCE.format(axis=0, element="f32", end="tt.reduce.return %c, %s : f32, f32", result="f32"),
        "returns f32, f32, where f32 is expected",
    ),
    (REDUCE.format(axis=0, element="f32", end="tt.scan.return %s : f32", result="f32"), "cannot end with"),
    (
        REDUCE.format(axis=0, element="f32", end="tt.reduce.return %s : f32", result="tensor<8xf32>"),
        "the list of results",
    ),
    ("scf.if %i {\n}", "the condition is i32"),
    ("%r = scf.if %b -> (f32) {\n scf.yield %f : f32\n}", "only one branch"),
    (
        "%r = scf.if %b -> (f32) {\n scf.yield %f : f32\n} else {\n scf.yield %i : i32\n}",
        "returns i32, where f32 is expected",
    ),
    ("scf.for %k = %i to %l step %i : i32 {\n}", "the upper bound is i64"),
    (
        "%r = scf.for %k = %i to %i step %i iter_args(%x = %f) -> (i32) : i32 {\n scf.yield %k : i32\n}",
        "list of results",
    ),
    ("scf.while : () -> () {\n scf.yield\n} do {\n}", "wrong region"),
    ("tt.return loc(unknown)\n%r = arith.addi %i, %j : i32", "not the last operation"),
    ("tt.return %i : i32", "is not the last operation|returns i32"),
    ("tt.call @nowhere() : () -> ()", "'nowhere' is not in the module"),
    ("tt.call @kernel(%i) : (i32) -> ()", "passes i32"),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=[f"{m[:40]} {i}" for i, (_, m) in enumerate(BAD)])
def test_broken_rule(body: str, message: str) -> None:
    module = parse(module_text(body))
    with pytest.raises(VerifyError, match=message):
        verify(module)


def test_the_users_line_is_named() -> None:
    module = parse(module_text('%r = arith.addi %i, %l : i32 loc("user.py":7:3)'))
    with pytest.raises(VerifyError, match=r"user\.py:7: arith\.addi"):
        verify(module)


def _cfg(blocks: str) -> Module:
    return parse(f"module {{\n tt.func public @kernel(%b: i1, %i: i32) {{\n{blocks}\n }}\n}}")


def test_value_must_be_defined_on_every_path() -> None:
    module = _cfg("""
          cf.cond_br %b, ^bb1, ^bb2
        ^bb1:
          %x = arith.addi %i, %i : i32
          cf.br ^bb2
        ^bb2:
          %y = arith.addi %x, %i : i32
          tt.return""")
    with pytest.raises(VerifyError, match="uses %x, which is not defined there"):
        verify(module)


def test_value_of_a_dominating_block_is_visible_after_a_join() -> None:
    verify(
        _cfg("""
          %x = arith.addi %i, %i : i32
          cf.cond_br %b, ^bb1, ^bb2
        ^bb1:
          cf.br ^bb3
        ^bb2:
          cf.br ^bb3
        ^bb3:
          %y = arith.addi %x, %i : i32
          cf.cond_br %b, ^bb1, ^bb4
        ^bb4:
          %z = arith.addi %y, %x : i32
          tt.return""")
    )


def test_use_before_the_definition_in_a_block() -> None:
    module = parse(module_text("%x = arith.addi %y, %i : i32\n%y = arith.addi %i, %i : i32"))
    with pytest.raises(VerifyError, match="uses %y"):
        verify(module)


def test_branch_passes_what_the_block_takes() -> None:
    module = _cfg("cf.br ^bb1(%b : i1)\n^bb1(%x: i32):\ntt.return")
    with pytest.raises(VerifyError, match="passes i1, where i32 is expected"):
        verify(module)


def test_block_without_terminator() -> None:
    module = parse("module {\n tt.func public @kernel(%i: i32) {\n %x = arith.addi %i, %i : i32\n }\n}")
    with pytest.raises(VerifyError, match=r"tt.func cannot end with arith.addi"):
        verify(module)


def test_function_without_a_body_and_module_without_a_kernel() -> None:
    with pytest.raises(VerifyError, match="no body"):
        verify(Module({"f": Func("f", Region([]))}))
    with pytest.raises(VerifyError, match="one public function"):
        verify(Module({"f": Func("f", Region([Block(ops=[Op("tt.return")])]), public=False)}))


def test_every_rule_of_the_table_exists_and_is_used() -> None:
    assert {info.rule for info in OPS.values() if info.rule} == set(RULES)
