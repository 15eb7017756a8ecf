#!/usr/bin/env bash
# LLVM makes an instruction of a signed dot product of bytes on WebAssembly that is not defined for half of them.
# Versions: llvmlite 0.50.0 (LLVM 22.1).
# `llvm.vector.partial.reduce.add` of products of sign-extended bytes becomes `i32x4.relaxed_dot_i8x16_i7x16_add_s`
# where the feature relaxed-simd is on. The relaxed SIMD specification defines it for second factors of 0 to 127; with
# the top bit set, engines may take the byte as signed or unsigned. Leave relaxed-simd off for code with such products.
# Seen: relaxed_dot in the assembly with +relaxed-simd, extended products without.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check llvmlite==0.50.0
"$work/venv/bin/python" - <<'END'
from llvmlite import binding as llvm

IR = """
declare <4 x i32> @llvm.vector.partial.reduce.add.v4i32.v16i32(<4 x i32>, <16 x i32>)
define <4 x i32> @dot(<16 x i8> %a, <16 x i8> %b, <4 x i32> %total) {
  %x = sext <16 x i8> %a to <16 x i32>
  %y = sext <16 x i8> %b to <16 x i32>
  %products = mul nsw <16 x i32> %x, %y
  %sum = call <4 x i32> @llvm.vector.partial.reduce.add.v4i32.v16i32(<4 x i32> %total, <16 x i32> %products)
  ret <4 x i32> %sum
}
"""
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for features, relaxed in (("+simd128", False), ("+simd128,+relaxed-simd", True)):
    target = llvm.Target.from_triple("wasm32-unknown-unknown")
    machine = target.create_target_machine(cpu="generic", features=features, opt=2)
    assembly = machine.emit_assembly(llvm.parse_assembly(IR, llvm.create_context()))
    products = [line.strip() for line in assembly.splitlines() if "relaxed_dot" in line or "extmul" in line]
    print(features, products)
    assert any("relaxed_dot_i8x16_i7x16_add_s" in line for line in products) == relaxed
END
