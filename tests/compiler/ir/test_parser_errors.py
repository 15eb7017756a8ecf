"""Text that is not TTIR is refused with a `ParseError` that names the line and column."""

from __future__ import annotations

import pytest

from anychip.compiler.errors import ParseError
from anychip.compiler.ir.parser import parse

from .texts import module_text

# Operations on line 3 of a module, and what is said of them.
BAD_OPERATIONS = [
    ("%r = tt.no_such_op %i : i32", "column 6: unknown operation 'tt.no_such_op'"),
    ("%r = arith.addi %i, %unknown : i32", "column 21: %unknown is used but never defined"),
    ("%i = arith.addi %i, %j : i32", "%i is defined twice"),
    ("%r = arith.addi %i, %j", "expected the type of arith.addi"),
    ("%r = arith.addi %i, %j : i33", "column 26: expected a type, found 'i33'"),
    ("%r = arith.addi %i, %j : tensor<8xi32", "expected a type"),
    ("%r:2 = arith.cmpi slt, %i, %j : i32", "arith.cmpi has 1 results, 2 are named"),
    ("%r = arith.cmpi less, %i, %j : i32", "'less' is no value of 'predicate'"),
    ("%r = tt.make_range {end = 8 : i32} : tensor<8xi32>", "tt.make_range has no attribute 'start'"),
    (
        "%r = tt.make_range {end = 8 : i32, start = false} : tensor<8xi32>",
        "False is no int, as 'start' must be",
    ),
    (
        "%r = tt.trans %m {order = [1, 0]} : tensor<4x8xf32> -> tensor<8x4xf32>",
        "is no tuple, as 'order' must be",
    ),
    ("%r = tt.load %i : i32", "tt.load of i32, which is no pointer"),
    ("%r = tt.splat %i : i32, tensor<8xi32>", "expected '->' or 'to'"),
    ("%r = arith.constant 5 : tensor<8xi32>", "expected a scalar type"),
    ("%r = arith.constant 4096 : i8", "does not fit in i8"),
    (
        '%r = "tt.reduce"(%tf) <{axis = 0 : i32}> : (tensor<8xf32>, f32) -> f32',
        "1 operands, but 2 operand types",
    ),
    ("cf.br ^bb7", "block \\^bb7 is used but never defined"),
    ("scf.if %b {", "the end of the text"),
    (
        "%r = tt.make_tensor_descriptor %p, [%i], [%l] : <f32>, <8xf32>",
        "run add_rewrite_tensor_descriptor_to_pointer before",
    ),
    ("%r = tt.make_tensor_ptr %p : !tt.ptr<f32>", "run add_rewrite_tensor_pointer before"),
    ("%r = ttg.local_alloc : i32", "later stage"),
    ("tt.func private @inner() {\n }", "unknown operation 'tt.func'"),
    ("%x y = arith.addi %i, %j : i32", "expected|unknown operation"),
    ("%r = arith.addi %i, %j : i32 loc(#loc3)", "location #loc3 is not defined"),
    ("%r = arith.addi %i, %j : i32 loc(nowhere)", "'nowhere' is no kind of location"),
]


@pytest.mark.parametrize(("line", "message"), BAD_OPERATIONS, ids=[line[:50] for line, _ in BAD_OPERATIONS])
def test_bad_operation(line: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parse(module_text(line))
    assert caught.value.location is not None
    assert caught.value.location.line >= 3
    assert "<ttir>:" in str(caught.value)


BAD_MODULES = [
    ("", "no function in the text", 1),
    ("module {\n}", "no function in the text", 2),
    ("hello", "unexpected 'hello'", 1),
    ("module {\n  func.func @f() {}\n}", "expected tt.func", 2),
    ("module {\n  tt.func @f() {\n    tt.return\n", "the end of the text", 4),
    ("module {\n  tt.func @f()\n}", "has no body", 3),
    ("module {\n  tt.func f() {\n", "expected a function name", 2),
    ("module {\n tt.func @f(%a: i32, %a: i32) {\n tt.return\n}\n}", "%a is defined twice", 2),
    ("module {\n tt.func @f() {\n tt.return\n}\n tt.func @f() {\n tt.return\n}\n}", "two functions @f", 5),
    (
        "module {\n tt.func @f() {\n^bb1:\n tt.return\n^bb1:\n tt.return\n}\n}",
        "block \\^bb1 is defined twice",
        5,
    ),
    ("module {\n tt.func @f() {\n tt.return\n}\n} extra", "unexpected 'extra'", 5),
]


@pytest.mark.parametrize(("text", "message", "line"), BAD_MODULES, ids=[m for _, m, _ in BAD_MODULES])
def test_bad_module(text: str, message: str, line: int) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parse(text)
    assert caught.value.location is not None
    assert caught.value.location.line == line


def test_column_counts_past_comments_and_strings() -> None:
    text = "module { // a comment with %values\n  tt.func @f() {\n    // another\n   tt.nothing\n  }\n}"
    with pytest.raises(ParseError, match=r"column 4: unknown operation 'tt.nothing'") as caught:
        parse(text)
    assert caught.value.location is not None
    assert caught.value.location.line == 4


def test_regions_nested_too_deeply() -> None:
    with pytest.raises(ParseError, match="nested more than"):
        parse(module_text("scf.if %b {\n" * 5000))


def test_values_of_one_region_are_not_visible_in_the_next() -> None:
    with pytest.raises(ParseError, match="%x is used but never defined"):
        parse(module_text("scf.if %b {\n %x = arith.addi %i, %j : i32\n}\n%y = arith.addi %x, %j : i32"))
