"""Structures: what Python writes, LLVM's code reads by the same names."""

from __future__ import annotations

import ctypes

import pytest
from tests.compiler.llvm.machine_code import compiled

from anychip.compiler.llvm.flow import Flow
from anychip.compiler.llvm.routine import routine
from anychip.compiler.llvm.struct import TEXT, Struct, UnknownField
from anychip.compiler.llvm.types import I8, I32, I64, PTR, Val, array

INNER = Struct("inner", "An inner one.", small=I8, wide=I64)
OUTER = Struct(
    "outer",
    "One with all kinds of fields.",
    flag=I8,
    inner=INNER,
    ids=array(I32, 3),
    text=TEXT,
    place=PTR,
    count=I32,
    last=INNER,
)


def test_fields_lie_where_ctypes_has_them():
    names = [*OUTER.fields]

    @routine("offsets", linkage="", base=PTR, out=PTR)
    def offsets(f: Flow, base: Val, out: Val) -> None:
        outer = OUTER.at(f, base)
        for number, name in enumerate(names):
            f.store(f.convert("ptrtoint", outer.address(name), I64), f.element(I64, out, number))
        f.store(f.convert("ptrtoint", OUTER.item(f, base, 1).pointer, I64), f.element(I64, out, len(names)))

    found = (ctypes.c_int64 * (len(names) + 1))()
    compiled(offsets, None, ctypes.c_void_p, ctypes.c_void_p)(0, found)
    assert list(found) == [*(getattr(OUTER.ctypes, name).offset for name in names), OUTER.size]


def test_values_go_both_ways():
    @routine("move", I64, linkage="", base=PTR)
    def move(f: Flow, base: Val) -> Val:
        outer = OUTER.at(f, base)
        inner, last = INNER.at(f, outer.address("inner")), INNER.at(f, outer.address("last"))
        last.copy("wide", inner)
        last.store("small", -3)
        outer.store("place", outer.load("text"))
        before = outer.atomic_add("count", 2)
        return f.sext(before)

    value = OUTER.ctypes(text=b"hello", count=40)
    value.inner.wide = -(2**60)
    assert compiled(move, ctypes.c_int64, ctypes.c_void_p)(ctypes.addressof(value)) == 40
    assert (value.last.wide, value.last.small, value.count) == (-(2**60), -3, 42)
    assert ctypes.string_at(value.place) == b"hello"
    assert OUTER.ctypes.__doc__ == "One with all kinds of fields."


def test_a_wrong_field_is_named():
    @routine("wrong", base=PTR)
    def wrong(f: Flow, base: Val) -> None:
        OUTER.at(f, base).load("colour")

    with pytest.raises(UnknownField, match=r"outer has no field 'colour'; it has flag, inner"):
        compiled(wrong, None, ctypes.c_void_p)

    @routine("whole", base=PTR)
    def whole(f: Flow, base: Val) -> None:
        OUTER.at(f, base).load("inner")

    with pytest.raises(UnknownField, match="is a structure"):
        compiled(whole, None, ctypes.c_void_p)
