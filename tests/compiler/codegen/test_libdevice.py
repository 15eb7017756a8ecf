"""The table of libdevice against Triton's own, and what its functions need from other libraries."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.compiler.codegen.jit import TARGETS, optimised

from anychip.compiler.codegen.libdevice import FUNCTIONS, SYMBOLS, emit_libdevice, lookup
from anychip.compiler.codegen.math import FUNCTIONS as CANONICAL
from anychip.compiler.llvm.builder import Builder
from anychip.compiler.llvm.module import LLModule
from anychip.compiler.llvm.types import PTR, LLType, Val

REGISTERS = {
    "fp32": "float",
    "fp64": "double",
    "int32": "i32",
    "uint32": "i32",
    "int64": "i64",
    "uint64": "i64",
}


def triton_table() -> dict[str, dict[tuple[str, ...], tuple[str, str]]]:
    """What Triton's CUDA libdevice module declares, read from its source."""
    triton = importlib.util.find_spec("triton")
    assert triton is not None
    assert triton.origin is not None
    source = Path(triton.origin).parent / "language/extra/cuda/libdevice.py"
    table = {}
    for definition in ast.parse(source.read_text()).body:
        if not isinstance(definition, ast.FunctionDef):
            continue
        call = next(n for n in ast.walk(definition) if isinstance(n, ast.Call) and len(n.args) == 4)
        overloads = call.args[3]
        assert isinstance(overloads, ast.Dict)
        pairs: Any = zip(overloads.keys, overloads.values)
        names = [
            (
                tuple(ast.literal_eval(t.args[0]) for t in key.elts),
                (value.elts[0].value, value.elts[1].args[0].value),
            )
            for key, value in pairs
        ]
        table[definition.name] = dict(names)
    return table


def test_every_function_of_triton_is_here_with_the_same_overloads():
    for name, overloads in triton_table().items():
        assert {o.arguments: (o.symbol, o.result) for o in FUNCTIONS[name]} == overloads, name


def test_every_symbol_has_an_implementation():
    assert {o.function for o in SYMBOLS.values()} <= set(CANONICAL)


def test_plain_names_of_c_are_found():
    assert lookup("expf") is lookup("__nv_expf")


def test_an_unknown_symbol_is_answered_with_near_ones():
    with pytest.raises(KeyError, match="__nv_expf"):
        lookup("__nv_expff")


def test_a_wrong_number_of_arguments_is_refused():
    with pytest.raises(ValueError, match="2 arguments"):
        emit_libdevice(Builder(LLModule()), "__nv_powf", [Val("1.0", LLType("float"))], TARGETS["host"])


def undefined_symbols(elf: bytes) -> set[str]:
    """The names that a 64-bit little-endian ELF object expects from elsewhere."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table + i * size) for i in range(count)]
    names = set()
    for section in sections:
        if section[1] != 2:  # SHT_SYMTAB
            continue
        strings = sections[section[6]][4]
        for offset in range(section[4] + 24, section[4] + section[5], 24):
            name, _, _, index = struct.unpack_from("<IBBH", elf, offset)
            if index == 0:
                start = strings + name
                names.add(elf[start : elf.index(b"\0", start)].decode())
    return names - {"_GLOBAL_OFFSET_TABLE_"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF objects")
@pytest.mark.parametrize("target", TARGETS)
def test_no_function_calls_a_library(target: str):
    """LLVM turns what a machine lacks into calls of libm: none of ours may."""
    module = LLModule(TARGETS[target].triple)
    probe = Builder(module)
    probe.call("outside", "void", [])
    probe.effect("ret void")
    module.add_function("probe", probe.text("define void @probe()"))
    for symbol, overload in SYMBOLS.items():
        b = Builder(module)
        types = [LLType(REGISTERS[a], 4) for a in overload.arguments]
        args = [b.load(t, Val(f"%p{i}", PTR), 4) for i, t in enumerate(types)]
        result = emit_libdevice(b, symbol, args, TARGETS[target])
        assert result.type == LLType(REGISTERS[overload.result], 4), symbol
        b.store(result, Val("%out", PTR), 4)
        b.effect("ret void")
        parameters = ", ".join(f"ptr %p{i}" for i in range(len(types)))
        module.add_function(f"k.{symbol}", b.text(f"define void @k.{symbol}(ptr %out, {parameters})"))
    compiled, machine = optimised(str(module), TARGETS[target])
    names = undefined_symbols(machine.emit_object(compiled))
    assert names == {"outside"}


def test_triton_sees_functions_with_the_usual_arguments():
    libdevice = pytest.importorskip("anychip.triton_backend.libdevice")
    assert set(libdevice.__all__) == set(FUNCTIONS)
    assert str(inspect.signature(libdevice.pow)) == "(arg0, arg1, _semantic=None)"
    assert libdevice.exp.__name__ == "exp"
