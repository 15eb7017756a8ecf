"""Every form in which TTIR prints an operation is read into the normal form of `ops.py`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from anychip.compiler.ir.core import UNKNOWN
from anychip.compiler.ir.ops import OPS
from anychip.compiler.ir.parser import parse
from anychip.compiler.ir.syntax import SYNONYMS, SYNTAX
from anychip.compiler.ir.verifier import verify

from .forms import FORMS, Form
from .texts import module_text, op_of, ops_of


@pytest.mark.parametrize("form", FORMS, ids=[form[0].split("= ")[-1][:60] for form in FORMS])
def test_form(form: Form) -> None:
    text, operands, results, attrs = form
    op = ops_of(text)[-1]
    assert [value.name for value in op.operands] == operands.split()
    assert [str(value.type) for value in op.results] == results.split()
    assert {key: op.attrs.get(key) for key in attrs} == attrs
    assert [type(op.attrs.get(key)) for key in attrs] == [type(value) for value in attrs.values()]
    assert [result.owner for result in op.results] == [op] * len(op.results)
    verify(parse(module_text(text)))


def test_a_barrier_has_one_name_in_all_versions() -> None:
    assert op_of("ttg.barrier all").name == op_of("gpu.barrier").name


@pytest.mark.parametrize("name", sorted(SYNTAX))
def test_operation_with_a_syntax_is_in_the_table(name: str) -> None:
    assert SYNONYMS.get(name, name) in OPS


CONSTANTS: list[tuple[str, str, Any]] = [
    ("arith.constant 31 : i32", "i32", 31),
    ("arith.constant -1 : i64", "i64", -1),
    ("arith.constant true", "i1", 1),
    ("arith.constant false", "i1", 0),
    ("arith.constant 5 : index", "i64", 5),
    ("arith.constant 2.500000e-01 : f32", "f32", 0.25),
    ("arith.constant -1.000000e+00 : bf16", "bf16", -1.0),
    ("arith.constant 0x7F800000 : f32", "f32", math.inf),
    ("arith.constant 0xFF80 : bf16", "bf16", -math.inf),
    ("arith.constant 0x3C00 : f16", "f16", 1.0),
    ("arith.constant 0xFFF0000000000000 : f64", "f64", -math.inf),
    ("arith.constant 4.6566126E-10 : f32", "f32", 4.6566126e-10),
    ("arith.constant dense<32> : tensor<4x4xi32>", "tensor<4x4xi32>", 32),
    ("arith.constant dense<-845247145> : tensor<8xi32>", "tensor<8xi32>", -845247145),
    ("arith.constant dense<4294967295> : tensor<8xi32>", "tensor<8xi32>", -1),
    ("arith.constant dense<true> : tensor<8xi1>", "tensor<8xi1>", 1),
    ("arith.constant dense<0xFF800000> : tensor<8xf32>", "tensor<8xf32>", -math.inf),
    ("arith.constant dense<1.000000e+00> : tensor<8xf8E5M2>", "tensor<8xf8E5M2>", 1.0),
    ("arith.constant dense<[1, -2]> : tensor<2xi32>", "tensor<2xi32>", [1, -2]),
    ("arith.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>", "tensor<2x2xi8>", [1, 2, 3, 4]),
    ("arith.constant dense<[true, false]> : tensor<2xi1>", "tensor<2xi1>", [1, 0]),
    ("arith.constant dense<[1.5, 0x7F800000]> : tensor<2xf32>", "tensor<2xf32>", [1.5, math.inf]),
    ('arith.constant dense<"0x0100FFFF"> : tensor<2xi16>', "tensor<2xi16>", [1, -1]),
]


@pytest.mark.parametrize(
    ("text", "type_text", "value"), CONSTANTS, ids=[text[15:] for text, _, _ in CONSTANTS]
)
def test_constant(text: str, type_text: str, value: Any) -> None:
    op = op_of(f"%c = {text}")
    assert str(op.result.type) == type_text
    assert op.attrs["value"] == value
    assert type(op.attrs["value"]) is type(value)


def test_nan_constant() -> None:
    assert math.isnan(op_of("%c = arith.constant dense<0x7FC00000> : tensor<8xf32>").attrs["value"])


def test_reduce_of_two_operands_and_its_results() -> None:
    reduce, use = ops_of("""
        %r:2 = "tt.reduce"(%tf, %ti) <{axis = 0 : i32}> ({
        ^bb0(%a: f32 loc(unknown), %x: i32, %c: f32, %y: i32):
          %s = arith.select %b, %a, %c : f32
          tt.reduce.return %s, %x : f32, i32
        }) : (tensor<8xf32>, tensor<8xi32>) -> (f32, i32)
        %u = arith.addi %r#1, %i : i32""")
    assert reduce.attrs["axis"] == 0
    assert [str(v.type) for v in reduce.results] == ["f32", "i32"]
    assert [str(v.type) for v in reduce.regions[0].entry.args] == ["f32", "i32", "f32", "i32"]
    assert reduce.regions[0].entry.terminator.name == "tt.reduce.return"
    assert use.operands[0] is reduce.results[1]


