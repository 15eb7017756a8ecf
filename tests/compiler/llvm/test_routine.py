"""Routines that call each other, functions from elsewhere, and memory of a module."""

from __future__ import annotations

import ctypes

from tests.compiler.llvm.machine_code import compiled, text_of

from anychip.compiler.llvm.flow import Flow
from anychip.compiler.llvm.globals import byte_table, number_table, struct_table, zeroed
from anychip.compiler.llvm.routine import C_INT, External, call_pointer, routine
from anychip.compiler.llvm.struct import Struct
from anychip.compiler.llvm.types import I8, I32, I64, PTR, Val

absolute = External("labs", I64, I64)
print_to = External("snprintf", I32, PTR, I64, PTR, variadic=True)
COUNTER = zeroed("counter", I64)


@routine("is_even", I64, n=I64)
def is_even(f: Flow, n: Val) -> Val:
    return f.choose(f.eq(n, 0), lambda: f.int(1, I64), lambda: is_odd(f, f.sub(n, 1)))


@routine("is_odd", I64, n=I64)
def is_odd(f: Flow, n: Val) -> Val:
    return f.choose(f.eq(n, 0), lambda: f.int(0, I64), lambda: is_even(f, f.sub(n, 1)))


@routine("parity", I64, linkage="", n=I64)
def parity(f: Flow, n: Val) -> Val:
    """Its module has the two routines that call each other, and what they call."""
    return is_odd(f, absolute(f, n))


def test_a_module_holds_what_its_entry_points_call():
    text = text_of(parity)
    assert text.count("define ") == 3
    assert text.count("declare i64 @labs(i64)") == 1
    run = compiled(parity, ctypes.c_int64, ctypes.c_int64)
    assert [run(n) for n in (-3, 0, 8, 9)] == [1, 0, 0, 1]


def test_functions_of_any_number_of_arguments():
    @routine("write", C_INT, linkage="", out=PTR, n=I64)
    def write(f: Flow, out: Val, n: Val) -> Val:
        return print_to(f, out, 32, f.module.string(b"%ld and %ld"), n, f.add(n, 1))

    out = ctypes.create_string_buffer(32)
    assert compiled(write, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)(out, 7) == len(out.value)
    assert out.value == b"7 and 8"
    assert "define signext i32 @write(ptr %out, i64 %n)" in text_of(write)


def test_functions_behind_pointers_and_memory_of_the_module():
    @routine("count", I64, linkage="", function=PTR)
    def count(f: Flow, function: Val) -> Val:
        before = f.atomic_add(COUNTER.address(f), f.int(1, I64))
        return call_pointer(f, function, I64, [before])

    run = compiled(count, ctypes.c_int64, ctypes.c_void_p)
    twice = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda n: 2 * n)
    address = ctypes.cast(twice, ctypes.c_void_p)
    assert [run(address), run(address)] == [0, 2]


def test_names_that_llvm_quotes():
    @routine("net kernel", I64, linkage="")
    def kernel(f: Flow) -> Val:
        return f.int(5, I64)

    assert 'define i64 @"net kernel"()' in text_of(kernel)
    assert compiled(kernel, ctypes.c_int64)() == 5


ROW = Struct("row", "A function, and a number for it.", function=PTR, number=I32)


@routine("twice", I64, n=I64)
def twice(f: Flow, n: Val) -> Val:
    return f.add(n, n)


@routine("next", I64, n=I64)
def following(f: Flow, n: Val) -> Val:
    return f.add(n, 1)


def test_tables_of_constants():
    rows = struct_table("rows", ROW, [(twice, 20), (following, 6), (twice, -1)])
    numbers = number_table("numbers", I64, [1, 2**63 + 5])
    letters = byte_table("letters", b'a"\\\xff')

    @routine("read", I64, linkage="", table=I64, index=I64)
    def read(f: Flow, table: Val, index: Val) -> Val:
        with f.switch(table) as case:
            with case(0):
                row = ROW.item(f, rows.address(f), index)
                f.return_(call_pointer(f, row.load("function"), I64, [f.sext(row.load("number"))]))
            with case(1):
                f.return_(f.load(I64, f.element(I64, numbers.address(f), index)))
        return f.zext(f.load(I8, f.element(I8, letters.address(f), index)))

    run = compiled(read, ctypes.c_uint64, ctypes.c_int64, ctypes.c_int64)
    assert [run(0, k) for k in range(3)] == [40, 7, 2**64 - 2]
    assert [run(1, k) for k in range(2)] == [1, 2**63 + 5]
    assert bytes(run(2, k) for k in range(4)) == b'a"\\\xff'
