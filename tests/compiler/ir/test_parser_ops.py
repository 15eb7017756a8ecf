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

from .texts import module_text, op_of, ops_of

# The text, its operands, its result types, and those attributes that matter.
Form = tuple[str, str, str, dict[str, Any]]

FORMS: list[Form] = [
    ("%r = arith.addi %i, %j : i32", "i j", "i32", {"overflow": "none"}),
    (
        "%r = arith.addi %ti, %tj overflow<nsw, nuw> : tensor<8xi32>",
        "ti tj",
        "tensor<8xi32>",
        {"overflow": "nsw,nuw"},
    ),
    (
        "%r = arith.muli %i, %j overflow<nsw> {tt.contiguity = 4 : i32} : i32",
        "i j",
        "i32",
        {"overflow": "nsw", "tt.contiguity": 4},
    ),
    ("%r = arith.addf %f, %g fastmath<fast> : f32", "f g", "f32", {"fastmath": "fast"}),
    ("%r = arith.negf %tf : tensor<8xf32>", "tf", "tensor<8xf32>", {}),
    (
        "%r = arith.remsi %ti, %tj {tt.divisibility = dense<16> : tensor<1xi32>} : tensor<8xi32>",
        "ti tj",
        "tensor<8xi32>",
        {"tt.divisibility": 16},
    ),
    ("%r = arith.cmpi slt, %ti, %tj : tensor<8xi32>", "ti tj", "tensor<8xi1>", {"predicate": "slt"}),
    ("%r = arith.cmpf oeq, %f, %g : f32", "f g", "i1", {"predicate": "oeq"}),
    ("%r = arith.select %b, %f, %g : f32", "b f g", "f32", {}),
    ("%r = arith.select %b, %tf, %tg : tensor<8xf32>", "b tf tg", "tensor<8xf32>", {}),
    ("%r = arith.select %tb, %tf, %tg : tensor<8xi1>, tensor<8xf32>", "tb tf tg", "tensor<8xf32>", {}),
    ("%r = arith.extsi %ti : tensor<8xi32> to tensor<8xi64>", "ti", "tensor<8xi64>", {}),
    ("%r = arith.truncf %tf : tensor<8xf32> to tensor<8xf16>", "tf", "tensor<8xf16>", {}),
    ("%r = arith.sitofp %i : i32 to f32", "i", "f32", {}),
    ("%r = arith.bitcast %f : f32 to i32", "f", "i32", {}),
    ("%r = arith.index_cast %i : i32 to index", "i", "i64", {}),
    ("%r:2 = arith.mului_extended %i, %j : i32", "i j", "i32 i32", {}),
    ("%r, %c = arith.addui_extended %i, %j : i32, i1", "i j", "i32 i1", {}),
    ("%r = math.exp %tf fastmath<afn> : tensor<8xf32>", "tf", "tensor<8xf32>", {"fastmath": "afn"}),
    ("%r = math.fma %f, %g, %f : f32", "f g f", "f32", {}),
    ("%r = math.isnan %tf : tensor<8xf32>", "tf", "tensor<8xi1>", {}),
    ("%r = ub.poison : tensor<8xf32>", "", "tensor<8xf32>", {}),
    ("%r = tt.get_program_id x : i32", "", "i32", {"axis": 0}),
    ("%r = tt.get_program_id y : i32", "", "i32", {"axis": 1}),
    ("%r = tt.get_num_programs z : i32", "", "i32", {"axis": 2}),
    (
        "%r = tt.make_range {end = 128 : i32, start = 64 : i32} : tensor<64xi32>",
        "",
        "tensor<64xi32>",
        {"start": 64, "end": 128},
    ),
    ("%r = tt.splat %p : !tt.ptr<f32> -> tensor<8x!tt.ptr<f32>>", "p", "tensor<8x!tt.ptr<f32>>", {}),
    ("%r = tt.unsplat %one : tensor<1xf32>", "one", "f32", {}),
    (
        "%r = tt.expand_dims %ti {axis = 1 : i32} : tensor<8xi32> -> tensor<8x1xi32>",
        "ti",
        "tensor<8x1xi32>",
        {"axis": 1},
    ),
    ("%r = tt.broadcast %one : tensor<1xf32> -> tensor<8xf32>", "one", "tensor<8xf32>", {}),
    (
        "%r = tt.reshape %m : tensor<4x8xf32> -> tensor<32xf32>",
        "m",
        "tensor<32xf32>",
        {"allow_reorder": False, "efficient_layout": False},
    ),
    (
        "%r = tt.reshape %m allow_reorder efficient_layout : tensor<4x8xf32> -> tensor<32xf32>",
        "m",
        "tensor<32xf32>",
        {"allow_reorder": True, "efficient_layout": True},
    ),
    (
        "%r = tt.trans %m {order = array<i32: 1, 0>} : tensor<4x8xf32> -> tensor<8x4xf32>",
        "m",
        "tensor<8x4xf32>",
        {"order": (1, 0)},
    ),
    ("%r = tt.join %tf, %tg : tensor<8xf32> -> tensor<8x2xf32>", "tf tg", "tensor<8x2xf32>", {}),
    (
        "%j2 = tt.join %tf, %tg : tensor<8xf32> -> tensor<8x2xf32>\n"
        "%r, %s = tt.split %j2 : tensor<8x2xf32> -> tensor<8xf32>",
        "j2",
        "tensor<8xf32> tensor<8xf32>",
        {},
    ),
    ("%r = tt.cat %tf, %tg : tensor<8xf32> -> tensor<16xf32>", "tf tg", "tensor<16xf32>", {}),
    ("%r = tt.addptr %p, %i : !tt.ptr<f32>, i32", "p i", "!tt.ptr<f32>", {}),
    (
        "%r = tt.addptr %tp, %tl : tensor<8x!tt.ptr<f32>>, tensor<8xi64>",
        "tp tl",
        "tensor<8x!tt.ptr<f32>>",
        {},
    ),
    (
        "%r = tt.int_to_ptr %l {tt.divisibility = dense<16> : tensor<1xi32>} : i64 -> !tt.ptr<f32>",
        "l",
        "!tt.ptr<f32>",
        {"tt.divisibility": 16},
    ),
    ("%r = tt.ptr_to_int %tp : tensor<8x!tt.ptr<f32>> -> tensor<8xi64>", "tp", "tensor<8xi64>", {}),
    ("%r = tt.bitcast %tf : tensor<8xf32> -> tensor<8xi32>", "tf", "tensor<8xi32>", {}),
    (
        "%r = tt.fp_to_fp %tf, rounding = rtne : tensor<8xf32> -> tensor<8xf8E4M3FN>",
        "tf",
        "tensor<8xf8E4M3FN>",
        {"rounding": "rtne"},
    ),
    ("%r = tt.fp_to_fp %th : tensor<8xf16> -> tensor<8xf32>", "th", "tensor<8xf32>", {"rounding": None}),
    ("%r = tt.clampf %f, %g, %f, propagateNan = none : f32", "f g f", "f32", {"propagate_nan": False}),
    ("%r = tt.clampf %f, %g, %f, propagateNan = all : f32", "f g f", "f32", {"propagate_nan": True}),
    ("%r = tt.precise_sqrt %tf : tensor<8xf32>", "tf", "tensor<8xf32>", {}),
    ("%r = tt.mulhiui %ti, %tj : tensor<8xi32>", "ti tj", "tensor<8xi32>", {}),
    (
        '%r = tt.extern_elementwise %tf, %tg {libname = "", libpath = "", pure = true, symbol = '
        '"__nv_powf"} : '
        "(tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>",
        "tf tg",
        "tensor<8xf32>",
        {"symbol": "__nv_powf", "libname": "", "libpath": "", "pure": True},
    ),
    (
        "%r = tt.load %p : !tt.ptr<f32>",
        "p",
        "f32",
        {"volatile": False, "cache": "none", "eviction": "evict_normal"},
    ),
    (
        "%r = tt.load %tp, %tb, %tf cacheModifier = ca evictionPolicy = evict_last {isVolatile = true} : "
        "tensor<8x!tt.ptr<f32>>",
        "tp tb tf",
        "tensor<8xf32>",
        {"volatile": True, "cache": "ca", "eviction": "evict_last"},
    ),
    (
        "%r = tt.load %tp, %tb {cachePolicy = #tt.cache_policy<cache_modifier = cg, "
        "eviction_policy = evict_first>, isVolatile = true} : tensor<8x!tt.ptr<f32>>",
        "tp tb",
        "tensor<8xf32>",
        {"volatile": True, "cache": "cg", "eviction": "evict_first"},
    ),
    (
        "tt.store %tp, %tf, %tb evictionPolicy = evict_first : tensor<8x!tt.ptr<f32>>",
        "tp tf tb",
        "",
        {"eviction": "evict_first", "cache": "none"},
    ),
    (
        "%r = tt.atomic_rmw fadd, acq_rel, gpu, %tp, %tf, %tb : "
        "(tensor<8x!tt.ptr<f32>>, tensor<8xf32>, tensor<8xi1>) -> tensor<8xf32>",
        "tp tf tb",
        "tensor<8xf32>",
        {"kind": "fadd", "sem": "acq_rel", "scope": "gpu"},
    ),
    (
        "%r = tt.atomic_rmw umax, relaxed, sys, %q, %i : (!tt.ptr<i32>, i32) -> i32",
        "q i",
        "i32",
        {"kind": "umax", "sem": "relaxed", "scope": "sys"},
    ),
    (
        "%r = tt.atomic_cas acquire, cta, %q, %i, %j : (!tt.ptr<i32>, i32, i32) -> i32",
        "q i j",
        "i32",
        {"sem": "acquire", "scope": "cta"},
    ),
    (
        "%r = tt.atomic_load relaxed, gpu, %tq, %tb : (tensor<8x!tt.ptr<i32>>, tensor<8xi1>) -> "
        "tensor<8xi32>",
        "tq tb",
        "tensor<8xi32>",
        {"sem": "relaxed"},
    ),
    (
        "tt.atomic_store release, sys, %q, %i, %b : !tt.ptr<i32>",
        "q i b",
        "",
        {"sem": "release", "scope": "sys"},
    ),
    (
        "%r = tt.atomic_poll acquire, gpu, %tq, %ti timeout %l : tensor<8x!tt.ptr<i32>>, tensor<8xi32> -> "
        "tensor<8xi1>",
        "tq ti l",
        "tensor<8xi1>",
        {"sem": "acquire"},
    ),
    (
        "%r = tt.dot %mh, %nh, %acc, inputPrecision = tf32 : tensor<16x32xf16> * tensor<32x16xf16> -> "
        "tensor<16x16xf32>",
        "mh nh acc",
        "tensor<16x16xf32>",
        {"input_precision": "tf32", "max_num_imprecise_acc": 0},
    ),
    (
        "%r = tt.dot %mh, %nh, %acc {maxNumImpreciseAcc = 32 : i32} : tensor<16x32xf16> * "
        "tensor<32x16xf16> -> "
        "tensor<16x16xf32>",
        "mh nh acc",
        "tensor<16x16xf32>",
        {"input_precision": "ieee", "max_num_imprecise_acc": 32},
    ),
    (
        "%r = tt.dot_scaled %me scale %sa, %ne scale %sb, %acc lhs = e5m2 rhs = e4m3 {fastMath = false} : "
        "tensor<16x32xf8E5M2>, tensor<16x1xi8> * tensor<32x16xf8E4M3FN>, tensor<16x1xi8> -> "
        "tensor<16x16xf32>",
        "me ne acc sa sb",
        "tensor<16x16xf32>",
        {
            "a_scale": 3,
            "b_scale": 4,
            "a_elem_type": "e5m2",
            "b_elem_type": "e4m3",
            "fast_math": False,
            "lhs_k_pack": True,
            "rhs_k_pack": True,
        },
    ),
    (
        "%r = tt.dot_scaled %mh, %ne scale %sb, %acc lhs = fp16 rhs = e4m3 {fastMath = true, "
        "lhs_k_pack = false} : tensor<16x32xf16> * tensor<32x16xf8E4M3FN>, tensor<16x1xi8> -> "
        "tensor<16x16xf32>",
        "mh ne acc sb",
        "tensor<16x16xf32>",
        {"a_scale": None, "b_scale": 3, "a_elem_type": "fp16", "fast_math": True, "lhs_k_pack": False},
    ),
    (
        "%r = tt.dot_scaled %me scale %sa, %nh, %acc lhs = e5m2 rhs = bf16 {fastMath = false} : "
        "tensor<16x32xf8E5M2>, tensor<16x1xi8> * tensor<32x16xf16> -> tensor<16x16xf32>",
        "me nh acc sa",
        "tensor<16x16xf32>",
        {"a_scale": 3, "b_scale": None, "b_elem_type": "bf16"},
    ),
    ("%r = tt.histogram %ti, %tb : tensor<8xi32> -> tensor<4xi32>", "ti tb", "tensor<4xi32>", {}),
    (
        "%r = tt.gather %tf[%ti] {axis = 0 : i32} : (tensor<8xf32>, tensor<8xi32>) -> tensor<8xf32>",
        "tf ti",
        "tensor<8xf32>",
        {"axis": 0},
    ),
    (
        'tt.print " x: " {hex = false, isSigned = array<i32: 1, 0>} : %ti, %f : tensor<8xi32>, f32',
        "ti f",
        "",
        {"prefix": " x: ", "hex": False, "is_signed": [True, False]},
    ),
    ('tt.print " text" {hex = false, isSigned = array<i32>}', "", "", {"prefix": " text", "is_signed": []}),
    ('tt.assert %tb, "not \\22good\\22, \\C3\\A9" : tensor<8xi1>', "tb", "", {"message": 'not "good", é'}),
    (
        '%r = tt.elementwise_inline_asm "shl.b32 $0, $1, 3;" {constraints = "=r,r", '
        "packed_element = 1 : i32, "
        "pure = true} %ti : tensor<8xi32> -> tensor<8xi32>",
        "ti",
        "tensor<8xi32>",
        {"asm_string": "shl.b32 $0, $1, 3;", "constraints": "=r,r", "pure": True, "packed_element": 1},
    ),
    ("llvm.intr.assume %b : i1", "b", "", {}),
    ("gpu.barrier", "", "", {}),
    ("ttg.barrier all", "", "", {}),
]


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
