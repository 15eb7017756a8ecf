"""The table of LLVM's versions, against the LLVM that is here. That half precision compiles on every ISA for
which the row does not rule it out is a test of `test_machine`."""

from __future__ import annotations

import re

import pytest
from llvmlite import binding as llvm

from anychip.compiler import targets
from anychip.compiler.errors import CodegenError
from anychip.compiler.targets import llvm_versions, machine

LDEXP = """
declare <16 x float> @llvm.ldexp.v16f32.v16i32(<16 x float>, <16 x i32>)
define <16 x float> @scale(<16 x float> %x, <16 x i32> %n) {
  %y = call <16 x float> @llvm.ldexp.v16f32.v16i32(<16 x float> %x, <16 x i32> %n)
  ret <16 x float> %y
}
"""

BYTE_PRODUCTS = """
declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, FACTOR, FACTOR)
define <16 x i32> @products(<16 x i32> %sum, FACTOR %a, FACTOR %b) {
  %s = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %sum, FACTOR %a, FACTOR %b)
  ret <16 x i32> %s
}
"""


@pytest.mark.parametrize(
    ("major", "row"), [(19, 20), (20, 20), (21, 20), (22, 22), (23, 22)], ids=lambda value: str(value)
)
def test_a_version_has_its_own_row_or_the_nearest_older_one(major: int, row: int) -> None:
    assert llvm_versions.of(major).major == row


def test_the_installed_version_is_the_one_that_llvmlite_brings() -> None:
    assert llvm_versions.installed() is llvm_versions.of(llvm.llvm_version_info[0])
    assert tuple(map(int, llvm_versions.installed_text().split("."))) == tuple(llvm.llvm_version_info)


def test_a_vector_is_scaled_by_an_instruction_or_by_calls() -> None:
    assembly = machine.emit_assembly(LDEXP, targets.get("x86-64-v4"))
    has_instruction = bool(re.search(r"\bvscalefps\s+%zmm", assembly))
    assert has_instruction == llvm_versions.installed().vector_ldexp
    assert has_instruction != bool(re.search(r"\bldexpf\b", assembly))


def test_byte_products_take_factors_of_the_type_that_the_row_says() -> None:
    """Newer versions read words, too, and turn them into bytes; older ones do not read bytes."""
    has_bytes = llvm_versions.installed().byte_factors
    target = targets.get("sapphirerapids")
    text = BYTE_PRODUCTS.replace("FACTOR", "<64 x i8>" if has_bytes else "<16 x i32>")
    assert re.search(r"\bvpdpbusd\s+%zmm", machine.emit_assembly(text, target))
    if not has_bytes:
        with pytest.raises(CodegenError):
            machine.emit_assembly(BYTE_PRODUCTS.replace("FACTOR", "<64 x i8>"), target)
