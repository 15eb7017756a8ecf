"""Reads the operations that TTIR prints in the common shape described in `syntax.py`.

In: a parser behind the operation's name, and the operation's `Syntax`. Out: the operation, without its
results, and their types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .core import Op
from .lexer import unquote
from .literals import parse_type
from .syntax import ALL, ARROW, ELEMENT, FIRST, LAST, NOTHING, POINTEE, SYNONYMS, TRUTH, Syntax
from .types import I1, PointerType, Type, element_of, shape_of, with_shape

if TYPE_CHECKING:
    from .parser import Parser


def plain_operation(parser: Parser, name: str, syntax: Syntax, results: int) -> tuple[Op, list[Type]]:
    """An operation in the shape that `syntax.py` describes, without its results."""
    tokens = parser.tokens
    op = Op(SYNONYMS.get(name, name))
    attrs = op.attrs
    for index, key in enumerate(syntax.leading):
        if index:
            parser.expect(",")
        word = parser.next()
        attrs[key] = unquote(word) if word[0] == '"' else word
    if syntax.bare:
        return op, []
    if syntax.leading:
        parser.accept(",")
    operands = op.operands
    position = parser.position
    while True:
        token = tokens[position]
        first = token[0]
        if first == "%":
            value = parser.values.get(token)
            position += 1
            if value is None:
                parser.position = position
                value = parser.value(token)
            operands.append(value)
            token = tokens[position]
            if token == ",":
                position += 1
            elif token[0] == "%":
                break
        elif first == ":":
            parser.position = position + 1
            return op, _types(parser, op, syntax, results)
        else:
            parser.position = position
            if not _attribute(parser, op, syntax, token):
                break
            position = parser.position
    parser.position = position
    if syntax.result == ARROW and tokens[position] == "->":
        return op, _types(parser, op, syntax, results)
    if syntax.result != NOTHING:
        parser.fail(f"expected the type of {name}, found {tokens[position]!r}")
    return op, []


def _attribute(parser: Parser, op: Op, syntax: Syntax, token: str) -> bool:
    """One attribute or piece of punctuation of a plain operation; False where its text ends."""
    following = parser.tokens[parser.position + 1]
    if token == "{":
        op.attrs.update(parser.attribute_dictionary())
    elif token in ("[", "]"):
        if not syntax.brackets:
            parser.fail(f"unexpected {token!r} in {op.name}")
        parser.position += 1
        parser.accept(",")
    elif token[0] == '"':
        if not syntax.text:
            return False
        parser.position += 1
        op.attrs[syntax.text] = unquote(token)
    elif not token[0].isalpha() or token.startswith("loc(") or (token == "loc" and following == "("):
        return False
    elif following == "=":
        parser.position += 2
        word = parser.tokens[parser.position]
        if parse_type(word) is not None:  # a format such as `bf16`, which is no type here
            parser.position += 1
            op.attrs[token] = word
        else:
            op.attrs[token] = parser.attribute()
        parser.accept(",")
    elif following == "<":
        parser.position += 2
        words: list[str] = []
        while not parser.accept(">"):
            word = parser.next()
            if word != ",":
                words.append(word)
        op.attrs[token] = ",".join(words)
    elif token in syntax.marks:
        op.attrs.setdefault(token, []).append(len(op.operands))
        parser.position += 1
    elif following in (":", "{") or following[0].isalpha():
        if "." in token:
            return False
        op.attrs[token] = True
        parser.position += 1
    else:
        return False
    return True


def _types(parser: Parser, op: Op, syntax: Syntax, results: int) -> list[Type]:
    """The result types of a plain operation, the cursor being behind its colon."""
    tokens = parser.tokens
    printed: list[Type] = []
    if tokens[parser.position] == "(":
        printed = parser.type_list()
    elif tokens[parser.position] != "->":
        printed.append(parser.type())
        while tokens[parser.position] in (",", "*"):
            parser.position += 1
            printed.append(parser.type())
    rule = syntax.result
    if rule == ARROW:
        if tokens[parser.position] not in ("->", "to"):
            parser.fail(f"expected '->' or 'to', found {tokens[parser.position]!r}")
        parser.position += 1
        types = parser.type_list()
        while len(types) < results and parser.accept(","):
            types.append(parser.type())
        return types * 2 if op.name == "tt.split" else types
    if rule == NOTHING:
        return []
    if not printed:
        parser.fail(f"expected the type of {op.name}")
    if rule == FIRST:
        return printed[:1] * max(results, 1)
    if rule == TRUTH:
        return [with_shape(shape_of(printed[0]), I1)]
    if rule == LAST:
        return printed[-1:]
    if rule == ALL:
        return printed
    element = element_of(printed[0])
    if rule == ELEMENT:
        return [element]
    assert rule == POINTEE
    if not isinstance(element, PointerType):
        parser.fail(f"{op.name} of {printed[0]}, which is no pointer", parser.position - 1)
    return [with_shape(shape_of(printed[0]), element.pointee)]
