"""Reads the operations that TTIR prints in a shape of their own: functions, loops, branches, calls,
constants and prints.

In: a parser behind the operation's name. Out: the operation, without its results, and their types.
`CONTROL` is the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .core import UNKNOWN, Block, Func, Op, Region, Value
from .lexer import unquote
from .types import I1, I64, Type

if TYPE_CHECKING:
    from .parser import Parser

Parsed = tuple[Op, list[Type]]


def symbol(parser: Parser) -> str:
    """`@name` or `@"name"`."""
    token = parser.expect_start("@", "a function name")
    if token == "@":
        parser.fail("expected a function name", parser.position - 1)
    return unquote(token[1:]) if token[1] == '"' else token[1:]


def function(parser: Parser) -> Func:
    """`public @name(%a: type {attributes} loc(...), ...) -> types attributes {...} { body } loc(...)`, the
    cursor being behind `tt.func`."""
    public = not parser.accept("private")
    if public:
        parser.accept("public")
    name = symbol(parser)
    arguments: list[tuple[str, Type]] = []
    arg_attrs: list[dict[str, Any]] = []
    parser.expect("(")
    while not parser.accept(")"):
        if arguments:
            parser.expect(",")
        token = parser.expect_start("%", "an argument")
        parser.expect(":")
        arguments.append((token, parser.type()))
        arg_attrs.append(parser.attribute_dictionary() if parser.tokens[parser.position] == "{" else {})
        parser.location()
    results = parser.type_list() if parser.accept("->") else []
    attrs = parser.attribute_dictionary() if parser.accept("attributes") else {}
    if parser.tokens[parser.position] != "{":
        parser.fail(f"the function @{name} has no body")
    body = parser.region(arguments)
    location = parser.location() or UNKNOWN
    return Func(name, body, results, arg_attrs, attrs, public, location)


def constant(parser: Parser, name: str) -> Parsed:
    """`value : type`, with an optional attribute dictionary before it."""
    op = Op(name)
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    if parser.tokens[parser.position] == "dense":
        op.attrs["value"], tile = parser.dense()
        return op, [tile]
    token = parser.next()
    if token in ("true", "false"):
        op.attrs["value"] = int(token == "true")
        return op, [parser.scalar_type() if parser.accept(":") else I1]
    parser.expect(":")
    type = parser.scalar_type()
    op.attrs["value"] = parser.number(token, type)
    return op, [type]


def assignments(parser: Parser, arguments: list[str], values: list[Value]) -> None:
    """`(%argument = %value, ...)`."""
    parser.expect("(")
    while not parser.accept(")"):
        if arguments:
            parser.expect(",")
        arguments.append(parser.expect_start("%", "a loop argument"))
        parser.expect("=")
        values.append(parser.operand())


def loop_arguments(parser: Parser, names: list[str], types: list[Type]) -> list[tuple[str, Type]]:
    """Names of loop arguments with their types. Raises ParseError where their numbers differ."""
    if len(names) != len(types):
        parser.fail(f"{len(names)} loop arguments, but {len(types)} types")
    return list(zip(names, types, strict=True))


def for_loop(parser: Parser, name: str) -> Parsed:
    """`[unsigned] %i = %lower to %upper step %step iter_args(...) -> (types) : type { body } {attrs}`."""
    op = Op(name)
    if parser.accept("unsigned"):
        op.attrs["unsigned"] = True
    induction = parser.expect_start("%", "the loop variable")
    parser.expect("=")
    op.operands.append(parser.operand())
    parser.expect("to")
    op.operands.append(parser.operand())
    parser.expect("step")
    op.operands.append(parser.operand())
    names: list[str] = []
    types: list[Type] = []
    if parser.accept("iter_args"):
        assignments(parser, names, op.operands)
        parser.expect("->")
        types = parser.type_list()
    induction_type: Type = parser.type() if parser.accept(":") else I64
    arguments = [(induction, induction_type), *loop_arguments(parser, names, types)]
    op.regions.append(parser.region(arguments, "scf.yield"))
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    return op, types


def conditional(parser: Parser, name: str) -> Parsed:
    """`%condition -> (types) { then } else { otherwise } {attributes}`."""
    op = Op(name, [parser.operand()])
    types = parser.type_list() if parser.accept("->") else []
    op.regions.append(parser.region(implicit_end="scf.yield"))
    op.regions.append(parser.region(implicit_end="scf.yield") if parser.accept("else") else Region([]))
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    return op, types


def while_loop(parser: Parser, name: str) -> Parsed:
    """`(%a = %initial, ...) : (types) -> types { before } do { after } attributes {...}`."""
    op = Op(name)
    names: list[str] = []
    if parser.tokens[parser.position] == "(":
        assignments(parser, names, op.operands)
    parser.expect(":")
    types = parser.type_list()
    parser.expect("->")
    results = parser.type_list()
    op.regions.append(parser.region(loop_arguments(parser, names, types)))
    parser.expect("do")
    op.regions.append(parser.region(implicit_end="scf.yield"))
    if parser.accept("attributes"):
        op.attrs.update(parser.attribute_dictionary())
    return op, results


def condition(parser: Parser, name: str) -> Parsed:
    """`(%condition) {attributes} %values : types`: ends the first region of a while loop."""
    op = Op(name)
    parser.expect("(")
    op.operands.append(parser.operand())
    parser.expect(")")
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    if parser.tokens[parser.position].startswith("%"):
        op.operands += typed_operands(parser)
    return op, []


def typed_operands(parser: Parser) -> list[Value]:
    """`%a, %b : type, type`."""
    operands = [parser.operand()]
    while parser.accept(","):
        operands.append(parser.operand())
    parser.expect(":")
    for index in range(len(operands)):
        if index:
            parser.expect(",")
        parser.type()
    return operands


def successor(parser: Parser) -> tuple[Block, list[Value]]:
    """`^block(%a, %b : type, type)`."""
    block = parser.block_named(parser.next())
    arguments: list[Value] = []
    if parser.accept("("):
        arguments = typed_operands(parser)
        parser.expect(")")
    return block, arguments


def branch(parser: Parser, name: str) -> Parsed:
    """`^block(%args : types) {attrs}`."""
    op = Op(name)
    op.successors.append(successor(parser))
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    return op, []


def conditional_branch(parser: Parser, name: str) -> Parsed:
    """`%condition weights([..]), ^then(..), ^else(..)`."""
    op = Op(name, [parser.operand()])
    if parser.accept("weights"):
        parser.expect("(")
        op.attrs["weights"] = parser.attribute()
        parser.expect(")")
    parser.expect(",")
    op.successors.append(successor(parser))
    parser.expect(",")
    op.successors.append(successor(parser))
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    return op, []


def call(parser: Parser, name: str) -> Parsed:
    """`@callee(%a, %b) {attributes} : (types) -> types`."""
    op = Op(name, attrs={"callee": symbol(parser)})
    parser.expect("(")
    op.operands = parser.operand_list(")")
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    parser.expect(":")
    parser.type_list()
    parser.expect("->")
    return op, parser.type_list()


def device_print(parser: Parser, name: str) -> Parsed:
    """`"prefix" {attributes} : %a, %b : type, type`."""
    prefix = parser.expect_start('"', "the text to print")
    op = Op(name, attrs={"prefix": unquote(prefix)})
    if parser.tokens[parser.position] == "{":
        op.attrs.update(parser.attribute_dictionary())
    if parser.accept(":"):
        op.operands = typed_operands(parser)
    return op, []


CONTROL: dict[str, Callable[[Parser, str], Parsed]] = {
    "arith.constant": constant,
    "scf.for": for_loop,
    "scf.if": conditional,
    "scf.while": while_loop,
    "scf.condition": condition,
    "cf.br": branch,
    "cf.cond_br": conditional_branch,
    "tt.call": call,
    "tt.print": device_print,
}