def test_scan_in_reverse() -> None:
    scan = op_of("""
        %r = "tt.scan"(%tf) <{axis = 0 : i32, reverse = true}> ({
        ^bb0(%a: f32, %c: f32):
          %s = arith.addf %a, %c : f32
          tt.scan.return %s : f32
        }) : (tensor<8xf32>) -> tensor<8xf32>""")
    assert (scan.attrs["axis"], scan.attrs["reverse"]) == (0, True)


def test_for_loop_with_carried_values() -> None:
    loop, use = ops_of("""
        %r:2 = scf.for %k = %i to %j step %i iter_args(%x = %f, %y = %tf) -> (f32, tensor<8xf32>)  : i32 {
          %z = arith.addf %x, %x : f32
          scf.yield %z, %y : f32, tensor<8xf32>
        } {tt.num_stages = 2 : i32, tt.flatten}
        %u = arith.addf %r#0, %f : f32""")
    assert [v.name for v in loop.operands] == ["i", "j", "i", "f", "tf"]
    assert [v.name for v in loop.regions[0].entry.args] == ["k", "x", "y"]
    assert [str(v.type) for v in loop.regions[0].entry.args] == ["i32", "f32", "tensor<8xf32>"]
    assert loop.attrs == {"tt.num_stages": 2, "tt.flatten": True}
    assert use.operands[0] is loop.results[0]


def test_for_loop_without_results_gets_its_terminator() -> None:
    loop = op_of("scf.for unsigned %k = %l to %l step %l  : i64 {\n tt.store %p, %f : !tt.ptr<f32>\n}")
    assert loop.attrs["unsigned"] is True
    assert [op.name for op in loop.regions[0].entry.ops] == ["tt.store", "scf.yield"]


def test_loop_over_index_is_read_as_i64() -> None:
    (_, loop) = ops_of("%n = arith.constant 4 : index\nscf.for %k = %n to %n step %n {\n}")
    assert str(loop.regions[0].entry.args[0].type) == "i64"


def test_if_with_results() -> None:
    branch = op_of("""
        %r = scf.if %b -> (f32) {
          scf.yield %f : f32
        } else {
          scf.yield %g : f32
        }""")
    assert [v.name for v in branch.operands] == ["b"]
    assert [region.entry.terminator.operands[0].name for region in branch.regions] == ["f", "g"]


def test_if_without_else_has_an_empty_second_region() -> None:
    branch = op_of("scf.if %b {\n tt.store %p, %f : !tt.ptr<f32>\n}")
    assert [op.name for op in branch.regions[0].entry.ops] == ["tt.store", "scf.yield"]
    assert branch.regions[1].blocks == []


def test_while_loop() -> None:
    loop = op_of("""
        %r:2 = scf.while (%x = %f, %k = %i) : (f32, i32) -> (f32, i32) {
          %t = arith.cmpf olt, %x, %g : f32
          scf.condition(%t) %x, %k : f32, i32
        } do {
        ^bb0(%y: f32, %n: i32):
          %z = arith.mulf %y, %g : f32
          scf.yield %z, %n : f32, i32
        }""")
    before, after = loop.regions
    assert [v.name for v in loop.operands] == ["f", "i"]
    assert [v.name for v in before.entry.terminator.operands] == ["t", "x", "k"]
    assert [v.name for v in after.entry.args] == ["y", "n"]


def test_while_loop_without_values() -> None:
    loop = op_of("scf.while : () -> () {\n scf.condition(%b)\n} do {\n scf.yield\n}")
    assert loop.operands == loop.results == []


