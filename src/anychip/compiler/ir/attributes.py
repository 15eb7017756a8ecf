"""Reads types and attribute values of TTIR.

In: a cursor at a type, an attribute or an attribute dictionary. Out: types of `types.py`, and plain Python
values: `int`, `float`, `bool`, `str`, `list`, `tuple`, `dict`, `Type`. Floating-point constants are exact: a
hexadecimal one is decoded through its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .core import Location
from .lexer import Cursor, unquote
from .literals import float_of_bits, parse_type
from .locations import LocationTable
from .syntax import REFUSED
from .types import ScalarType, TileType, Type, element_of

_DEEPEST = 32


class AttributeParser(Cursor):
    """Adds types, attributes and locations to a cursor."""

    def __init__(self, text: str):
        super().__init__(text)
        self.locations = LocationTable(self.tokens)

    def type(self) -> Type:
        """The type at the cursor."""
        token = self.tokens[self.position]
        found = parse_type(token)
        if found is None:
            self.refuse(token, f"expected a type, found {token!r}")
        self.position += 1
        return found

    def refuse(self, token: str, message: str) -> NoReturn:
        """Raise a `ParseError` about `token`, with what to do where that is known."""
        for start, advice in REFUSED.items():
            if token.startswith(start):
                self.fail(f"{message}: {advice}")
        self.fail(message)

    def type_list(self) -> list[Type]:
        """One type, or any number of them in parentheses."""
        if not self.accept("("):
            return [self.type()]
        types: list[Type] = []
        while not self.accept(")"):
            if types:
                self.expect(",")
            types.append(self.type())
        return types

    def location(self) -> Location | None:
        """The `loc(...)` at the cursor, if there is one."""
        token = self.tokens[self.position]
        if token.startswith("loc(#"):
            self.position += 1
            return self.locations.use(token, self)
        if token != "loc" or self.tokens[self.position + 1] != "(":
            return None
        self.position += 2
        location = self.locations.read(self)
        self.expect(")")
        return location

    def attribute_dictionary(self, depth: int = 0) -> dict[str, Any]:
        """`{name = value, unit, ...}`, the cursor being at the opening brace."""
        if depth > _DEEPEST:
            self.fail(f"attributes are nested more than {_DEEPEST} deep")
        self.expect("{")
        found: dict[str, Any] = {}
        while not self.accept("}"):
            if found:
                self.expect(",")
            key = self.next()
            if key[0] == '"':
                key = unquote(key)
            elif not (key[0].isalpha() or key[0] == "_"):
                self.fail(f"expected the name of an attribute, found {key!r}", self.position - 1)
            found[key] = self.attribute(depth + 1) if self.accept("=") else True
        return found

    def attribute(self, depth: int = 0) -> Any:
        """The value of one attribute, as a plain Python value."""
        if depth > _DEEPEST:
            self.fail(f"attributes are nested more than {_DEEPEST} deep")
        token = self.tokens[self.position]
        first = token[0]
        if first.isdigit() or (first == "-" and len(token) > 1):
            self.position += 1
            if self.accept(":"):
                return self.number(token, self.scalar_type())
            return self.number(token, None)
        if first == '"':
            self.position += 1
            if self.accept(":"):
                self.type()
            return unquote(token)
        reader = _ATTRIBUTE_READERS.get(token)
        if reader is not None:
            return reader(self, depth)
        if first == "@":
            self.position += 1
            return token[1:]
        if first == "#":
            return self._dialect_attribute(depth)
        if token.startswith("loc(") or token == "loc":
            return self.location()
        type = parse_type(token)
        if type is None and not first.isalpha():
            self.fail(f"expected an attribute, found {token!r}")
        self.position += 1
        return token if type is None else type

    def scalar_type(self) -> ScalarType:
        """The scalar type that follows. Raises ParseError for any other."""
        type = self.type()
        if not isinstance(type, ScalarType):
            self.fail(f"expected a scalar type, found {type}", self.position - 1)
        return type

    def number(self, token: str, type: ScalarType | None) -> int | float:
        """The number `token` of scalar `type`; without a type, what the digits say."""
        try:
            if type is not None and type.is_float:
                if token.startswith("0x"):
                    bits = int(token, 16)
                    if bits >> type.bits:
                        self.fail(f"{token} does not fit in {type}", self.position - 1)
                    return float_of_bits(bits, type)
                return float(token)
            if "." in token:
                if type is not None:
                    self.fail(f"{token} is no value of {type}", self.position - 1)
                return float(token)
            value = int(token, 0) if "0x" in token else int(token)
        except (ValueError, OverflowError):
            self.fail(f"{token[:40]!r} is not a number", self.position - 1)
        return value if type is None else self.integer_value(value, type)

    def integer_value(self, value: int, type: ScalarType) -> int:
        """`value` as a signed integer of `type`; `i1` is 0 or 1."""
        half = 1 << (type.bits - 1)
        if not -half <= value < 2 * half:
            self.fail(f"{value} does not fit in {type}", self.position - 1)
        if type.bits == 1:
            return value & 1
        return value - 2 * half if value >= half else value

    def _list(self, depth: int) -> list[Any]:
        self.expect("[")
        found: list[Any] = []
        while not self.accept("]"):
            if found:
                self.expect(",")
            found.append(self.attribute(depth + 1))
        return found

    def _array(self, depth: int) -> tuple[Any, ...]:
        self.position += 1
        self.expect("<")
        type = self.scalar_type()
        found: list[Any] = []
        if self.accept(":"):
            while True:
                token = self.next()
                found.append(token == "true" if token in ("true", "false") else self.number(token, type))
                if not self.accept(","):
                    break
        self.expect(">")
        return tuple(found)

    def _boolean(self, depth: int) -> bool:
        return self.next() == "true"

    def _unit(self, depth: int) -> bool:
        self.position += 1
        return True

    def _dialect_attribute(self, depth: int) -> Any:
        """`#dialect.name<...>`: a dictionary of its `key = value` pairs, or the text of its one word."""
        name = self.next()
        if not self.accept("<"):
            return name
        pairs: dict[str, Any] = {}
        words: list[str] = []
        while not self.accept(">"):
            token = self.next()
            if self.accept("="):
                pairs[token] = self.attribute(depth + 1)
            elif token != ",":
                words.append(token)
        return pairs or " ".join(words)

    def _dense(self, depth: int) -> Any:
        return self.dense()[0]

    def dense(self) -> tuple[Any, TileType]:
        """`dense<...> : tensor<...>`: its type, and a scalar when all elements are equal, else a list."""
        start = self.position
        self.position += 1
        self.expect("<")
        literal = self._dense_literal(0)
        self.expect(">")
        self.expect(":")
        type = self.type()
        element = element_of(type)
        if not isinstance(type, TileType) or not isinstance(element, ScalarType):
            self.fail(f"dense<...> cannot have the type {type}", start)
        if isinstance(literal, str):
            return self._dense_value(literal, element), type
        if isinstance(literal, bytes):
            values = self._raw_values(literal, element)
            if len(values) == 1:
                return values[0], type
        else:
            values = [self._dense_value(token, element) for token in literal]
        if len(values) != type.size:
            self.fail(f"{len(values)} values for the {type.size} elements of {type}", start)
        return values, type

    def _dense_value(self, token: str, element: ScalarType) -> int | float:
        if token in ("true", "false"):
            return int(token == "true")
        return self.number(token, element)

    def _dense_literal(self, depth: int) -> str | bytes | list[str]:
        if depth > _DEEPEST:
            self.fail(f"dense<...> is nested more than {_DEEPEST} deep")
        token = self.next()
        if token == "[":
            flat: list[str] = []
            while not self.accept("]"):
                if flat:
                    self.expect(",")
                inner = self._dense_literal(depth + 1)
                if isinstance(inner, bytes):
                    self.fail("a raw string inside a list of values")
                flat += [inner] if isinstance(inner, str) else inner
            return flat
        if token[0] == '"':
            try:
                return bytes.fromhex(unquote(token).removeprefix("0x"))
            except ValueError:
                self.fail("the string of dense<...> is not hexadecimal", self.position - 1)
        if token in ("true", "false") or token[0].isdigit() or (token[0] == "-" and len(token) > 1):
            return token
        return self.fail(f"expected a value, found {token!r}", self.position - 1)

    def _raw_values(self, raw: bytes, element: ScalarType) -> list[int | float]:
        size = element.bytes
        if not raw or len(raw) % size:
            self.fail(f"{len(raw)} bytes are no whole number of {element} values")
        if element.bits == 1:
            return (
                [byte >> bit & 1 for byte in raw for bit in range(8)] if len(raw) > 1 else [int(raw[0] != 0)]
            )
        words = [int.from_bytes(raw[at : at + size], "little") for at in range(0, len(raw), size)]
        if element.is_float:
            return [float_of_bits(word, element) for word in words]
        return [self.integer_value(word, element) for word in words]


_ATTRIBUTE_READERS: dict[str, Callable[[AttributeParser, int], Any]] = {
    "true": AttributeParser._boolean,
    "false": AttributeParser._boolean,
    "unit": AttributeParser._unit,
    "dense": AttributeParser._dense,
    "array": AttributeParser._array,
    "[": AttributeParser._list,
    "{": AttributeParser.attribute_dictionary,
}
