"""What the printer writes, the parser reads back; here for values that no dump has."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychip.compiler.ir.core import Location, Module
from anychip.compiler.ir.parser import parse
from anychip.compiler.ir.printer import print_module

from .structure import structure
from .texts import module_text

ATTRIBUTES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
    | st.lists(st.integers(-(2**63), 2**63 - 1)).map(tuple),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=8,
)


def _with_attributes(attrs: dict[str, Any]) -> Module:
    module = parse(module_text('%r = "some.op"(%i) : (i32) -> i32'))
    module.kernel.body.entry.ops[0].attrs = attrs
    return module


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), ATTRIBUTES, max_size=4))
def test_attributes_come_back(attrs: dict[str, Any]) -> None:
    module = _with_attributes(attrs)
    assert structure(parse(print_module(module))) == structure(module)


@given(st.floats(width=32))
def test_float_constants_come_back_exactly(value: float) -> None:
    module = parse(module_text("%r = arith.constant 0.0 : f32"))
    module.kernel.body.entry.ops[0].attrs["value"] = value
    again = parse(print_module(module)).kernel.body.entry.ops[0].attrs["value"]
    assert (math.isnan(value) and math.isnan(again)) or (value, math.copysign(1, value)) == (
        again,
        math.copysign(1, again),
    )


LOCATION_NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
LINES = st.builds(Location, LOCATION_NAMES, st.integers(1, 10**6), st.integers(0, 500), LOCATION_NAMES)
CALLED = st.builds(
    lambda place, callers: Location(place.file, place.line, place.column, place.name, tuple(callers)),
    LINES,
    st.lists(LINES, max_size=5),
)


@given(CALLED)
def test_locations_come_back(location: Location) -> None:
    module = _with_attributes({})
    module.kernel.body.entry.ops[0].location = location
    assert parse(print_module(module)).kernel.body.entry.ops[0].location == location


@pytest.mark.parametrize("name", ["kernel", "a.b.f__fp32_i32", "odd name()", 'with "quotes"', "é"])
def test_function_names_come_back(name: str) -> None:
    module = parse(module_text(""))
    func = module.kernel
    func.name = name
    assert list(parse(print_module(Module({name: func}))).funcs) == [name]


def test_values_of_one_name_are_told_apart() -> None:
    module = parse(
        module_text("""
          scf.if %b {
            %x = arith.addi %i, %j : i32
          } else {
            %x = arith.muli %i, %j : i32
          }
          %x = arith.subi %i, %j : i32""")
    )
    printed = print_module(module)
    assert structure(parse(printed)) == structure(module)
    assert "%x_1" in printed


def test_defaults_are_not_printed() -> None:
    printed = print_module(parse(module_text("%r = tt.load %p : !tt.ptr<f32>")))
    assert '%r = "tt.load"(%p) : (!tt.ptr<f32>) -> (f32)' in printed


def test_constants_are_printed_with_their_type() -> None:
    printed = print_module(parse(module_text("%r = arith.constant dense<[1.5, -0.0]> : tensor<2xf16>")))
    assert "value = [1.5 : f16, -0.0 : f16]" in printed
