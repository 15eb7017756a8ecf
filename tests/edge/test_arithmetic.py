"""The routines that a library brings along: 64-bit division and conversions, run on this machine from the
same LLVM IR (the calling convention of Arm left out)."""

from __future__ import annotations

import ctypes
import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from tests.compiler.codegen.jit import optimised

from anychip.compiler import targets
from anychip.compiler.codegen.libdevice import SYMBOLS, emit_libdevice
from anychip.compiler.llvm.builder import Builder
from anychip.compiler.llvm.module import LLModule
from anychip.compiler.llvm.types import PTR, LLType, Val
from anychip.compiler.targets import machine
from anychip.edge.arithmetic import kind_of, supplied
from anychip.edge.symbols import read_symbols
from anychip.runtime.loader import load

SINGLE = {
    "d2f": ("double", "float"),
    "f2lz": ("float", "i64"),
    "f2ulz": ("float", "i64"),
    "l2f": ("i64", "float"),
    "ul2f": ("i64", "float"),
}
"""Routine of single precision -> the types of its argument and its result."""

NAMES = (
    "__aeabi_uldivmod",
    "__aeabi_ldivmod",
    "__aeabi_ul2d",
    "__aeabi_l2d",
    *(f"__aeabi_{name}" for name in SINGLE),
)
WRAPPERS = "\n".join(
    f"""
define void @{kind}(i64 %n, i64 %d, ptr %out) {{
  %both = call {{ i64, i64 }} @{name}(i64 %n, i64 %d)
  store {{ i64, i64 }} %both, ptr %out
  ret void
}}"""
    for kind, name in (("unsigned", NAMES[0]), ("signed", NAMES[1]))
)


def _code():
    text = supplied(NAMES).replace("weak hidden arm_aapcscc", "internal") + WRAPPERS
    text += "".join(
        f"\ndefine double @{kind}(i64 %n) {{\n  %v = call double @{name}(i64 %n)\n  ret double %v\n}}"
        for kind, name in (("from_unsigned", NAMES[2]), ("from_signed", NAMES[3]))
    )
    text += "".join(
        f"\ndefine {result} @{kind}({argument} %x) {{\n  %v = call {result} @__aeabi_{kind}({argument} %x)\n"
        f"  ret {result} %v\n}}"
        for kind, (argument, result) in SINGLE.items()
    )
    entries = ("unsigned", "signed", "from_unsigned", "from_signed", *SINGLE)
    return load(machine.emit_object(text, targets.host()), entries, {})


CODE = _code()
U64, I64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)


def _divide(
    kind: str, n: int, d: int, type_: type[ctypes.c_int64] | type[ctypes.c_uint64]
) -> tuple[int, int]:
    out = (type_ * 2)()
    ctypes.CFUNCTYPE(None, type_, type_, ctypes.c_void_p)(CODE[kind])(n, d, ctypes.addressof(out))
    return out[0], out[1]


@given(U64, st.one_of(U64, st.integers(1, 1000)))
@example(2**64 - 1, 2**63 + 1)
@example(2**64 - 1, 1)
def test_unsigned_division(n: int, d: int):
    if d:
        assert _divide("unsigned", n, d, ctypes.c_uint64) == divmod(n, d)


@given(I64, I64)
@example(-7, 2)
@example(7, -2)
@example(2**62, -(2**40))
def test_signed_division_rounds_towards_zero(n: int, d: int):
    if d and (n, d) != (-(2**63), -1):
        quotient = abs(n) // abs(d) * (1 if (n < 0) == (d < 0) else -1)
        assert _divide("signed", n, d, ctypes.c_int64) == (quotient, n - quotient * d)


@given(U64, I64)
@example(2**53 + 1, -(2**53) - 1)
def test_conversions_are_rounded_once(unsigned: int, signed: int):
    convert = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_uint64)(CODE["from_unsigned"])
    assert convert(unsigned) == float(unsigned)
    convert = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(CODE["from_signed"])
    assert convert(signed) == float(signed)


@given(U64, I64)
@example(2**24 + 1, -(2**24) - 1)
@example(2**64 - 1, 2**63 - 1)
@example(2**40 + 2**16, 2**40 + 2**16 + 1)
def test_integers_become_f32_rounded_once(unsigned: int, signed: int):
    convert = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_uint64)(CODE["ul2f"])
    assert convert(unsigned) == np.uint64(unsigned).astype(np.float32)
    convert = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(CODE["l2f"])
    assert convert(signed) == np.int64(signed).astype(np.float32)


@given(st.floats(-(2.0**63), 2.0**62, width=32))
@example(-0.99999994)
@example(1.9999999)
def test_f32_becomes_an_integer_towards_zero(x: float):
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_float)(CODE["f2lz"])(x) == math.trunc(x)
    assert ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_float)(CODE["f2ulz"])(abs(x)) == math.trunc(abs(x))


@given(st.one_of(st.floats(), st.floats(-(2.0**-125), 2.0**-125), st.floats(width=32)))
@example(3.4028235677973366e38)
@example(3.4028235677973362e38)
@example(2.0**-150)
@example(1.5 * 2.0**-149)
@example(-(2.0**-126) * (1 - 2.0**-25))
def test_f64_becomes_f32_rounded_once(x: float):
    got = np.float32(ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_double)(CODE["d2f"])(x))
    with np.errstate(over="ignore", under="ignore"):
        want = np.float64(x).astype(np.float32)
    assert (np.isnan(got) and np.isnan(want)) or got.tobytes() == want.tobytes()


def test_a_core_without_f64_computes_f32_by_itself():
    """Every function of f32 and 32-bit integers is compiled for a Cortex-M4, which has f32 alone."""
    types = {"fp32": "float", "int32": "i32", "uint32": "i32"}
    target = targets.get("cortex-m4")
    module = LLModule(target.triple)
    for symbol, overload in SYMBOLS.items():
        if not {*overload.arguments, overload.result} <= set(types):
            continue
        b = Builder(module)
        addresses = [Val(f"%p{k}", PTR) for k in range(len(overload.arguments))]
        arguments = [b.load(LLType(types[a]), p, 4) for a, p in zip(overload.arguments, addresses)]
        b.store(emit_libdevice(b, symbol, arguments, target), Val("%out", PTR), 4)
        b.effect("ret void")
        parameters = ", ".join(["ptr %out", *(f"ptr {address.ref}" for address in addresses)])
        module.add_function(f"k.{symbol}", b.text(f"define void @k.{symbol}({parameters})"))
    compiled, machine_of_target = optimised(str(module), target)
    symbols = read_symbols(machine_of_target.emit_object(compiled))
    assert len(symbols.functions) > 100
    assert not [name for name in symbols.undefined if not supplied([name])]


def test_kinds_of_symbols():
    assert [kind_of(name) for name in ("memcpy", "fmaf", "__aeabi_dmul", "printf")] == [
        "memory",
        "mathematics",
        "compiler",
        "",
    ]