def test_blocks_and_branches() -> None:
    module = parse("""
        module {
          tt.func public @kernel(%b: i1, %i: i32) {
            cf.cond_br %b, ^bb1(%i : i32), ^bb2 {tt.hint = 1 : i32}
          ^bb1(%x: i32):  // pred: ^bb0
            cf.br ^bb2
          ^bb2:  // 2 preds: ^bb0, ^bb1
            tt.return
          }
        }""")
    entry, first, second = module.kernel.body.blocks
    assert [v.name for v in entry.terminator.operands] == ["b"]
    assert [(block, [v.name for v in passed]) for block, passed in entry.terminator.successors] == [
        (first, ["i"]),
        (second, []),
    ]
    assert first.terminator.successors == [(second, [])]
    assert (first.label, [v.name for v in first.args]) == ("bb1", ["x"])


def test_value_defined_in_a_later_block_of_the_text() -> None:
    module = parse("""
        module {
          tt.func public @kernel(%i: i32) {
            cf.br ^bb2
          ^bb1:
            %y = arith.addi %x, %i : i32
            tt.return
          ^bb2:
            %x = arith.addi %i, %i : i32
            cf.br ^bb1
          }
        }""")
    verify(module)
    _, later, earlier = module.kernel.body.blocks
    assert later.ops[0].operands[0] is earlier.ops[0].result


def test_unreachable_blocks_are_dropped() -> None:
    module = parse("""
        module {
          tt.func public @kernel() {
            tt.return
          ^bb1:  // no predecessors
            cf.br ^bb2
          ^bb2:
            tt.return
          }
        }""")
    assert len(module.kernel.body.blocks) == 1


def test_functions_and_calls() -> None:
    module = parse("""
        module {
          tt.func public @kernel(%p: !tt.ptr<f32> {tt.divisibility = 16 : i32, tt.pointer_range = 32 : i32},
              %f: f32) attributes {noinline = false} {
            %r:2 = tt.call @"a.f__fp32()"(%f) : (f32) -> (f32, f32)
            tt.call @a.g() : () -> ()
            tt.return
          }
          tt.func private @"a.f__fp32()"(%x: f32) -> (f32, f32) attributes {noinline = true} {
            tt.return %x, %x : f32, f32
          }
          tt.func private @a.g() {
            tt.return
          }
        }""")
    verify(module)
    kernel = module.kernel
    assert kernel.arg_attrs == [{"tt.divisibility": 16, "tt.pointer_range": 32}, {}]
    assert kernel.body.entry.ops[0].attrs["callee"] == "a.f__fp32()"
    assert [str(t) for t in module.funcs["a.f__fp32()"].result_types] == ["f32", "f32"]
    assert not module.funcs["a.g"].public


def test_map_elementwise() -> None:
    text = """
        %r:2 = "tt.map_elementwise"(%tf, %ti) <{pack = 2 : i32}> ({
        ^bb0(%a: f32, %c: f32, %x: i32, %y: i32):
          tt.map_elementwise.return %a, %c, %x, %y : f32, f32, i32, i32
        }) : (tensor<8xf32>, tensor<8xi32>) -> (tensor<8xf32>, tensor<8xi32>)"""
    assert op_of(text).attrs["pack"] == 2
    verify(parse(module_text(text)))


def test_generic_form_of_a_pretty_operation() -> None:
    op = op_of('%r = "arith.cmpi"(%i, %j) <{predicate = 2 : i64}> : (i32, i32) -> i1')
    assert op.attrs["predicate"] == "slt"
    load = op_of(
        '%r = "tt.load"(%p) <{cache = 2 : i32, evict = 1 : i32, isVolatile = false, '
        "operandSegmentSizes = array<i32: 1, 0, 0>}> : (!tt.ptr<f32>) -> f32"
    )
    assert (load.attrs["cache"], load.attrs["volatile"]) == ("ca", False)
    assert "operandSegmentSizes" not in load.attrs


def test_unknown_operation_in_generic_form_is_kept() -> None:
    op = op_of('%r = "new.thing"(%i) <{a = [1 : i32, "x"], b = {c = true}}> {d} : (i32) -> f32')
    assert op.name == "new.thing"
    assert op.attrs == {"a": [1, "x"], "b": {"c": True}, "d": True}


def test_text_without_locations_has_unknown_ones() -> None:
    assert op_of("%r = arith.addi %i, %j : i32").location is UNKNOWN
