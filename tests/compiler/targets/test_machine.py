"""Object code and assembly from LLVM IR, for every target.

That the code is a vector loop of that ISA is seen in the assembly by the names that the ISA's
manual gives to its vector instructions.
"""

from __future__ import annotations

import ctypes
import math
import re
import threading

import pytest
from llvmlite import binding as llvm

from anychip.compiler import targets
from anychip.compiler.errors import CodegenError
from anychip.compiler.foreign.object_file import code_size, format_of
from anychip.compiler.targets import Target, UnusableTarget, machine

from .loops import F16_ROUND_TRIP, INLINED_CALL, multiply_add_loop

VECTOR_INSTRUCTIONS = {
    ("x86_64", 128): r"\bmulps\b.*%xmm",
    ("x86_64", 256): r"\bvfmadd\d+ps\b.*%ymm",
    ("x86_64", 512): r"\bvfmadd\d+ps\b.*%zmm",
    ("aarch64", 128): r"\bfmla(\.4s\b|\s+v\d+\.4s)",
    ("aarch64", 256): r"\bfm(la|ad)\s+z\d+\.s",
    ("aarch64", 512): r"\bfm(la|ad)\s+z\d+\.s",
    ("arm", 128): r"\bv(fma|mla|mul)\.f32\s+q\d+",
    ("arm", 0): r"\bvfma\.f32\s+s\d+",
    ("riscv64", 0): r"\bfmadd\.s\b",
    ("riscv64", 128): r"\bvf(macc|madd)\.vv\b",
    ("riscv64", 256): r"\bvf(macc|madd)\.vv\b",
    ("loongarch64", 0): r"\bfmadd\.s\b",
    ("loongarch64", 128): r"\bvfmadd\.s\b.*\$vr",
    ("loongarch64", 256): r"\bxvfmadd\.s\b.*\$xr",
    ("wasm32", 128): r"\bf32x4\.(mul|add)\b",
    ("wasm32", 0): r"\bf32\.(mul|add)\b",
    ("ppc64le", 128): r"\bxvmadd[am]sp\b",
    ("s390x", 128): r"\bvfmasb\b",
    ("mips64el", 0): r"\bmul\.s\b",
}
"""Instruction set and bits of a vector -> a multiply-add of f32, as the manual writes it."""

EXCEPTIONS = {
    "z13": r"\bmaebr\b",  # f32 lanes begin with z14; z13 has a scalar fused multiply-add
}

OBJECT_FORMATS = {"wasm32": "wasm", "arm64": "mach-o"}
"""First part of a triple -> the format of its object files, where that is not ELF."""


@pytest.fixture(params=targets.names())
def target(request: pytest.FixtureRequest) -> Target:
    return targets.get(request.param)


def test_object_code_for_every_target(target: Target, capfd: pytest.CaptureFixture[str]):
    data = machine.emit_object(multiply_add_loop(target.lanes(32)), target)
    assert format_of(data) == OBJECT_FORMATS.get(target.triple.split("-")[0], "elf")
    assert 16 < code_size(data) < len(data)
    assert capfd.readouterr().err == "", "LLVM warns of a core or feature that it does not know"


def test_assembly_uses_the_vector_unit(target: Target):
    """By the manual's names where they are written down above, and by the number of instructions everywhere:
    a loop over vectors has as many as one over single numbers, and a few for addresses."""
    scalar, vector = (
        machine.emit_assembly(multiply_add_loop(lanes, fused=target.fma, scalable_bits=bits), target)
        for lanes, bits in ((1, 0), (target.lanes(32), target.scalable_bits))
    )
    expected = VECTOR_INSTRUCTIONS.get((target.isa, target.vector_bits), "")
    assert re.search(EXCEPTIONS.get(target.name, expected), vector), vector
    if target.name not in EXCEPTIONS:
        assert _instructions(vector) <= _instructions(scalar) + 4


def _instructions(assembly: str) -> int:
    return len(re.findall(r"^\s+[a-z]", assembly, re.MULTILINE))


def test_fused_flag_tells_whether_a_library_call_is_needed(target: Target):
    assembly = machine.emit_assembly(multiply_add_loop(target.lanes(32)), target)
    assert ("fmaf" in assembly) == (not target.fma)


