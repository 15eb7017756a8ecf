"""The forms in which TTIR prints operations, with what is read from each."""

from __future__ import annotations

from typing import Any

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
