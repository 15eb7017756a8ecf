"""Sizes of code read from object files, against hand-made files and LLVM's own sections."""

from __future__ import annotations

import pytest
from llvmlite import binding as llvm

from anychip.compiler import targets
from anychip.compiler.foreign.object_file import ObjectFileError, code_size, format_of
from anychip.compiler.targets import machine

TWO_FUNCTIONS = """
define i32 @f(i32 %x) { %y = mul i32 %x, 7  ret i32 %y }
define i32 @g(i32 %x) section ".text.other" { %y = sdiv i32 %x, 7  ret i32 %y }
"""


@pytest.mark.parametrize("name", ["x86-64-v3", "cortex-a15", "z14", "power9", "rv64gcv"])
def test_elf_agrees_with_llvm(name: str):
    data = machine.emit_object(TWO_FUNCTIONS, targets.get(name))
    with llvm.ObjectFileRef.from_data(data) as file:
        sizes = [section.size() for section in file.sections() if section.is_text()]
    assert format_of(data) == "elf"
    assert code_size(data) == sum(sizes) > 0


def test_macho_agrees_with_llvm():
    data = machine.emit_object(TWO_FUNCTIONS.replace(' section ".text.other"', ""), targets.get("apple-m1"))
    with llvm.ObjectFileRef.from_data(data) as file:
        sizes = [section.size() for section in file.sections() if section.is_text()]
    assert code_size(data) == sum(sizes) > 0


def test_wasm_code_section():
    code = bytes([10, 0x85, 0x01]) + bytes(0x85)  # section 10 with a size of two LEB128 bytes
    data = b"\0asm\x01\0\0\0" + bytes([1, 2, 0, 0]) + code + bytes([0, 1, 0])
    assert code_size(data) == 0x85


@pytest.mark.parametrize("data", [b"", b"MZ\0\0", b"!<arch>\n"])
def test_unknown_format(data: bytes):
    with pytest.raises(ObjectFileError, match="unknown object file"):
        code_size(data)


@pytest.mark.parametrize("name", ["x86-64-v3", "apple-m1"])
def test_truncated(name: str):
    data = machine.emit_object(TWO_FUNCTIONS.replace(' section ".text.other"', ""), targets.get(name))
    with pytest.raises(ObjectFileError, match="truncated"):
        code_size(data[:50])