def test_f16_conversion_flag_tells_whether_a_library_call_is_needed(target: Target):
    major = llvm.llvm_version_info[0]
    if major < target.half_from:
        with pytest.raises(UnusableTarget, match=f"LLVM {major} has no half-precision numbers"):
            machine.emit_assembly(F16_ROUND_TRIP, target)
        return
    assembly = machine.emit_assembly(F16_ROUND_TRIP, target)
    call = re.search(r"__(extendhfsf2|truncsfhf2|gnu_h2f_ieee|gnu_f2h_ieee)", assembly)
    assert target.f16_conversion == (call is None)


def test_separate_operations_stay_separate(target: Target):
    """A product and a sum are rounded twice unless the code generator asked for the fused operation."""
    assembly = machine.emit_assembly(multiply_add_loop(target.lanes(32), fused=False), target)
    assert not re.search(r"\b\w*(fmadd|vfma|fmla|vfmacc|maebr|madda|fmaf|madd\.s)\w*", assembly), assembly


def test_pointer_size_and_byte_order_agree_with_llvm(target: Target):
    layout = machine.data_layout(target)
    assert layout.startswith("E" if target.big_endian else "e")
    pointer = re.search(r"-p:(\d+):", layout)
    assert int(pointer[1] if pointer else 64) == target.pointer_bits


def test_optimisation_inlines_and_promotes():
    text = machine.optimized_ir(INLINED_CALL, targets.get("x86-64-v3"))
    assert "alloca" not in text
    assert "@callee" not in text
    assert re.search(r"mul i32 %x, 3", text)


def test_without_optimisation_the_call_stays():
    assembly = machine.emit_assembly(INLINED_CALL, targets.get("x86-64-v3"), optimize=False)
    assert re.search(r"\bcallq?\s+callee\b", assembly), assembly


def test_text_that_is_not_llvm_ir_shows_the_line():
    with pytest.raises(CodegenError, match=r"(?s)2:.*%x = frobnicate i32 1"):
        machine.emit_object("define void @f() {\n  %x = frobnicate i32 1\n  ret void\n}\n", targets.host())


def test_ir_that_llvm_rejects_names_the_instruction():
    blocks = "br i1 %c, label %a, label %b\na:\n %x = add i32 1, 1\n br label %b\nb:\n ret i32 %x\n"
    text = f"define i32 @f(i1 %c) {{\n{blocks}}}"
    with pytest.raises(CodegenError, match=r"(?s)does not dominate.*%x = add i32 1, 1"):
        machine.emit_object(text, targets.host())


def test_host_object_links_with_the_c_library():
    """What the JIT loader does: library calls and constants far from the code are reached."""
    text = """
@scale = private unnamed_addr constant [4 x double] [double 1.0, double 2.0, double 3.0, double 4.0]
declare double @cbrt(double)
define double @f(i64 %i, double %x) {
  %p = getelementptr double, ptr @scale, i64 %i
  %s = load double, ptr %p
  %y = call double @cbrt(double %x)
  %z = fmul double %s, %y
  ret double %z
}
"""
    data = machine.emit_object(text, targets.host())
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    jit = llvm.create_lljit_compiler(use_jit_link=True)
    builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process().export_symbol("f")
    library = builder.link(jit, "library")
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(library["f"])
    assert function(2, 27.0) == 3.0 * math.cbrt(27.0)


def test_threads_compile_at_once():
    wanted = {
        name: machine.emit_object(multiply_add_loop(4), targets.get(name)) for name in ("haswell", "power9")
    }
    wrong: list[str] = []

    def work(name: str) -> None:
        for _ in range(10):
            if machine.emit_object(multiply_add_loop(4), targets.get(name)) != wanted[name]:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in (*wanted, *wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_gather_is_formed_for_helium() -> None:
    """LLVM's pass for them changes a loop's counter and not its last comparison."""
    text = """
declare <4 x float> @llvm.masked.gather.v4f32.v4p0(<4 x ptr>, i32, <4 x i1>, <4 x float>)
define void @f(ptr %a, ptr %at, ptr %out) {
  %index = load <4 x i32>, ptr %at
  %p = getelementptr float, ptr %a, <4 x i32> %index
  %got = call <4 x float> @llvm.masked.gather.v4f32.v4p0(<4 x ptr> %p, i32 4, <4 x i1> splat (i1 true),
    <4 x float> zeroinitializer)
  store <4 x float> %got, ptr %out
  ret void
}
"""
    assembly = machine.emit_assembly(text, targets.get("cortex-m55"))
    assert not re.search(r"vldrw\.u32\s+q\d+, \[r\d+, q\d+", assembly)
